// DNS messages (RFC 1035) as a stub resolver needs them: one question, and the addresses in its answer. Sans-I/O, any
// thread.
#ifndef USERSPACE_SANDBOX_DNS_MESSAGE_H_
#define USERSPACE_SANDBOX_DNS_MESSAGE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "userspace/base/ip.h"

namespace lattice::sandbox {

inline constexpr uint16_t kDnsA = 1, kDnsAaaa = 28;
inline constexpr size_t kMaxDnsAddresses = 32;  // of one answer; the rest is left out

struct DnsQuestion {
  uint16_t id = 0;
  std::string name;  // by HostName()
  uint16_t type = kDnsA;
};

struct DnsAnswer {
  enum class Kind : uint8_t {
    kAddresses,
    kNoName,     // there is no such name
    kNoAddress,  // there is, but not with an address of the type asked for
    kTruncated,  // to be asked again over TCP
    kFailure,    // the server can't or won't say, or answers nonsense
  };
  Kind kind = Kind::kFailure;
  std::vector<IpAddress> addresses;
  // The shortest on the way. Of kNoName and kNoAddress by RFC 2308; 0: not to be kept.
  uint32_t ttl_s = 0;
};

// In lower case, without a dot at its end. InvalidArgument where it is no host name (RFC 1123, with '_'): an address is
// none.
absl::StatusOr<std::string> HostName(absl::string_view text);

// The message that asks.
std::vector<uint8_t> MakeDnsQuery(const DnsQuestion& question);

// Nothing: not an answer to this question, which is somebody else's or a forgery. Follows the aliases (CNAME) within
// the message, in any order; an alias whose end is not in it is kNoAddress.
std::optional<DnsAnswer> ReadDnsAnswer(absl::Span<const uint8_t> message, const DnsQuestion& question);

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_DNS_MESSAGE_H_
