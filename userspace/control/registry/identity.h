// What names an agent: its name, its WireGuard key, and where it is reached. Sans-I/O; any thread.
#ifndef USERSPACE_CONTROL_REGISTRY_IDENTITY_H_
#define USERSPACE_CONTROL_REGISTRY_IDENTITY_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace lattice::control {

// 1 to 63 letters, digits, '.', '_' and '-', no '.' at the end or beside another: a name is also a part of NATS
// subjects, file names and URLs. InvalidArgument names `what` and the text.
absl::Status CheckName(absl::string_view what, absl::string_view name);

// Base64 of 32 bytes, not all zero.
absl::Status CheckPublicKey(absl::string_view key);

// Upstream's number of a peer: the first 8 bytes of its key, big endian. 0 for what is no key.
uint64_t PeerId(absl::string_view public_key);

// "HOST:PORT" or "[IPV6]:PORT"; HOST is an address or a host name.
absl::Status CheckEndpoint(absl::string_view endpoint);

// The subject on which an agent hears that its configuration changed, and the one for all of them.
std::string ConfigSubject(absl::string_view agent);
inline constexpr char kConfigSubjectOfAll[] = "lattice.signals.config";

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_IDENTITY_H_
