#include "userspace/netstack/udp.h"

#include <algorithm>
#include <cstring>

#include "userspace/base/checksum.h"
#include "userspace/netstack/icmp.h"

namespace lattice::netstack {
namespace {

// A record in a socket's queue: the peer, our address, the payload.
constexpr size_t kRecordHeader = 16 + 2 + 16;

FlowKey KeyOf(const Endpoint& local, const std::optional<Endpoint>& remote) {
  FlowKey key{.local = local.address, .local_port = local.port};
  if (remote.has_value()) {
    key.remote = remote->address;
    key.remote_port = remote->port;
  }
  return key;
}

}  // namespace

UdpResult UdpSocket::Send(absl::Span<const uint8_t> payload, const Endpoint& remote) {
  Context& context = sockets_.context_;
  Endpoint local = local_;
  if (local.address == IpAddress()) {
    for (const IpAddress& address : context.options.addresses) {
      if (address.is_v4() == remote.address.is_v4()) local.address = address;
    }
  }
  if (local.address == IpAddress() || local.address.is_v4() != remote.address.is_v4() || remote.port == 0)
    return UdpResult::kFamily;
  const bool known = remote_.has_value() && *remote_ == remote;
  if (!known && context.Judge({.inbound = false, .protocol = kUdp, .local = local, .remote = remote}) !=
                    FlowJudge::Verdict::kAllow) {
    return UdpResult::kDenied;
  }
  const size_t length = kUdpHeader + payload.size();
  const size_t total = IpHeaderBytes(local.address.is_v4()) + length;
  if (total > context.paths.Get(remote.address, context.now)) return UdpResult::kTooBig;
  uint8_t* packet = context.control.Push(total);
  if (packet == nullptr) {
    context.counters.Count(Drop::kQueueFull);
    return UdpResult::kFull;
  }
  uint8_t* udp = packet + WriteIp(packet, local.address, remote.address, kUdp, length);
  Store16(udp, local.port);
  Store16(udp + 2, remote.port);
  Store16(udp + 4, static_cast<uint16_t>(length));
  Store16(udp + 6, 0);
  if (!payload.empty()) std::memcpy(udp + kUdpHeader, payload.data(), payload.size());
  Checksum checksum;
  checksum.AddPseudoHeader(local.address, remote.address, kUdp, length);
  checksum.Add({udp, length});
  const uint16_t sum = checksum.Finish();
  Store16(udp + 6, sum == 0 ? 0xffff : sum);  // 0 is "none"
  return UdpResult::kOk;
}

std::optional<UdpSocket::Datagram> UdpSocket::Front() const {
  if (queue_.empty()) return std::nullopt;
  const absl::Span<const uint8_t> record = queue_.Front();
  return Datagram{.remote = {IpAddress::FromBytes(&record[0]), Load16(&record[16])},
                  .local = IpAddress::FromBytes(&record[18]),
                  .payload = record.subspan(kRecordHeader)};
}

uint16_t UdpSockets::FreePort(const Endpoint& local, const std::optional<Endpoint>& remote) const {
  FlowKey key = KeyOf(local, remote);
  const uint16_t first = context_.options.first_ephemeral_port;
  const auto count = static_cast<uint32_t>(context_.options.last_ephemeral_port - first + 1);
  const uint32_t offset = context_.hash.PortOffset(key) + static_cast<uint32_t>(sockets_.size());
  for (uint32_t i = 0; i < count; ++i) {
    key.local_port = static_cast<uint16_t>(first + (offset + i) % count);
    if (!sockets_.contains(key)) return key.local_port;
  }
  return 0;
}

UdpSocket* UdpSockets::Bind(Endpoint local, std::optional<Endpoint> remote) {
  if (local.port == 0) local.port = FreePort(local, remote);
  if (local.port == 0) return nullptr;
  auto [at, fresh] = sockets_.try_emplace(KeyOf(local, remote), nullptr);
  if (!fresh) return nullptr;
  at->second = std::make_unique<UdpSocket>(*this, local, remote, context_.options.udp_queue_bytes);
  return at->second.get();
}

void UdpSockets::Close(UdpSocket* socket) {
  events_.Remove(*socket);
  sockets_.erase(KeyOf(socket->local_, socket->remote_));
}

// The most particular one.
UdpSocket* UdpSockets::Find(const FlowKey& flow) const {
  const Endpoint local{flow.local, flow.local_port}, any{IpAddress(), flow.local_port};
  const Endpoint remote{flow.remote, flow.remote_port};
  for (const FlowKey& key : {flow, KeyOf(any, remote), KeyOf(local, std::nullopt), KeyOf(any, std::nullopt)}) {
    if (const auto at = sockets_.find(key); at != sockets_.end()) return at->second.get();
  }
  return nullptr;
}

void UdpSockets::OnPacket(const IpPacket& packet, absl::Span<const uint8_t> whole) {
  Counters& counters = context_.counters;
  const absl::Span<const uint8_t> bytes = packet.payload;
  if (bytes.size() < kUdpHeader) return counters.Count(Drop::kTruncated);
  const size_t length = Load16(&bytes[4]);
  if (length < kUdpHeader || length > bytes.size()) return counters.Count(Drop::kTruncated);
  const uint16_t sum = Load16(&bytes[6]);
  if (sum == 0 && !packet.v4) return counters.Count(Drop::kChecksum);  // RFC 8200 8.1
  if (sum != 0) {
    Checksum checksum;
    checksum.AddPseudoHeader(packet.source, packet.destination, kUdp, length);
    checksum.Add(bytes.first(length));
    if (checksum.Finish() != 0) return counters.Count(Drop::kChecksum);
  }
  const FlowKey flow{packet.destination, packet.source, Load16(&bytes[2]), Load16(&bytes[0])};
  UdpSocket* socket = Find(flow);
  if (socket == nullptr) {
    counters.Count(Drop::kNoPort);
    return SendIcmpError(context_, packet, whole, IcmpError::kPort);
  }
  if (!socket->remote_.has_value()) {
    const FlowJudge::Verdict verdict = context_.Judge({.inbound = true,
                                                       .protocol = kUdp,
                                                       .local = {flow.local, flow.local_port},
                                                       .remote = {flow.remote, flow.remote_port}});
    if (verdict != FlowJudge::Verdict::kAllow) counters.Count(Drop::kPolicy);
    if (verdict == FlowJudge::Verdict::kRefuse) SendIcmpError(context_, packet, whole, IcmpError::kProhibited);
    if (verdict != FlowJudge::Verdict::kAllow) return;
  }
  uint8_t* record = socket->queue_.Push(kRecordHeader + length - kUdpHeader);
  if (record == nullptr) return counters.Count(Drop::kQueueFull);
  std::memcpy(record, flow.remote.bytes().data(), 16);
  Store16(record + 16, flow.remote_port);
  std::memcpy(record + 18, flow.local.bytes().data(), 16);
  std::memcpy(record + kRecordHeader, bytes.data() + kUdpHeader, length - kUdpHeader);
  events_.Push(*socket);
}

void UdpSockets::OnError(const FlowKey& flow, CloseReason reason) {
  UdpSocket* socket = Find(flow);
  if (socket == nullptr || !socket->remote_.has_value()) return;
  socket->error_ = reason;
  events_.Push(*socket);
}

}  // namespace lattice::netstack
