// Carries bytes between a socket of this host and a connection of the overlay, both ways, until both have ended. Bytes
// go from the socket straight into the send ring and from the receive buffer straight to the socket; where one side
// takes no more, the other is not read. The end of one direction does not end the other.
//
// One thread: the loop's.
#ifndef USERSPACE_SANDBOX_RELAY_H_
#define USERSPACE_SANDBOX_RELAY_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "userspace/base/clock.h"
#include "userspace/base/event_loop.h"
#include "userspace/base/unique_fd.h"
#include "userspace/flow/names.h"
#include "userspace/netstack/tcp_connection.h"
#include "userspace/sandbox/flow_log.h"
#include "userspace/sandbox/overlay_stack.h"

namespace lattice::sandbox {

class Relay {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // Once, and nothing after it. `reason` with kFailed only. Both ends are closed; the relay may be destroyed from
    // here on, but not within this call.
    virtual void OnRelayEnd(flow::EndReason end, flow::Reason reason) = 0;
  };

  // `socket` is non-blocking. References must outlive it.
  Relay(EventLoop& loop, const Clock& clock, OverlayStack& overlay, Owner& owner, UniqueFd socket,
        netstack::TcpConnection* connection);
  // Aborts what has not ended.
  ~Relay();

  // `early` has been read from the socket before.
  void Start(absl::string_view early);
  // The connection's user passes its events on.
  void OnStream(uint8_t events);
  // Cuts both ends; the owner is not told.
  void Abort();

  // From the connection's side: out is what went to the overlay.
  uint64_t bytes_out() const { return bytes_out_; }
  uint64_t bytes_in() const { return bytes_in_; }
  // Of the last byte either way.
  int64_t active_ns() const { return active_ns_; }

 private:
  void OnSocket(uint32_t events);
  // False: the relay has ended.
  bool ReadSocket();
  bool WriteSocket();
  bool FinishIfDone();
  void Watch();
  void Unwatch();
  void End(flow::EndReason end, flow::Reason reason = flow::Reason::kNone);
  void OnConnectionEnd();

  EventLoop& loop_;
  const Clock& clock_;
  OverlayStack& overlay_;
  Owner& owner_;
  UniqueFd socket_;
  netstack::TcpConnection* connection_;  // null: ended
  std::string early_;                    // did not fit the send ring yet
  bool watching_ = false;                // in the loop, with these events
  uint32_t watched_ = 0;
  bool socket_finished_ = false;  // its end was read and passed on
  bool stream_finished_ = false;
  bool ring_full_ = false, socket_full_ = false;
  uint64_t bytes_out_ = 0, bytes_in_ = 0;
  int64_t active_ns_;
};

// Why a connection of the overlay is over, in the words of a record.
flow::EndReason EndReasonOf(netstack::CloseReason reason);
// kNone for what is no failure of the network.
flow::Reason FailureOf(netstack::CloseReason reason);

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_RELAY_H_
