// Theory of operation. Receive only takes in: it changes connections and puts those that have something to say into
// two queues. Poll then runs what is due (timers may add to the queues), tells the application, and empties the
// output queue, one burst per connection and round, for as long as the sink has room. Control packets (RST, handshakes
// of listeners, ICMP, UDP) have a queue of bytes of their own and go first.
#include "userspace/netstack/stack.h"

#include <sodium.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace lattice::netstack {
namespace {

// RFC 9293 3.9.2.3, RFC 1122 3.2.1.3: nobody who could be a peer.
bool IsUnicast(const IpAddress& address) {
  const auto& bytes = address.bytes();
  if (address.is_v4()) return bytes[12] != 0 && bytes[12] < 224;
  return address != IpAddress() && bytes[0] != 0xff;
}

}  // namespace

Stack::Stack(Options options, Application& application, FlowJudge* judge)
    : application_(application), context_(std::move(options)), handshakes_(context_), udp_(context_) {
  CHECK_GE(sodium_init(), 0) << "libsodium does not start";
  CHECK_GE(context_.options.mtu, kMinMtuV6);
  context_.judge = judge;
}

Stack::~Stack() {
  while (TcpConnection* connection = context_.all.front()) delete connection;
}

bool Stack::Ours(const IpAddress& address) const {
  return std::find(context_.options.addresses.begin(), context_.options.addresses.end(), address) !=
         context_.options.addresses.end();
}

std::optional<IpAddress> Stack::AddressFor(const IpAddress& remote) const {
  for (const IpAddress& address : context_.options.addresses) {
    if (address.is_v4() == remote.is_v4()) return address;
  }
  return std::nullopt;
}

void Stack::Receive(absl::Span<const uint8_t> packet, int64_t now) {
  context_.now = std::max(now, context_.now);
  Counters& counters = context_.counters;
  ++counters.packets_in;
  counters.bytes_in += packet.size();
  IpPacket parsed;
  if (const Drop drop = ParseIp(packet, &parsed); drop != Drop::kNone) return counters.Count(drop);
  if (!Ours(parsed.destination) || !IsUnicast(parsed.source)) return counters.Count(Drop::kAddress);
  if (parsed.protocol == kTcp) return OnTcp(parsed);
  if (parsed.protocol == kUdp) return udp_.OnPacket(parsed, packet);
  if (parsed.protocol != (parsed.v4 ? kIcmp : kIcmpV6)) return counters.Count(Drop::kProtocol);
  IcmpReport report;
  if (OnIcmp(context_, parsed, &report)) OnIcmpReport(report);
}

void Stack::OnTcp(const IpPacket& packet) {
  TcpSegment segment;
  if (const Drop drop = ParseTcp(packet, &segment); drop != Drop::kNone) return context_.counters.Count(drop);
  const FlowKey flow{packet.destination, packet.source, segment.destination_port, segment.source_port};
  if (const auto at = context_.connections.find(flow); at != context_.connections.end()) {
    return at->second->OnSegment(segment);
  }
  if (OnTimeWait(flow, segment)) return;
  if (handshakes_.OnSegment(flow, segment)) return;
  context_.counters.Count(Drop::kNoPort);
  context_.Refuse(flow, segment);
}

// RFC 9293 3.10.7.4 and 3.6.1, RFC 1337, RFC 6191. True: done with.
bool Stack::OnTimeWait(const FlowKey& flow, const TcpSegment& segment) {
  TimeWaitTable::Entry* entry = context_.time_wait.Find(flow);
  if (entry == nullptr) return false;
  if (segment.Has(kRst)) return true;
  const bool later_time = entry->timestamps && segment.options.has_timestamps &&
                          static_cast<int32_t>(segment.options.timestamp - entry->ts_recent) > 0;
  const bool later_seq = static_cast<int32_t>(segment.seq - entry->rcv_nxt) > 0;
  if (segment.Has(kSyn) && !segment.Has(kAck) && (later_time || (!entry->timestamps && later_seq))) {
    context_.time_wait.Remove(flow);
    return false;  // a new connection
  }
  if (segment.Length() == 0 && segment.seq == entry->rcv_nxt) return true;  // no answer: there would be no end of it
  TcpOptions options;
  options.has_timestamps = entry->timestamps;
  options.timestamp = static_cast<uint32_t>(context_.now / kMillisecond) + entry->ts_offset;
  options.echo = entry->ts_recent;
  context_.SendControl(flow, entry->snd_nxt, entry->rcv_nxt, kAck, entry->window, options);
  if (segment.Has(kFin)) context_.time_wait.Restart(flow, context_.now);
  return true;
}

void Stack::OnIcmpReport(const IcmpReport& report) {
  Counters& counters = context_.counters;
  if (report.protocol == kTcp) {
    const auto at = context_.connections.find(report.flow);
    // RFC 5927 4.1: who quotes a number that is in flight has seen the packet.
    if (at == context_.connections.end() || !at->second->SentUnacked(report.seq))
      return counters.Count(Drop::kIcmpUnmatched);
    if (report.too_big) return at->second->OnTooBig(report.seq, report.mtu);
    return at->second->OnUnreachable(report.seq, report.reason);
  }
  // A datagram has no number to check, so its word on the MTU is not taken.
  if (report.protocol == kUdp && !report.too_big) return udp_.OnError(report.flow, report.reason);
  counters.Count(Drop::kIcmpUnmatched);
}

// RFC 6056 3.3.3 with one counter: ports of one destination follow each other, those of different ones do not.
uint16_t Stack::FreePort(FlowKey flow) {
  const uint16_t first = context_.options.first_ephemeral_port;
  const auto count = static_cast<uint32_t>(context_.options.last_ephemeral_port - first + 1);
  const uint32_t offset = context_.hash.PortOffset(flow);
  for (uint32_t i = 0; i < count; ++i) {
    flow.local_port = static_cast<uint16_t>(first + (offset + next_port_++) % count);
    if (!context_.connections.contains(flow) && context_.time_wait.Find(flow) == nullptr && !handshakes_.InUse(flow)) {
      return flow.local_port;
    }
  }
  return 0;
}

absl::StatusOr<TcpConnection*> Stack::Connect(const Endpoint& remote, const ConnectOptions& options,
                                              std::optional<Endpoint> local) {
  const std::optional<IpAddress> own =
      local.has_value() && local->address != IpAddress() ? local->address : AddressFor(remote.address);
  if (!own.has_value() || !Ours(*own) || own->is_v4() != remote.address.is_v4() || !IsUnicast(remote.address) ||
      remote.port == 0) {
    return absl::InvalidArgumentError(absl::StrCat("no way to ", remote.address.ToString(), " port ", remote.port));
  }
  if (context_.objects >= context_.options.max_connections) {
    return absl::ResourceExhaustedError(absl::StrCat(context_.options.max_connections, " connections are open"));
  }
  FlowKey flow{*own, remote.address, local.has_value() ? local->port : uint16_t{0}, remote.port};
  if (flow.local_port == 0) flow.local_port = FreePort(flow);
  if (flow.local_port == 0) return absl::ResourceExhaustedError("no port is free for this destination");
  if (context_.connections.contains(flow)) return absl::AlreadyExistsError("there is such a connection");
  if (context_.Judge({.inbound = false, .protocol = kTcp, .local = {flow.local, flow.local_port}, .remote = remote}) !=
      FlowJudge::Verdict::kAllow) {
    context_.counters.Count(Drop::kPolicy);
    return absl::PermissionDeniedError(absl::StrCat(remote.address.ToString(), " port ", remote.port));
  }
  context_.time_wait.Remove(flow);
  auto* connection = new TcpConnection(context_, flow);  // in context_.all, which owns it
  context_.connections[flow] = connection;
  ++context_.counters.connections_opened;
  connection->StartActive(options);
  return connection;
}

absl::StatusOr<TcpListener*> Stack::Listen(const Endpoint& local, size_t backlog) {
  if (local.port == 0 || (local.address != IpAddress() && !Ours(local.address))) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot listen on ", local.address.ToString(), " port ", local.port));
  }
  TcpListener* listener = handshakes_.Listen(local, backlog);
  if (listener == nullptr) return absl::AlreadyExistsError(absl::StrCat("port ", local.port, " is listened on"));
  return listener;
}

absl::StatusOr<UdpSocket*> Stack::Bind(const Endpoint& local, std::optional<Endpoint> remote) {
  if (local.address != IpAddress() && !Ours(local.address)) {
    return absl::InvalidArgumentError(absl::StrCat("not ours: ", local.address.ToString()));
  }
  UdpSocket* socket = udp_.Bind(local, remote);
  if (socket == nullptr) return absl::AlreadyExistsError(absl::StrCat("UDP port ", local.port, " is taken"));
  return socket;
}

void Stack::FeedStarved() {
  // Each will take some chunks: no more of them than there is memory for.
  for (size_t left = context_.pool.free_bytes() / (4 * kChunkBytes); left > 0 && context_.pool.spare_for_sending();
       --left) {
    TcpConnection* connection = context_.starved.Pop();
    if (connection == nullptr) return;
    connection->MemoryIsBack();
  }
}

void Stack::Deliver() {
  // What the application does may queue the same connection once more; that is for the next turn.
  while (TcpConnection* connection = context_.events.Pop()) {
    const uint8_t events = connection->TakeEvents();
    if (events != 0) application_.OnTcp(*connection, events);
  }
  while (TcpListener* listener = handshakes_.events().Pop()) application_.OnAccept(*listener);
  while (UdpSocket* socket = udp_.events().Pop()) application_.OnUdp(*socket);
}

// False: the sink is full.
bool Stack::EmitControl(PacketSink& sink) {
  while (!context_.control.empty()) {
    if (sink.Room() == 0) return false;
    const absl::Span<const uint8_t> packet = context_.control.Front();
    ++context_.counters.packets_out;
    context_.counters.bytes_out += packet.size();
    sink.Take({.count = 1, .headers = packet.data(), .header_bytes = packet.size()});
    context_.control.Pop();
  }
  return true;
}

void Stack::Emit(PacketSink& sink) {
  if (!EmitControl(sink)) return;
  while (TcpConnection* connection = context_.output.front()) {
    const TcpConnection::More more = connection->Output(sink);
    if (more == TcpConnection::More::kNoRoom) return;
    context_.output.Remove(*connection);
    if (more == TcpConnection::More::kAgain) context_.output.Push(*connection);
  }
}

void Stack::Reap() {
  while (TcpConnection* connection = context_.dead.Pop()) delete connection;
}

void Stack::Poll(int64_t now, PacketSink& sink) {
  context_.now = std::max(now, context_.now);
  context_.time_wait.Expire(context_.now);
  while (TimerNode* node = context_.timers.Pop(context_.now)) node->OnTimer();
  FeedStarved();
  Deliver();
  Emit(sink);
  Reap();
}

int64_t Stack::NextDeadline() const {
  if (!context_.output.empty() || !context_.events.empty() || !context_.control.empty() || !context_.dead.empty() ||
      !handshakes_.events().empty() || !udp_.events().empty() ||
      (!context_.starved.empty() && context_.pool.spare_for_sending())) {
    return context_.now;
  }
  return std::min(context_.timers.Next(), context_.time_wait.NextDeadline(context_.now));
}

}  // namespace lattice::netstack
