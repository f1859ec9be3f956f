// A TCP/IP host without I/O: packets in, packets out, time from outside. One thread.
//
//   Stack stack({.addresses = {*IpAddress::Parse("10.42.0.7")}}, application);
//   stack.Receive(packet, now);      // each packet that arrives
//   stack.Poll(now, sink);           // once per turn: timers, events to the application, packets to the sink
//   wait until stack.NextDeadline(), a packet, or room in the sink
//
// `now` is a monotonic clock in nanoseconds, above 0, that never goes back. What the application does shows in the
// next Poll, which must follow; ACKs are sent from there too, once for all that a turn received.
#ifndef USERSPACE_NETSTACK_STACK_H_
#define USERSPACE_NETSTACK_STACK_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "userspace/netstack/application.h"
#include "userspace/netstack/context.h"
#include "userspace/netstack/icmp.h"
#include "userspace/netstack/listener.h"
#include "userspace/netstack/packet_sink.h"
#include "userspace/netstack/tcp_connection.h"
#include "userspace/netstack/types.h"
#include "userspace/netstack/udp.h"

namespace lattice::netstack {

class Stack {
 public:
  // `application` and `judge` (optional) must outlive this.
  Stack(Options options, Application& application, FlowJudge* judge = nullptr);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  void Receive(absl::Span<const uint8_t> packet, int64_t now);
  void Poll(int64_t now, PacketSink& sink);
  // When to Poll if nothing comes before: now or earlier means at once.
  int64_t NextDeadline() const;

  // PermissionDenied: FlowJudge. ResourceExhausted: a cap, or no port is free. InvalidArgument: no address of ours of
  // that family, `local` is not ours, or `remote` is not one to connect to. AlreadyExists: the flow is there.
  absl::StatusOr<TcpConnection*> Connect(const Endpoint& remote, const ConnectOptions& options,
                                         std::optional<Endpoint> local = std::nullopt);
  // An unspecified address is all of ours. AlreadyExists: somebody listens there.
  absl::StatusOr<TcpListener*> Listen(const Endpoint& local, size_t backlog);
  void Close(TcpListener* listener) { handshakes_.Close(listener); }
  // Port 0: one that is free. With `remote` only its datagrams come in, and ICMP about it is reported.
  absl::StatusOr<UdpSocket*> Bind(const Endpoint& local, std::optional<Endpoint> remote = std::nullopt);
  void Close(UdpSocket* socket) { udp_.Close(socket); }

  const Counters& counters() const { return context_.counters; }
  size_t connections() const { return context_.objects; }
  size_t half_open() const { return handshakes_.half_open(); }
  size_t time_wait() const { return context_.time_wait.size(); }
  size_t buffered_bytes() const { return context_.pool.used_bytes(); }

 private:
  bool Ours(const IpAddress& address) const;
  std::optional<IpAddress> AddressFor(const IpAddress& remote) const;
  uint16_t FreePort(FlowKey flow);
  void OnTcp(const IpPacket& packet);
  bool OnTimeWait(const FlowKey& flow, const TcpSegment& segment);
  void OnIcmpReport(const IcmpReport& report);
  void FeedStarved();
  void Deliver();
  bool EmitControl(PacketSink& sink);
  void Emit(PacketSink& sink);
  void Reap();

  Application& application_;
  Context context_;
  Handshakes handshakes_;
  UdpSockets udp_;
  uint32_t next_port_ = 0;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_STACK_H_
