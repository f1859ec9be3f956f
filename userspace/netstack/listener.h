// Listening sockets and the handshakes they are in. One thread.
//
// A handshake is a HalfOpen of some hundred bytes with a timer; beyond the caps it is a SYN cookie and nothing at all.
// Either becomes a TcpConnection with the ACK that completes it.
#ifndef USERSPACE_NETSTACK_LISTENER_H_
#define USERSPACE_NETSTACK_LISTENER_H_

#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "userspace/netstack/context.h"

namespace lattice::netstack {

class TcpListener {
 public:
  TcpListener(const Endpoint& local, size_t backlog) : local_(local), backlog_(backlog) {}

  const Endpoint& local() const { return local_; }
  // The next connection, or nullptr. It is the caller's as one of Stack::Connect is.
  TcpConnection* Accept();
  size_t waiting() const { return waiting_; }
  size_t half_open() const { return half_open_; }
  void* user = nullptr;

  QueueHook<TcpListener> event_hook;

 private:
  friend class Handshakes;
  friend class HalfOpen;
  const Endpoint local_;
  const size_t backlog_;
  size_t waiting_ = 0, half_open_ = 0;
  LinkedQueue<TcpConnection, &TcpConnection::accept_hook> queue_;
};

class Handshakes;

class HalfOpen final : public TimerNode {
 public:
  HalfOpen(Handshakes& table, TcpListener& owner, const FlowKey& key) : handshakes(table), listener(owner), flow(key) {
    ++listener.half_open_;
  }
  ~HalfOpen() { --listener.half_open_; }
  void OnTimer() override;

  Handshakes& handshakes;
  TcpListener& listener;
  const FlowKey flow;
  TcpConnection::Handshake shake;
  int tries = 0;
  int64_t sent_at = 0;
};

class Handshakes {
 public:
  explicit Handshakes(Context& context) : context_(context) {}
  ~Handshakes();

  // nullptr: somebody listens there. An unspecified address is all of ours.
  TcpListener* Listen(const Endpoint& local, size_t backlog);
  // Connections not accepted yet are aborted.
  void Close(TcpListener* listener);
  // A segment of no connection. False: nothing here wants it.
  bool OnSegment(const FlowKey& flow, const TcpSegment& segment);
  void SendSynAck(HalfOpen& half);
  void OnHalfOpenTimer(HalfOpen& half);
  size_t half_open() const { return half_open_.size(); }
  LinkedQueue<TcpListener, &TcpListener::event_hook>& events() { return events_; }
  const LinkedQueue<TcpListener, &TcpListener::event_hook>& events() const { return events_; }
  bool InUse(const FlowKey& flow) const { return half_open_.contains(flow); }

 private:
  TcpListener* Find(const FlowKey& flow);
  void OnSyn(TcpListener& listener, const FlowKey& flow, const TcpSegment& segment);
  void OnHalfOpenSegment(HalfOpen& half, const TcpSegment& segment);
  void Complete(TcpListener& listener, const FlowKey& flow, const TcpConnection::Handshake& shake,
                const TcpSegment& segment);
  void SendCookie(const FlowKey& flow, const TcpSegment& segment);
  bool CheckCookie(const FlowKey& flow, const TcpSegment& segment, TcpConnection::Handshake* out) const;
  void Remove(HalfOpen& half);
  TcpOptions SynAckOptions(const FlowKey& flow, const TcpSegment& segment) const;
  uint16_t Offered() const;

  Context& context_;
  absl::flat_hash_map<Endpoint, std::unique_ptr<TcpListener>> listeners_;
  absl::flat_hash_map<FlowKey, std::unique_ptr<HalfOpen>> half_open_;
  LinkedQueue<TcpListener, &TcpListener::event_hook> events_;
  int64_t last_cookie_ = 0;
  bool cookies_out_ = false;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_LISTENER_H_
