// Answers of DNS servers: any bytes are no answer, or one whose addresses are of the family that was asked for and
// within their number. The first byte chooses the family; the id is the message's.
#include <cstddef>
#include <cstdint>

#include "glog/logging.h"
#include "userspace/sandbox/dns_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using lattice::sandbox::DnsAnswer;
  if (size < 3) return 0;
  const bool v4 = data[0] % 2 == 0;
  const absl::Span<const uint8_t> message(data + 1, size - 1);
  const lattice::sandbox::DnsQuestion question{.id = static_cast<uint16_t>(message[0] << 8 | message[1]),
                                               .name = "api.example.com",
                                               .type = v4 ? lattice::sandbox::kDnsA : lattice::sandbox::kDnsAaaa};
  const auto answer = lattice::sandbox::ReadDnsAnswer(message, question);
  if (!answer.has_value()) return 0;
  CHECK_EQ(answer->kind == DnsAnswer::Kind::kAddresses, !answer->addresses.empty());
  CHECK_LE(answer->addresses.size(), lattice::sandbox::kMaxDnsAddresses);
  if (v4) {
    for (const auto& address : answer->addresses) CHECK(address.is_v4());
  }
  return 0;
}
