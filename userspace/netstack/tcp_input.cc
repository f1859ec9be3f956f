// Theory of operation. OnSegment is RFC 9293 3.10.7.3 and 3.10.7.4 in their order: is the segment of this connection
// and of now (timestamps, window), RST, SYN, ACK, data, FIN; with the changes of RFC 5961, which answers what an
// attacker who does not see the connection could send with an ACK that only the real peer makes sense of.
#include <algorithm>

#include "userspace/netstack/context.h"
#include "userspace/netstack/tcp_connection.h"

namespace lattice::netstack {
namespace {

constexpr uint16_t kDefaultMssV4 = 536, kDefaultMssV6 = 1220;  // RFC 9293 3.7.1
// RFC 5961 10: challenge ACKs of one connection in a second. Counted for each connection, so that nobody learns of
// one by filling the count of another (CVE-2016-5696).
constexpr int kChallengesPerSecond = 10;

bool Before(uint32_t a, uint32_t b) {
  return static_cast<int32_t>(a - b) < 0;
}

}  // namespace

void TcpConnection::ChallengeAck() {
  if (context_.now - challenge_window_ >= kSecond) {
    challenge_window_ = context_.now;
    challenges_ = 0;
  }
  if (++challenges_ > kChallengesPerSecond) return;
  ++context_.counters.challenge_acks;
  ack_now_ = true;
  WantOutput();
}

void TcpConnection::AckSoon(size_t bytes, bool now) {
  if (bytes > 0) ++unacked_segments_;
  if (now) ack_now_ = true;
  if (ack_at_ == kNever) ack_at_ = context_.now + context_.options.delayed_ack_ns;
  WantOutput();
}

void TcpConnection::TakePeerOptions(const TcpSegment& segment) {
  const TcpOptions& options = segment.options;
  peer_mss_ = options.mss.value_or(v4_ ? kDefaultMssV4 : kDefaultMssV6);
  timestamps_ = options.has_timestamps;
  ts_recent_ = options.timestamp;
  scaling_ = options.window_scale.has_value();
  peer_scale_ = options.window_scale.value_or(0);
  sender_.SetSack(options.sack_permitted);
  const auto offered = static_cast<uint32_t>(std::min<size_t>(receiver_.window_limit(), 65535));
  receiver_.Start(FirstSequence(segment.seq) + 1, offered,
                  scaling_ ? Receiver::ScaleFor(context_.options.max_receive_window) : 0);
}

// RFC 9293 3.10.7.3.
void TcpConnection::OnSynSent(const TcpSegment& segment) {
  const bool acked = segment.Has(kAck);
  if (handshake_tries_ == 0) return;  // our SYN has not left
  if (acked && segment.ack != Wire(iss_ + 1)) return context_.Refuse(flow_, segment);
  if (segment.Has(kRst)) {
    ++context_.counters.resets_in;
    if (acked) End(CloseReason::kRefused);
    return;
  }
  if (!segment.Has(kSyn)) return;
  TakePeerOptions(segment);
  wl1_ = receiver_.next() - 1;
  wl2_ = iss_ + 1;
  if (!acked) {
    state_ = TcpState::kSynReceived;
    handshake_tries_ = 0;
    syn_due_ = true;
    return WantOutput();
  }
  if (syn_sent_at_ != 0) sender_.rtt().Sample(context_.now - syn_sent_at_, context_.now);
  Established();
  sender_.OnWindow(iss_ + 1, segment.window, context_.now);  // not scaled (RFC 7323 2.2)
  Notify(kConnected | kWritable);
  AckSoon(0, true);
  if (sender_.finishing()) state_ = TcpState::kFinWait1;
}

// RFC 7323 5: a segment of an earlier time is not of this connection, unless it waited so long that the clock says
// nothing. False: dropped.
bool TcpConnection::PassesTimestamps(const TcpSegment& segment) {
  if (!timestamps_ || segment.Has(kRst)) return true;
  if (segment.options.has_timestamps && !Before(segment.options.timestamp, ts_recent_)) return true;
  context_.counters.Count(Drop::kPaws);
  ChallengeAck();
  return false;
}

// RFC 9293 3.10.7.4, first step.
bool TcpConnection::Acceptable(const TcpSegment& segment, Sequence seq) {
  const Sequence next = receiver_.next(), edge = std::max(receiver_.right_edge(), next);
  const Sequence end = seq + segment.Length();
  const bool starts_inside = seq >= next && (seq < edge || (seq == edge && segment.Length() == 0));
  // At a shut window only what is empty fits; but ACK and RST at the number expected are looked at all the same.
  if (starts_inside || (seq == next && edge == next)) return true;
  if (seq < next && end > next) return true;
  if (segment.Has(kRst)) return false;
  context_.counters.Count(Drop::kWindow);
  if (!segment.payload.empty() && end <= next) {
    ++context_.counters.duplicates;
    receiver_.OnData(seq, segment.payload);  // a duplicate that it reports
  }
  // What carries data or FIN was sent in earnest, and its ACK was lost. The rest may be a loop of ACKs.
  if (segment.Length() > 0) {
    AckSoon(0, true);
  } else {
    ChallengeAck();
  }
  return false;
}

void TcpConnection::OnSegment(const TcpSegment& segment) {
  if (state_ == TcpState::kClosed) return;
  if (state_ == TcpState::kSynSent) {
    OnSynSent(segment);
    return Reschedule();
  }
  if (keepalive_ns_ != 0) {
    keepalive_tries_ = 0;
    keepalive_at_ = context_.now + keepalive_ns_;
  }
  const Sequence seq = Expand(segment.seq, receiver_.next());
  if (!PassesTimestamps(segment) || !Acceptable(segment, seq)) return Reschedule();
  if (segment.Has(kRst)) {
    // RFC 5961 3.2.
    if (seq != receiver_.next()) return ChallengeAck();
    ++context_.counters.resets_in;
    return End(state_ == TcpState::kSynReceived ? CloseReason::kRefused : CloseReason::kReset);
  }
  if (segment.Has(kSyn)) return ChallengeAck();  // RFC 5961 4.2
  if (!segment.Has(kAck)) return;
  if (segment.options.has_timestamps && seq <= last_ack_sent_) ts_recent_ = segment.options.timestamp;
  if (!OnAck(segment, seq)) return Reschedule();
  if (state_ == TcpState::kClosed) return;
  OnPayload(segment, seq);
  if (state_ != TcpState::kClosed) Reschedule();
}

// The end of the millisecond that the echoed timestamp names.
int64_t TcpConnection::EchoBefore(const TcpSegment& segment) const {
  if (!timestamps_ || !segment.options.has_timestamps) return kNever;
  const int64_t ago = static_cast<int32_t>(Timestamp() - segment.options.echo);
  return (context_.now / kMillisecond - ago + 1) * kMillisecond;
}

// RFC 9293 3.10.7.4, fifth step. False: the segment goes no further.
bool TcpConnection::OnAck(const TcpSegment& segment, Sequence seq) {
  const int64_t now = context_.now;
  const Sequence ack = Expand(segment.ack, sender_.una());
  if (state_ == TcpState::kSynReceived) {
    if (ack != iss_ + 1) {
      context_.Refuse(flow_, segment);
      return false;
    }
    if (syn_sent_at_ != 0) sender_.rtt().Sample(now - syn_sent_at_, now);
    Established();
    if (sender_.finishing()) state_ = TcpState::kFinWait1;
    Notify(kConnected | kWritable);
  }
  // RFC 5961 5.2.
  if (ack > sender_.nxt() || ack + sender_.largest_window() < sender_.una()) {
    ChallengeAck();
    return false;
  }
  if (ack >= sender_.una()) {
    const bool window_first = seq > wl1_ || (seq == wl1_ && ack >= wl2_);
    const uint64_t window = uint64_t{segment.window} << peer_scale_;
    Range sacks[4];
    size_t count = 0;
    bool duplicate = false;
    for (size_t i = 0; i < segment.options.sack_count && sender_.sack(); ++i) {
      const Range range{Expand(segment.options.sack[i].start, ack), Expand(segment.options.sack[i].end, ack)};
      if (i == 0 && range.start < ack) duplicate = true;  // RFC 2883 4
      if (range.start >= ack && range.end > range.start && range.end <= sender_.nxt()) sacks[count++] = range;
    }
    if (!duplicate && count >= 2 && sacks[0].start >= sacks[1].start && sacks[0].end <= sacks[1].end) duplicate = true;
    const bool advanced = sender_.OnAck({.ack = ack,
                                         .sacks = absl::MakeConstSpan(sacks, count),
                                         .duplicate_report = duplicate,
                                         .bare = segment.Length() == 0 && ack + window == sender_.edge(),
                                         .echo_before_ns = EchoBefore(segment)},
                                        now);
    if (window_first) {
      wl1_ = seq;
      wl2_ = ack;
      sender_.OnWindow(ack, window, now);
    }
    WantOutput();
    if (advanced && sender_.fin_acked()) OnFinAcked();
    if (state_ == TcpState::kClosed) return false;
    // Enough for a read that is worth a system call.
    if (sender_.starved() && sender_.Space() >= std::min<size_t>(context_.options.initial_send_buffer / 2, 65536)) {
      sender_.set_starved(false);
      Notify(kWritable);
    }
  }
  return true;
}

void TcpConnection::OnFinAcked() {
  if (state_ == TcpState::kFinWait1) {
    state_ = TcpState::kFinWait2;
    if (released_) linger_at_ = context_.now + context_.options.fin_wait_ns;
  } else if (state_ == TcpState::kClosing) {
    EnterTimeWait();
  } else if (state_ == TcpState::kLastAck) {
    End(CloseReason::kFinished);
  }
}

void TcpConnection::OnPayload(const TcpSegment& segment, Sequence seq) {
  const Sequence next = receiver_.next();
  absl::Span<const uint8_t> payload = segment.payload;
  const bool may_receive =
      state_ == TcpState::kEstablished || state_ == TcpState::kFinWait1 || state_ == TcpState::kFinWait2;
  if (!payload.empty() && may_receive && seq + payload.size() > next) {
    if (released_) {  // nobody will read it (RFC 9293 3.6.1)
      SendReset();
      return End(CloseReason::kAborted);
    }
    // Beyond the window nothing is promised.
    const Sequence edge = std::max(receiver_.right_edge(), next);
    const bool cut = seq + payload.size() > edge;
    if (cut) payload = payload.first(static_cast<size_t>(edge - std::min(edge, seq)));
    const Receiver::Result result = payload.empty() ? Receiver::Result::kDuplicate : receiver_.OnData(seq, payload);
    if (result == Receiver::Result::kNoMemory) {
      context_.counters.Count(Drop::kMemory);
      return AckSoon(0, true);
    }
    if (result == Receiver::Result::kOutOfOrder) ++context_.counters.out_of_order;
    if (result == Receiver::Result::kInOrder) Notify(kReadable);
    // RFC 5681 4.2: at once when out of order or when it fills a gap.
    AckSoon(payload.size(), result != Receiver::Result::kInOrder || receiver_.has_gaps() || cut);
    if (cut) return;
  } else if (!payload.empty()) {
    AckSoon(0, true);
  }
  if (segment.Has(kFin)) receiver_.OnFin(seq + segment.payload.size());
  if (receiver_.fin_received() && may_receive)
    OnFin();
  else if (segment.Has(kFin))
    AckSoon(0, true);
}

// The peer's stream is complete.
void TcpConnection::OnFin() {
  AckSoon(0, true);
  Notify(kReadable);
  if (state_ == TcpState::kEstablished) {
    state_ = TcpState::kCloseWait;
  } else if (state_ == TcpState::kFinWait1) {
    state_ = TcpState::kClosing;
  } else if (state_ == TcpState::kFinWait2) {
    EnterTimeWait();
  }
}

}  // namespace lattice::netstack
