// ICMP and ICMPv6 (RFC 792, RFC 4443): echo, errors in and out. One thread.
#ifndef USERSPACE_NETSTACK_ICMP_H_
#define USERSPACE_NETSTACK_ICMP_H_

#include <cstdint>

#include "userspace/netstack/context.h"

namespace lattice::netstack {

enum class IcmpError : uint8_t { kPort, kProhibited };

// Answers `packet`, which is `whole` with its header; at most some in a second (RFC 1812 4.3.2.8, RFC 4443 2.4 f).
void SendIcmpError(Context& context, const IpPacket& packet, absl::Span<const uint8_t> whole, IcmpError error);

// What an error that came in means for one of our flows.
struct IcmpReport {
  FlowKey flow;
  uint8_t protocol = 0;
  uint32_t seq = 0;  // TCP: of the packet it is about
  bool too_big = false;
  size_t mtu = 0;  // 0: not said
  CloseReason reason = CloseReason::kNone;
};
// True if `packet` is an error that reports on a flow. Echo requests are answered in passing.
bool OnIcmp(Context& context, const IpPacket& packet, IcmpReport* out);

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_ICMP_H_
