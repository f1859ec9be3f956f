#include "userspace/netstack/context.h"

#include <cstring>

#include "userspace/base/checksum.h"

namespace lattice::netstack {

void Context::SendControl(const FlowKey& flow, uint32_t seq, uint32_t ack, uint8_t flags, uint16_t window,
                          const TcpOptions& tcp_options) {
  uint8_t segment[kTcpHeader + kMaxTcpOptions];
  const size_t length = kTcpHeader + WriteTcpOptions(segment + kTcpHeader, tcp_options);
  Store16(segment, flow.local_port);
  Store16(segment + 2, flow.remote_port);
  Store32(segment + 4, seq);
  Store32(segment + 8, ack);
  segment[12] = static_cast<uint8_t>(length / 4 << 4);
  segment[13] = flags;
  Store16(segment + 14, window);
  Store32(segment + 16, 0);
  Checksum checksum;
  checksum.AddPseudoHeader(flow.local, flow.remote, kTcp, length);
  checksum.Add({segment, length});
  Store16(segment + 16, checksum.Finish());
  uint8_t* packet = control.Push(IpHeaderBytes(flow.local.is_v4()) + length);
  if (packet == nullptr) return counters.Count(Drop::kQueueFull);
  const size_t header = WriteIp(packet, flow.local, flow.remote, kTcp, length);
  std::memcpy(packet + header, segment, length);
  if ((flags & kRst) != 0) ++counters.resets_out;
}

void Context::Refuse(const FlowKey& flow, const TcpSegment& segment) {
  if (segment.Has(kRst)) return;
  if (segment.Has(kAck)) {
    SendControl(flow, segment.ack, 0, kRst, 0, {});
  } else {
    SendControl(flow, 0, segment.seq + segment.Length(), kRst | kAck, 0, {});
  }
}

}  // namespace lattice::netstack
