// Theory of operation. What a handshake agrees on is kept in a HalfOpen, or, beyond the caps, on the wire: a SYN
// cookie is our sequence number, made of a slow clock (5 bits), an index of MSS (3) and a keyed hash of both, of the
// flow and of the peer's number (24); window scale and SACK ride in the low bits of our timestamp, which the peer
// echoes (RFC 4987 3.6, RFC 7323 allows any clock). A peer without timestamps gets neither.
#include "userspace/netstack/listener.h"

#include <algorithm>
#include <iterator>

namespace lattice::netstack {
namespace {

constexpr int kMaxSynAcks = 5;
constexpr int64_t kCookieClock = 64 * kSecond;
constexpr uint32_t kCookieAges = 2;  // of the clock, in which a cookie is good
constexpr uint16_t kCookieMss[] = {216, 536, 1000, 1220, 1300, 1360, 1440, 1460};
constexpr uint32_t kNoScale = 15;

uint32_t CookieAge(int64_t now) {
  return static_cast<uint32_t>(now / kCookieClock) & 31;
}

uint32_t CookieHash(const KeyedHash& hash, const FlowKey& flow, uint32_t irs, uint32_t top) {
  return hash.Cookie(flow, uint64_t{irs} << 32 | top) & 0xffffff;
}

uint16_t PeerMss(const FlowKey& flow, const TcpSegment& segment) {
  return segment.options.mss.value_or(flow.local.is_v4() ? 536 : 1220);
}

}  // namespace

TcpConnection* TcpListener::Accept() {
  TcpConnection* connection = queue_.Pop();
  if (connection == nullptr) return nullptr;
  --waiting_;
  connection->Accepted();
  return connection;
}

void HalfOpen::OnTimer() {
  handshakes.OnHalfOpenTimer(*this);
}

Handshakes::~Handshakes() {
  for (const auto& [flow, half] : half_open_) context_.timers.Cancel(*half);
}

TcpListener* Handshakes::Listen(const Endpoint& local, size_t backlog) {
  auto [at, fresh] = listeners_.try_emplace(local, nullptr);
  if (!fresh) return nullptr;
  at->second = std::make_unique<TcpListener>(local, std::max<size_t>(backlog, 1));
  return at->second.get();
}

void Handshakes::Close(TcpListener* listener) {
  absl::erase_if(half_open_, [&](const auto& entry) {
    if (&entry.second->listener != listener) return false;
    context_.timers.Cancel(*entry.second);
    return true;
  });
  while (TcpConnection* connection = listener->queue_.Pop()) connection->Abort();
  events_.Remove(*listener);
  listeners_.erase(listener->local());
}

TcpListener* Handshakes::Find(const FlowKey& flow) {
  auto at = listeners_.find(Endpoint{flow.local, flow.local_port});
  if (at == listeners_.end()) at = listeners_.find(Endpoint{IpAddress(), flow.local_port});
  return at == listeners_.end() ? nullptr : at->second.get();
}

uint16_t Handshakes::Offered() const {
  return static_cast<uint16_t>(std::min<size_t>(context_.options.initial_receive_window, 65535));
}

// What the peer did not offer is not answered.
TcpOptions Handshakes::SynAckOptions(const FlowKey& flow, const TcpSegment& segment) const {
  TcpOptions options = TcpConnection::SynOptions(context_, flow);
  if (!segment.options.window_scale.has_value()) options.window_scale.reset();
  options.sack_permitted = segment.options.sack_permitted;
  options.has_timestamps = segment.options.has_timestamps;
  options.timestamp = static_cast<uint32_t>(context_.now / kMillisecond) + context_.hash.TimestampOffset(flow);
  options.echo = segment.options.timestamp;
  return options;
}

void Handshakes::SendSynAck(HalfOpen& half) {
  TcpSegment offer;
  offer.options.sack_permitted = half.shake.sack;
  offer.options.has_timestamps = half.shake.timestamps;
  offer.options.timestamp = half.shake.ts_recent;
  if (half.shake.scaling) offer.options.window_scale = half.shake.peer_scale;
  context_.SendControl(half.flow, half.shake.iss, half.shake.irs + 1, kSyn | kAck, Offered(),
                       SynAckOptions(half.flow, offer));
  half.sent_at = half.tries == 0 ? context_.now : 0;
  context_.timers.Set(half, context_.now + (RttEstimator::kInitialRtoNs << half.tries));
  ++half.tries;
}

void Handshakes::OnHalfOpenTimer(HalfOpen& half) {
  if (half.tries >= kMaxSynAcks) return Remove(half);
  SendSynAck(half);
}

void Handshakes::Remove(HalfOpen& half) {
  context_.timers.Cancel(half);
  half_open_.erase(half_open_.find(half.flow));  // not by the key that dies with it
}

void Handshakes::SendCookie(const FlowKey& flow, const TcpSegment& segment) {
  ++context_.counters.syn_cookies_sent;
  last_cookie_ = context_.now;
  cookies_out_ = true;
  const uint16_t mss = PeerMss(flow, segment);
  const auto above = std::upper_bound(std::begin(kCookieMss), std::end(kCookieMss), mss);
  const auto index = static_cast<uint32_t>(std::max<ptrdiff_t>(above - std::begin(kCookieMss), 1) - 1);
  const uint32_t top = CookieAge(context_.now) << 27 | index << 24;
  const uint32_t cookie = top | CookieHash(context_.hash, flow, segment.seq, top);
  TcpOptions options = SynAckOptions(flow, segment);
  if (options.has_timestamps) {
    const uint32_t low = (options.sack_permitted ? 16 : 0) |
                         std::min<uint32_t>(segment.options.window_scale.value_or(kNoScale), kNoScale);
    const uint32_t stamp = (options.timestamp & ~31u) | low;
    // Never ahead of the clock that the connection will go on with.
    options.timestamp = stamp > options.timestamp ? stamp - 32 : stamp;
  } else {
    options.sack_permitted = false;
    options.window_scale.reset();
  }
  context_.SendControl(flow, cookie, segment.seq + 1, kSyn | kAck, Offered(), options);
}

bool Handshakes::CheckCookie(const FlowKey& flow, const TcpSegment& segment, TcpConnection::Handshake* out) const {
  const uint32_t cookie = segment.ack - 1, irs = segment.seq - 1;
  const uint32_t top = cookie & 0xff000000;
  if (((CookieAge(context_.now) - (top >> 27)) & 31) >= kCookieAges) return false;
  if ((cookie & 0xffffff) != CookieHash(context_.hash, flow, irs, top)) return false;
  *out = {.iss = cookie, .irs = irs, .peer_mss = kCookieMss[top >> 24 & 7], .offered = Offered()};
  if (segment.options.has_timestamps) {
    const uint32_t low = segment.options.echo & 31;
    out->timestamps = true;
    out->ts_recent = segment.options.timestamp;
    out->sack = (low & 16) != 0;
    out->scaling = (low & 15) != kNoScale;
    out->peer_scale = out->scaling ? low & 15 : 0;
  }
  return true;
}

void Handshakes::OnSyn(TcpListener& listener, const FlowKey& flow, const TcpSegment& segment) {
  Counters& counters = context_.counters;
  switch (context_.Judge({.inbound = true,
                          .protocol = kTcp,
                          .local = {flow.local, flow.local_port},
                          .remote = {flow.remote, flow.remote_port}})) {
    case FlowJudge::Verdict::kRefuse:
      counters.Count(Drop::kPolicy);
      return context_.Refuse(flow, segment);
    case FlowJudge::Verdict::kDrop:
      return counters.Count(Drop::kPolicy);
    case FlowJudge::Verdict::kAllow:
      break;
  }
  if (context_.objects + half_open_.size() >= context_.options.max_connections) return counters.Count(Drop::kCap);
  if (listener.waiting_ >= listener.backlog_) return counters.Count(Drop::kQueueFull);
  if (half_open_.size() >= context_.options.max_half_open || listener.half_open_ >= listener.backlog_) {
    return SendCookie(flow, segment);
  }
  auto half = std::make_unique<HalfOpen>(*this, listener, flow);
  half->shake = {.iss = context_.hash.InitialSequence(flow, context_.now),
                 .irs = segment.seq,
                 .peer_mss = PeerMss(flow, segment),
                 .sack = segment.options.sack_permitted,
                 .timestamps = segment.options.has_timestamps,
                 .scaling = segment.options.window_scale.has_value(),
                 .peer_scale = segment.options.window_scale.value_or(0),
                 .ts_recent = segment.options.timestamp,
                 .offered = Offered()};
  SendSynAck(*half);
  half_open_[flow] = std::move(half);
}

void Handshakes::Complete(TcpListener& listener, const FlowKey& flow, const TcpConnection::Handshake& shake,
                          const TcpSegment& segment) {
  // The peer sends again, and finds room, or not.
  if (listener.waiting_ >= listener.backlog_) return context_.counters.Count(Drop::kQueueFull);
  if (context_.objects >= context_.options.max_connections) return context_.counters.Count(Drop::kCap);
  auto* connection = new TcpConnection(context_, flow);  // in context_.all, which owns it
  connection->StartPassive(shake);
  context_.connections[flow] = connection;
  ++context_.counters.connections_accepted;
  listener.queue_.Push(*connection);
  ++listener.waiting_;
  events_.Push(listener);
  connection->OnSegment(segment);
}

void Handshakes::OnHalfOpenSegment(HalfOpen& half, const TcpSegment& segment) {
  const TcpConnection::Handshake& shake = half.shake;
  if (segment.Has(kRst)) {
    if (segment.seq == shake.irs + 1) Remove(half);
    return;
  }
  if (segment.Has(kSyn)) {
    if (segment.seq == shake.irs && !segment.Has(kAck)) {
      half.tries = std::max(half.tries, 1);
      SendSynAck(half);
    } else {
      Remove(half);  // RFC 9293 3.10.7.4: back to LISTEN
    }
    return;
  }
  if (!segment.Has(kAck)) return;
  if (segment.ack != shake.iss + 1) return context_.Refuse(half.flow, segment);
  if (segment.seq - (shake.irs + 1) > shake.offered) return;
  const FlowKey flow = half.flow;
  TcpConnection::Handshake done = shake;
  if (half.sent_at != 0) done.rtt_ns = context_.now - half.sent_at;
  TcpListener& listener = half.listener;
  if (listener.waiting_ < listener.backlog_) Remove(half);
  Complete(listener, flow, done, segment);
}

bool Handshakes::OnSegment(const FlowKey& flow, const TcpSegment& segment) {
  if (const auto at = half_open_.find(flow); at != half_open_.end()) {
    const std::unique_ptr<HalfOpen>& half = at->second;
    OnHalfOpenSegment(*half, segment);
    return true;
  }
  TcpListener* listener = Find(flow);
  if (listener == nullptr) return false;
  if (segment.Has(kRst)) return true;
  if (segment.Has(kSyn) && !segment.Has(kAck)) {
    if (!segment.Has(kFin)) OnSyn(*listener, flow, segment);
    return true;
  }
  // An ACK is of a cookie only while some may be out.
  if (!segment.Has(kAck) || segment.Has(kSyn) || !cookies_out_ ||
      context_.now - last_cookie_ > kCookieAges * kCookieClock) {
    return false;
  }
  TcpConnection::Handshake shake;
  if (!CheckCookie(flow, segment, &shake)) {
    ++context_.counters.syn_cookies_refused;
    return false;
  }
  ++context_.counters.syn_cookies_accepted;
  Complete(*listener, flow, shake, segment);
  return true;
}

}  // namespace lattice::netstack
