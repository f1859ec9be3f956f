#include "userspace/netstack/icmp.h"

#include <algorithm>
#include <cstring>

#include "userspace/base/checksum.h"

namespace lattice::netstack {
namespace {

constexpr int kErrorsPerSecond = 100;

// The two families' numbers for the same things.
struct Types {
  uint8_t echo, reply, unreachable;
};
constexpr Types kTypesV4 = {8, 0, 3}, kTypesV6 = {128, 129, 1};
constexpr uint8_t kV4NeedFragment = 4, kV6TooBig = 2;

bool ChecksumHolds(const IpPacket& packet) {
  Checksum checksum;
  if (!packet.v4) checksum.AddPseudoHeader(packet.source, packet.destination, kIcmpV6, packet.payload.size());
  checksum.Add(packet.payload);
  return checksum.Finish() == 0;
}

void FinishIcmp(uint8_t* icmp, size_t length, const IpAddress& from, const IpAddress& to) {
  Store16(icmp + 2, 0);
  Checksum checksum;
  if (!from.is_v4()) checksum.AddPseudoHeader(from, to, kIcmpV6, length);
  checksum.Add({icmp, length});
  Store16(icmp + 2, checksum.Finish());
}

void Echo(Context& context, const IpPacket& packet) {
  const Types& types = packet.v4 ? kTypesV4 : kTypesV6;
  const uint8_t protocol = packet.v4 ? kIcmp : kIcmpV6;
  if (context.Judge(
          {.inbound = true, .protocol = protocol, .local = {packet.destination, 0}, .remote = {packet.source, 0}}) !=
      FlowJudge::Verdict::kAllow) {
    return context.counters.Count(Drop::kPolicy);
  }
  const size_t length = packet.payload.size();
  uint8_t* out = context.control.Push(IpHeaderBytes(packet.v4) + length);
  if (out == nullptr) return context.counters.Count(Drop::kQueueFull);
  uint8_t* icmp = out + WriteIp(out, packet.destination, packet.source, protocol, length);
  std::memcpy(icmp, packet.payload.data(), length);
  icmp[0] = types.reply;
  FinishIcmp(icmp, length, packet.destination, packet.source);
  ++context.counters.echo_replies;
}

// What a destination unreachable says to a connection that is being opened.
CloseReason Reason(bool v4, uint8_t code) {
  if (v4) {
    if (code == 3) return CloseReason::kRefused;
    if (code == 9 || code == 10 || code == 13) return CloseReason::kProhibited;
  } else {
    if (code == 4) return CloseReason::kRefused;
    if (code == 1 || code == 5 || code == 6) return CloseReason::kProhibited;
  }
  return CloseReason::kUnreachable;
}

}  // namespace

void SendIcmpError(Context& context, const IpPacket& packet, absl::Span<const uint8_t> whole, IcmpError error) {
  if (context.now - context.icmp_second >= kSecond) {
    context.icmp_second = context.now;
    context.icmp_errors = 0;
  }
  if (++context.icmp_errors > kErrorsPerSecond) return;
  // As much of the packet as the least MTU of IPv6 allows; RFC 1812 4.3.2.3 for IPv4.
  const size_t header = IpHeaderBytes(packet.v4);
  const size_t quote = std::min(whole.size(), (packet.v4 ? 576 : 1280) - header - kIcmpHeader);
  const size_t length = kIcmpHeader + quote;
  uint8_t* out = context.control.Push(header + length);
  if (out == nullptr) return context.counters.Count(Drop::kQueueFull);
  uint8_t* icmp = out + WriteIp(out, packet.destination, packet.source, packet.v4 ? kIcmp : kIcmpV6, length);
  std::memset(icmp, 0, kIcmpHeader);
  icmp[0] = (packet.v4 ? kTypesV4 : kTypesV6).unreachable;
  icmp[1] = packet.v4 ? (error == IcmpError::kPort ? 3 : 13) : (error == IcmpError::kPort ? 4 : 1);
  std::memcpy(icmp + kIcmpHeader, whole.data(), quote);
  FinishIcmp(icmp, length, packet.destination, packet.source);
}

bool OnIcmp(Context& context, const IpPacket& packet, IcmpReport* out) {
  Counters& counters = context.counters;
  const absl::Span<const uint8_t> bytes = packet.payload;
  const auto drop = [&counters](Drop why) {
    counters.Count(why);
    return false;
  };
  if (bytes.size() < kIcmpHeader) return drop(Drop::kTruncated);
  if (!ChecksumHolds(packet)) return drop(Drop::kChecksum);
  const Types& types = packet.v4 ? kTypesV4 : kTypesV6;
  const uint8_t type = bytes[0], code = bytes[1];
  if (type == types.echo && code == 0) {
    Echo(context, packet);
    return false;
  }
  out->too_big = packet.v4 ? type == types.unreachable && code == kV4NeedFragment : type == kV6TooBig;
  if (out->too_big) {
    out->mtu = packet.v4 ? Load16(&bytes[6]) : Load32(&bytes[4]);
  } else if (type == types.unreachable) {
    out->reason = Reason(packet.v4, code);
  } else {
    return drop(Drop::kIcmpUnmatched);  // time exceeded, parameter problem, redirects, neighbours: nothing follows
  }
  IpPacket quoted;
  if (ParseQuotedIp(bytes.subspan(kIcmpHeader), &quoted) != Drop::kNone || quoted.payload.size() < 8 ||
      quoted.source != packet.destination) {
    return drop(Drop::kIcmpUnmatched);
  }
  out->protocol = quoted.protocol;
  out->flow = {quoted.source, quoted.destination, Load16(&quoted.payload[0]), Load16(&quoted.payload[2])};
  out->seq = Load32(&quoted.payload[4]);
  return true;
}

}  // namespace lattice::netstack
