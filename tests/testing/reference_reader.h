// A second reader of packets, for tests of the one in bpf/: written from the RFCs, in
// userspace C++, for clearness alone. It shares no code and no header with bpf/.
#ifndef TESTS_TESTING_REFERENCE_READER_H_
#define TESTS_TESTING_REFERENCE_READER_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "userspace/base/ip.h"

namespace lattice::testing {

struct ReadPacket {
  IpAddress remote;  // the destination
  uint8_t protocol = 0;
  std::optional<uint16_t> port;  // of the destination; TCP and UDP only
};

// `packet` begins with its IP header. None where it is malformed, source-routed, a later
// fragment, or has extension headers that cannot be read: whoever cannot say where it
// goes and to which port must not let it pass.
std::optional<ReadPacket> ReadAsSent(absl::string_view packet);

}  // namespace lattice::testing

#endif  // TESTS_TESTING_REFERENCE_READER_H_
