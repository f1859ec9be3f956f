// One TCP connection (RFC 9293). One thread.
//
//   TcpConnection* c = *stack.Connect(remote, {});          // OnTcp tells kConnected, or kEnded and why not
//   iovec space[4];
//   size_t n = readv(fd, space, c->SendSpace(space));       // from a socket straight into the send ring
//   c->Commit(n);                                           // 0 too: gives back what was not used
//   iovec data[4];
//   n = writev(fd, data, c->ReceiveData(data));             // and straight out of the receive buffer
//   c->Consume(n);
//   c->ShutdownWrite();                                     // FIN after what was committed; reading goes on
//   c->Close();                                             // the pointer is no longer yours
//
// The pointer is valid until Close() or Abort(), whatever the peer does. An idle connection holds no buffer.
#ifndef USERSPACE_NETSTACK_TCP_CONNECTION_H_
#define USERSPACE_NETSTACK_TCP_CONNECTION_H_

#include <cstdint>

#include "absl/types/span.h"
#include "userspace/netstack/application.h"
#include "userspace/netstack/linked_queue.h"
#include "userspace/netstack/packet_sink.h"
#include "userspace/netstack/receiver.h"
#include "userspace/netstack/sender.h"
#include "userspace/netstack/timer_heap.h"
#include "userspace/netstack/types.h"

namespace lattice::netstack {

struct Context;

class TcpConnection final : public TimerNode {
 public:
  const FlowKey& flow() const { return flow_; }
  TcpState state() const { return state_; }
  CloseReason reason() const { return reason_; }  // kNone until kEnded
  void* user() const { return user_; }
  void set_user(void* user) { user_ = user; }

  // Memory to write to; 0 entries: no space, kWritable will tell. Call Commit() before anything else.
  size_t SendSpace(absl::Span<iovec> out);
  void Commit(size_t bytes);
  size_t Send(absl::Span<const uint8_t> bytes);  // copies; returns what fitted
  size_t unacked() const { return sender_.unacked(); }

  size_t ReceiveData(absl::Span<iovec> out) const { return receiver_.Data(out); }
  size_t available() const { return receiver_.available(); }
  void Consume(size_t bytes);
  // The peer has sent its FIN and all before it was consumed.
  bool receive_finished() const { return receiver_.fin_received() && receiver_.available() == 0; }

  void ShutdownWrite();
  // Finishes in the background: what was committed is delivered first. Data unread or still coming: RST.
  void Close();
  void Abort();
  void set_nagle(bool nagle) { sender_.set_nagle(nagle); }
  void set_keepalive(int64_t idle_ns);

  int64_t rtt_ns() const { return sender_.rtt().srtt_ns(); }
  const CongestionControl& congestion() const { return sender_.congestion(); }
  uint32_t mss() const { return sender_.mss(); }
  size_t receive_window() const { return receiver_.window_limit(); }

  // What follows is the stack's.

  // Both ends of a handshake that a listener made.
  struct Handshake {
    uint32_t iss = 0, irs = 0;  // ours and the peer's
    uint16_t peer_mss = 0;
    bool sack = false, timestamps = false, scaling = false;
    uint8_t peer_scale = 0;
    uint32_t ts_recent = 0;
    uint32_t offered = 0;  // of window, in our SYN-ACK
    int64_t rtt_ns = 0;    // 0: not known
  };
  TcpConnection(Context& context, const FlowKey& flow);
  ~TcpConnection();
  void StartActive(const ConnectOptions& options);
  void StartPassive(const Handshake& handshake);
  void OnSegment(const TcpSegment& segment);
  void OnTimer() override;
  enum class More : uint8_t { kDone, kAgain, kNoRoom };
  More Output(PacketSink& sink);
  uint8_t TakeEvents();
  // ICMP about a packet of this connection that starts at `seq`.
  void OnTooBig(uint32_t seq, size_t mtu);
  void OnUnreachable(uint32_t seq, CloseReason reason);
  bool SentUnacked(uint32_t seq) const;
  // What a listener tells with its SYN-ACK.
  static TcpOptions SynOptions(const Context& context, const FlowKey& flow);

  // In an accept queue nobody hears of what happens until Accepted().
  void Accepted();
  void MemoryIsBack();

  QueueHook<TcpConnection> output_hook, event_hook, all_hook, dead_hook, accept_hook, starved_hook;

 private:
  // tcp_connection.cc
  void Notify(uint8_t events);
  void End(CloseReason reason);
  void EnterTimeWait();
  void Release();
  void SendReset();
  void WantOutput();
  void Reschedule();
  void UpdateMss();
  void Established();
  uint32_t Timestamp() const;
  bool synchronized() const { return state_ != TcpState::kSynSent && state_ != TcpState::kClosed; }

  // tcp_input.cc
  void OnSynSent(const TcpSegment& segment);
  void TakePeerOptions(const TcpSegment& segment);
  bool Acceptable(const TcpSegment& segment, Sequence seq);
  bool PassesTimestamps(const TcpSegment& segment);
  int64_t EchoBefore(const TcpSegment& segment) const;
  bool OnAck(const TcpSegment& segment, Sequence seq);
  void OnFinAcked();
  void OnPayload(const TcpSegment& segment, Sequence seq);
  void OnFin();
  void ChallengeAck();
  void AckSoon(size_t bytes, bool now);

  // tcp_output.cc
  size_t WriteHeader(uint8_t* out, Sequence seq, uint8_t flags, const TcpOptions& options, size_t payload);
  void EmitBare(PacketSink& sink, Sequence seq, uint8_t flags, const TcpOptions& options);
  void EmitPiece(PacketSink& sink, const Sender::Piece& piece);
  void EmitAck(PacketSink& sink);
  void EmitSyn(PacketSink& sink);
  bool AckDue() const;
  void AckSent();

  Context& context_;
  const FlowKey flow_;
  void* user_ = nullptr;
  Sender sender_;
  Receiver receiver_;

  TcpState state_ = TcpState::kSynSent;
  CloseReason reason_ = CloseReason::kNone;
  uint8_t events_ = 0;
  bool v4_, released_ = false, waiting_ = false;
  bool timestamps_ = false, scaling_ = false;
  uint8_t peer_scale_ = 0;
  bool syn_due_ = false, reset_due_ = false, ack_now_ = false, keepalive_due_ = false;

  uint16_t peer_mss_ = 0;
  uint32_t ts_recent_ = 0, ts_offset_ = 0;
  Sequence iss_ = 0, last_ack_sent_ = 0;
  Sequence wl1_ = 0, wl2_ = 0;  // RFC 9293 3.10.7.4: the segment that set the window
  uint32_t unacked_segments_ = 0;

  int handshake_tries_ = 0, keepalive_tries_ = 0, challenges_ = 0;
  int64_t handshake_start_ = 0, syn_sent_at_ = 0, challenge_window_ = 0;
  int64_t handshake_at_ = kNever, ack_at_ = kNever, keepalive_at_ = kNever, linger_at_ = kNever;
  int64_t keepalive_ns_ = 0;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_TCP_CONNECTION_H_
