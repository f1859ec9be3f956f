// Theory of operation. A turn of output sends one thing that is due: a SYN, a burst of data with its ACK, a bare ACK
// or a probe; the stack comes back while there is more, one connection after the other. All segments of a burst share
// one header but for sequence number, checksum and, in the last, length and flags.
#include <algorithm>
#include <cstring>

#include "userspace/base/checksum.h"
#include "userspace/netstack/context.h"
#include "userspace/netstack/tcp_connection.h"

namespace lattice::netstack {
namespace {

constexpr size_t kMaxHeader = kIpv6Header + kTcpHeader + kMaxTcpOptions;
// A burst's payload in chunks: it may start and end inside of one.
constexpr size_t kMaxPieces = 8 + 2;
static_assert(kMaxPieces * kChunkBytes > kMaxBurstBytes + 2 * kChunkBytes);

}  // namespace

// With the checksum still to be filled in.
size_t TcpConnection::WriteHeader(uint8_t* out, Sequence seq, uint8_t flags, const TcpOptions& options,
                                  size_t payload) {
  const size_t ip = IpHeaderBytes(v4_);
  uint8_t* tcp = out + ip;
  const size_t length = kTcpHeader + WriteTcpOptions(tcp + kTcpHeader, options);
  WriteIp(out, flow_.local, flow_.remote, kTcp, length + payload);
  Store16(tcp, flow_.local_port);
  Store16(tcp + 2, flow_.remote_port);
  Store32(tcp + 4, Wire(seq));
  Store32(tcp + 8, (flags & kAck) != 0 ? Wire(receiver_.next()) : 0);
  tcp[12] = static_cast<uint8_t>(length / 4 << 4);
  tcp[13] = flags;
  uint16_t window = 0;
  if ((flags & kSyn) != 0) {
    window = static_cast<uint16_t>(std::min<size_t>(receiver_.window_limit(), 65535));  // not scaled (RFC 7323 2.2)
  } else {
    window = receiver_.Announce(sender_.mss());
  }
  Store16(tcp + 14, window);
  Store32(tcp + 16, 0);
  return ip + length;
}

void TcpConnection::EmitBare(PacketSink& sink, Sequence seq, uint8_t flags, const TcpOptions& options) {
  uint8_t packet[kMaxHeader];
  const size_t length = WriteHeader(packet, seq, flags, options, 0);
  const size_t ip = IpHeaderBytes(v4_);
  Checksum checksum;
  checksum.AddPseudoHeader(flow_.local, flow_.remote, kTcp, length - ip);
  checksum.Add({packet + ip, length - ip});
  Store16(packet + ip + 16, checksum.Finish());
  ++context_.counters.packets_out;
  context_.counters.bytes_out += length;
  sink.Take({.count = 1, .headers = packet, .header_bytes = length});
}

void TcpConnection::EmitSyn(PacketSink& sink) {
  const bool active = state_ == TcpState::kSynSent;
  TcpOptions options = SynOptions(context_, flow_);
  if (!active) {  // simultaneous open: only what the peer knows too
    if (!scaling_) options.window_scale.reset();
    options.has_timestamps = timestamps_;
    options.echo = ts_recent_;
  }
  options.timestamp = Timestamp();
  if (handshake_tries_ == 0) handshake_start_ = context_.now;
  // RFC 6298: 1 s, then twice as long each time.
  handshake_at_ = context_.now + (RttEstimator::kInitialRtoNs << std::min(handshake_tries_, 6));
  syn_sent_at_ = handshake_tries_ == 0 ? context_.now : 0;  // Karn: a SYN that was repeated gives no round trip
  ++handshake_tries_;
  syn_due_ = false;
  EmitBare(sink, iss_, active ? kSyn : kSyn | kAck, options);
}

bool TcpConnection::AckDue() const {
  return ack_now_ || unacked_segments_ >= 2 || ack_at_ <= context_.now;
}

void TcpConnection::AckSent() {
  ack_now_ = false;
  unacked_segments_ = 0;
  ack_at_ = kNever;
  last_ack_sent_ = receiver_.next();
}

void TcpConnection::EmitAck(PacketSink& sink) {
  TcpOptions options;
  options.has_timestamps = timestamps_;
  options.timestamp = Timestamp();
  options.echo = ts_recent_;
  if (sender_.sack() && receiver_.has_gaps()) {
    options.sack_count =
        static_cast<uint8_t>(receiver_.SackBlocks(absl::MakeSpan(options.sack).first(timestamps_ ? 3 : 4)));
  }
  // A number the peer has acknowledged and we have nothing after it: it must answer (RFC 9293 3.8.4, 3.8.6.1).
  const bool probe = sender_.TakeProbe() || keepalive_due_;
  keepalive_due_ = false;
  EmitBare(sink, probe ? sender_.una() - 1 : sender_.nxt(), kAck, options);
  AckSent();
}

void TcpConnection::EmitPiece(PacketSink& sink, const Sender::Piece& piece) {
  TcpOptions options;
  options.has_timestamps = timestamps_;
  options.timestamp = Timestamp();
  options.echo = ts_recent_;
  const size_t bytes = piece.range.end - piece.range.start;
  const size_t mss = sender_.mss();
  const size_t count = std::max<size_t>(1, (bytes + mss - 1) / mss);
  iovec payload[kMaxPieces];
  const size_t pieces = sender_.Payload(piece.range, absl::MakeSpan(payload));

  uint8_t headers[kMaxBurst * kMaxHeader];
  const size_t first_bytes = std::min(bytes, mss);
  const size_t header = WriteHeader(headers, piece.range.start, kAck, options, first_bytes);
  const size_t ip = IpHeaderBytes(v4_);
  Checksum base;
  base.AddPseudoHeader(flow_.local, flow_.remote, kTcp, 0);
  base.Add({headers + ip, header - ip});
  base.AddWord(static_cast<uint16_t>(~Load16(headers + ip + 4)));  // the number of the first is no part of it
  base.AddWord(static_cast<uint16_t>(~Load16(headers + ip + 6)));

  const PacketBurst burst{.count = count,
                          .headers = headers,
                          .header_bytes = header,
                          .segment_bytes = mss,
                          .payload_bytes = bytes,
                          .payload = absl::MakeConstSpan(payload, pieces)};
  for (size_t i = 0; i < count; ++i) {
    uint8_t* at = headers + i * header;
    if (i > 0) std::memcpy(at, headers, header);
    const size_t length = burst.PayloadBytes(i);
    uint8_t* tcp = at + ip;
    if (i + 1 == count) {
      if (length != first_bytes) WriteIp(at, flow_.local, flow_.remote, kTcp, header - ip + length);
      if (piece.push) tcp[13] |= kPsh;
      if (piece.fin) tcp[13] |= kFin;
    }
    const uint32_t seq = Wire(piece.range.start + i * mss);
    Store32(tcp + 4, seq);
    Checksum checksum = base;
    checksum.AddWord(static_cast<uint16_t>(header - ip + length));
    checksum.AddWord(static_cast<uint16_t>(seq >> 16));
    checksum.AddWord(static_cast<uint16_t>(seq));
    checksum.AddWord(tcp[13] & (kPsh | kFin));
    burst.VisitPayload(i, [&](const uint8_t* data, size_t n) { checksum.Add({data, n}); });
    Store16(tcp + 16, checksum.Finish());
  }
  context_.counters.packets_out += count;
  context_.counters.bytes_out += count * header + bytes;
  sender_.OnSent(piece, context_.now);
  sink.Take(burst);
  AckSent();
}

TcpConnection::More TcpConnection::Output(PacketSink& sink) {
  if (state_ == TcpState::kClosed) return More::kDone;
  const size_t room = sink.Room();
  if (room == 0) return More::kNoRoom;
  More more = More::kDone;
  if (syn_due_) {
    EmitSyn(sink);
  } else if (state_ != TcpState::kSynSent && state_ != TcpState::kSynReceived) {
    UpdateMss();
    // Gaps are told by a segment of their own, so that the segments of data stay equal.
    const bool gaps_first = AckDue() && receiver_.has_gaps();
    Sender::Piece piece = gaps_first ? Sender::Piece{} : sender_.Next(context_.now, room);
    if (gaps_first) {
      EmitAck(sink);
      more = More::kAgain;
    } else if (!piece.empty()) {
      EmitPiece(sink, piece);
      more = More::kAgain;
    } else if (AckDue() || keepalive_due_ || sender_.probing()) {
      EmitAck(sink);
    }
  } else if (ack_now_) {
    EmitAck(sink);
  }
  Reschedule();
  return more;
}

}  // namespace lattice::netstack
