// Theory of operation. The state machine of RFC 9293 3.3.2 is spread over three files: this one has what the
// application and time do to it, tcp_input.cc what the peer does, tcp_output.cc what it sends. LISTEN is a
// TcpListener, which hands over a connection once the handshake is done; TIME_WAIT is an entry of TimeWaitTable.
// Nothing is sent from here: a connection that has something to send puts itself into the output queue.
#include "userspace/netstack/tcp_connection.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "userspace/netstack/context.h"

namespace lattice::netstack {
namespace {

constexpr uint16_t kLeastMss = 64;  // a peer that asks for less would have us send headers only
constexpr int kMaxKeepalives = 9;
constexpr int64_t kKeepaliveInterval = 75 * kSecond;
// Timeouts in a row after which a smaller packet is tried (RFC 4821 7.7).
constexpr int kBlackHoleTimeouts = 2;

}  // namespace

const char* CloseReasonName(CloseReason reason) {
  static constexpr const char* kNames[] = {"none",        "finished",   "refused", "reset",   "timeout",
                                           "unreachable", "prohibited", "too_big", "aborted", "memory"};
  return kNames[static_cast<size_t>(reason)];
}

TcpConnection::TcpConnection(Context& context, const FlowKey& flow)
    : context_(context),
      flow_(flow),
      sender_(context.pool, context.counters, context.options),
      receiver_(context.pool, {context.options.initial_receive_window, context.options.max_receive_window}),
      v4_(flow.local.is_v4()),
      ts_offset_(context.hash.TimestampOffset(flow)) {
  ++context_.objects;
  context_.all.Push(*this);
}

TcpConnection::~TcpConnection() {
  --context_.objects;
  context_.all.Remove(*this);
  context_.output.Remove(*this);
  context_.events.Remove(*this);
  context_.starved.Remove(*this);
  context_.dead.Remove(*this);
  context_.timers.Cancel(*this);
}

void TcpConnection::StartActive(const ConnectOptions& options) {
  user_ = options.user;
  keepalive_ns_ = options.keepalive_ns;
  sender_.set_nagle(options.nagle);
  iss_ = FirstSequence(context_.hash.InitialSequence(flow_, context_.now));
  sender_.Start(iss_, kLeastMss, false, context_.hash.Random(flow_));
  syn_due_ = true;
  WantOutput();
}

void TcpConnection::StartPassive(const Handshake& handshake) {
  iss_ = FirstSequence(handshake.iss);
  peer_mss_ = handshake.peer_mss;
  timestamps_ = handshake.timestamps;
  scaling_ = handshake.scaling;
  peer_scale_ = handshake.peer_scale;
  ts_recent_ = handshake.ts_recent;
  sender_.Start(iss_, kLeastMss, handshake.sack, context_.hash.Random(flow_));
  const Sequence first = FirstSequence(handshake.irs) + 1;
  receiver_.Start(first, handshake.offered, scaling_ ? Receiver::ScaleFor(context_.options.max_receive_window) : 0);
  last_ack_sent_ = first;
  if (handshake.rtt_ns > 0) sender_.rtt().Sample(handshake.rtt_ns, context_.now);
  wl1_ = first - 1;
  waiting_ = true;
  Established();
}

void TcpConnection::Established() {
  state_ = TcpState::kEstablished;
  handshake_at_ = kNever;
  UpdateMss();
  set_keepalive(keepalive_ns_);
}

uint32_t TcpConnection::Timestamp() const {
  return static_cast<uint32_t>(context_.now / kMillisecond) + ts_offset_;
}

TcpOptions TcpConnection::SynOptions(const Context& context, const FlowKey& flow) {
  TcpOptions options;
  options.mss = static_cast<uint16_t>(
      std::min<size_t>(context.options.mtu - IpHeaderBytes(flow.local.is_v4()) - kTcpHeader, 65535));
  options.window_scale = Receiver::ScaleFor(context.options.max_receive_window);
  options.sack_permitted = true;
  options.has_timestamps = true;
  return options;
}

void TcpConnection::UpdateMss() {
  const size_t header = IpHeaderBytes(v4_) + kTcpHeader;
  const size_t path = context_.paths.Get(flow_.remote, context_.now) - header;
  const size_t peer = std::max(peer_mss_, kLeastMss);
  const auto mss = static_cast<uint32_t>(std::min(path, peer) - (timestamps_ ? kTimestampBytes : 0));
  if (mss != sender_.mss()) sender_.SetMss(mss);
}

void TcpConnection::WantOutput() {
  context_.output.Push(*this);
}

void TcpConnection::Notify(uint8_t events) {
  if (released_) return;
  events_ |= events;
  if (!waiting_) context_.events.Push(*this);
}

void TcpConnection::MemoryIsBack() {
  sender_.set_starved(false);
  if (state_ != TcpState::kClosed) Notify(kWritable);
}

void TcpConnection::Accepted() {
  waiting_ = false;
  if (events_ != 0) context_.events.Push(*this);
}

uint8_t TcpConnection::TakeEvents() {
  return std::exchange(events_, 0);
}

size_t TcpConnection::SendSpace(absl::Span<iovec> out) {
  if (state_ == TcpState::kClosed) return 0;
  const bool space = sender_.Space() > 0;
  const size_t count = space && context_.pool.spare_for_sending() ? sender_.Writable(out) : 0;
  // An ACK makes space; memory is freed by others.
  sender_.set_starved(count == 0 && !sender_.finishing());
  if (space && count == 0) context_.starved.Push(*this);
  return count;
}

void TcpConnection::Commit(size_t bytes) {
  if (state_ == TcpState::kClosed) return;
  sender_.Commit(bytes);
  if (bytes > 0) WantOutput();
}

size_t TcpConnection::Send(absl::Span<const uint8_t> bytes) {
  size_t sent = 0;
  iovec space[8];
  while (sent < bytes.size()) {
    size_t written = 0;
    for (size_t i = 0, count = SendSpace(absl::MakeSpan(space)); i < count && sent + written < bytes.size(); ++i) {
      const size_t take = std::min(space[i].iov_len, bytes.size() - sent - written);
      std::memcpy(space[i].iov_base, bytes.data() + sent + written, take);
      written += take;
    }
    Commit(written);
    if (written == 0) break;
    sent += written;
  }
  return sent;
}

void TcpConnection::Consume(size_t bytes) {
  const bool tell = receiver_.Consume(bytes, context_.now, sender_.rtt().srtt_ns(), sender_.mss());
  if (!tell || state_ == TcpState::kClosed) return;
  ack_now_ = true;
  WantOutput();
}

void TcpConnection::ShutdownWrite() {
  if (state_ == TcpState::kClosed || sender_.finishing()) return;
  sender_.Finish();
  if (state_ == TcpState::kEstablished) state_ = TcpState::kFinWait1;
  if (state_ == TcpState::kCloseWait) state_ = TcpState::kLastAck;
  WantOutput();
}

void TcpConnection::Close() {
  if (state_ == TcpState::kClosed) return Release();
  if (state_ == TcpState::kSynSent || receiver_.available() > 0) return Abort();
  ShutdownWrite();
  Release();
  if (state_ == TcpState::kFinWait2) {
    linger_at_ = context_.now + context_.options.fin_wait_ns;
    Reschedule();
  }
}

void TcpConnection::Abort() {
  if (synchronized()) SendReset();
  if (state_ != TcpState::kClosed) End(CloseReason::kAborted);
  Release();
}

void TcpConnection::SendReset() {
  TcpOptions options;
  options.has_timestamps = timestamps_;
  options.timestamp = Timestamp();
  options.echo = ts_recent_;
  context_.SendControl(flow_, Wire(sender_.nxt()), Wire(receiver_.next()), kRst | kAck, 0, options);
}

void TcpConnection::Release() {
  released_ = true;
  events_ = 0;
  context_.events.Remove(*this);
  if (state_ == TcpState::kClosed) context_.dead.Push(*this);
}

void TcpConnection::End(CloseReason reason) {
  if (state_ == TcpState::kClosed) return;
  if (!synchronized() || (reason != CloseReason::kFinished && reason != CloseReason::kAborted)) {
    ++context_.counters.connections_failed;
  }
  state_ = TcpState::kClosed;
  reason_ = reason;
  context_.connections.erase(flow_);
  context_.output.Remove(*this);
  context_.timers.Cancel(*this);
  sender_.Clear();
  // What came in order before a regular end is still to be read.
  if (reason != CloseReason::kFinished) receiver_.Clear();
  Notify(kEnded);
  if (released_) context_.dead.Push(*this);
}

void TcpConnection::EnterTimeWait() {
  TimeWaitTable::Entry entry;
  entry.flow = flow_;
  entry.snd_nxt = Wire(sender_.nxt());
  entry.rcv_nxt = Wire(receiver_.next());
  entry.ts_recent = ts_recent_;
  entry.ts_offset = ts_offset_;
  entry.timestamps = timestamps_;
  entry.window = receiver_.Announce(sender_.mss());
  if (context_.time_wait.Add(entry, context_.now)) ++context_.counters.time_wait_recycled;
  // The ACK of the peer's FIN: the table cannot wait for a turn of output.
  TcpOptions options;
  options.has_timestamps = timestamps_;
  options.timestamp = Timestamp();
  options.echo = ts_recent_;
  context_.SendControl(flow_, entry.snd_nxt, entry.rcv_nxt, kAck, entry.window, options);
  End(CloseReason::kFinished);
}

void TcpConnection::set_keepalive(int64_t idle_ns) {
  keepalive_ns_ = idle_ns;
  keepalive_tries_ = 0;
  keepalive_at_ = idle_ns == 0 || !synchronized() ? kNever : context_.now + idle_ns;
  Reschedule();
}

void TcpConnection::Reschedule() {
  if (state_ == TcpState::kClosed) return;
  const int64_t at = std::min({sender_.Deadline(context_.now), handshake_at_, ack_at_, keepalive_at_, linger_at_});
  // A node that fires early finds nothing due and comes back here: only nearer deadlines move it.
  if (at < deadline()) context_.timers.Set(*this, at);
}

void TcpConnection::OnTimer() {
  const int64_t now = context_.now;
  if (handshake_at_ <= now) {
    if (now - handshake_start_ >= context_.options.connect_timeout_ns) return End(CloseReason::kTimeout);
    handshake_at_ = kNever;
    syn_due_ = true;
  }
  if (linger_at_ <= now) return End(CloseReason::kTimeout);
  if (keepalive_at_ <= now) {
    if (++keepalive_tries_ > kMaxKeepalives) {
      SendReset();
      return End(CloseReason::kTimeout);
    }
    keepalive_at_ = now + std::min(keepalive_ns_, kKeepaliveInterval);
    keepalive_due_ = true;
    ++context_.counters.keepalive_probes;
  }
  const Sender::Alarm alarm = sender_.OnTimer(now);
  if (alarm == Sender::Alarm::kDead) {
    SendReset();
    return End(CloseReason::kTimeout);
  }
  if (alarm == Sender::Alarm::kTimeout && sender_.consecutive_timeouts() % kBlackHoleTimeouts == 0) {
    // Packets that vanish may be too big for a router that does not say so.
    const size_t mtu = context_.paths.Below(flow_.remote, now);
    if (mtu != 0 && sender_.mss() + IpHeaderBytes(v4_) + kTcpHeader > mtu &&
        context_.paths.Lower(flow_.remote, mtu, now)) {
      ++context_.counters.black_holes;
      UpdateMss();
    }
  }
  WantOutput();  // which sets the timer anew, once what is due is sent
}

bool TcpConnection::SentUnacked(uint32_t seq) const {
  if (state_ == TcpState::kSynSent) return seq == Wire(iss_);
  const Sequence full = Expand(seq, sender_.una());
  return full >= sender_.una() && full < sender_.nxt();
}

void TcpConnection::OnTooBig(uint32_t seq, size_t mtu) {
  if (!context_.paths.Lower(flow_.remote, mtu, context_.now)) return;
  ++context_.counters.pmtu_lowered;
  if (!synchronized()) return;
  UpdateMss();
  sender_.OnTooBig({Expand(seq, sender_.una()), sender_.nxt()});
  WantOutput();
}

// RFC 5927 4.1: once synchronized, ICMP is no reason to end; retransmission finds out.
void TcpConnection::OnUnreachable(uint32_t seq, CloseReason reason) {
  if (state_ == TcpState::kSynSent) End(reason);
}

}  // namespace lattice::netstack
