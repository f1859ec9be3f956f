// UDP sockets (RFC 768): bounded queues, no fragments. One thread.
#ifndef USERSPACE_NETSTACK_UDP_H_
#define USERSPACE_NETSTACK_UDP_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "userspace/netstack/context.h"

namespace lattice::netstack {

enum class UdpResult : uint8_t {
  kOk,
  kTooBig,  // does not fit the path's MTU
  kFull,    // the queue out is full: lost, as UDP may
  kDenied,  // by FlowJudge
  kFamily,  // no address of ours is of the remote's family, or it is not one to send to
};

class UdpSockets;

class UdpSocket {
 public:
  struct Datagram {
    Endpoint remote;
    IpAddress local;
    absl::Span<const uint8_t> payload;  // until Pop()
  };

  // To the peer it is connected to, or `remote`.
  UdpResult Send(absl::Span<const uint8_t> payload, const Endpoint& remote);
  UdpResult Send(absl::Span<const uint8_t> payload) { return Send(payload, remote_.value_or(Endpoint())); }
  std::optional<Datagram> Front() const;
  void Pop() { queue_.Pop(); }
  const Endpoint& local() const { return local_; }
  // ICMP said that the peer of a connected socket cannot be reached; the call takes it.
  CloseReason TakeError() { return std::exchange(error_, CloseReason::kNone); }
  void* user = nullptr;

  UdpSocket(UdpSockets& sockets, const Endpoint& local, std::optional<Endpoint> remote, size_t queue_bytes)
      : sockets_(sockets), local_(local), remote_(remote), queue_(queue_bytes) {}
  QueueHook<UdpSocket> event_hook;

 private:
  friend class UdpSockets;
  UdpSockets& sockets_;
  const Endpoint local_;
  const std::optional<Endpoint> remote_;
  PacketQueue queue_;
  CloseReason error_ = CloseReason::kNone;
};

class UdpSockets {
 public:
  explicit UdpSockets(Context& context) : context_(context) {}

  // Port 0: one that is free. nullptr: taken. An unspecified address is all of ours.
  UdpSocket* Bind(Endpoint local, std::optional<Endpoint> remote);
  void Close(UdpSocket* socket);
  void OnPacket(const IpPacket& packet, absl::Span<const uint8_t> whole);
  // ICMP about a datagram of ours.
  void OnError(const FlowKey& flow, CloseReason reason);
  LinkedQueue<UdpSocket, &UdpSocket::event_hook>& events() { return events_; }
  const LinkedQueue<UdpSocket, &UdpSocket::event_hook>& events() const { return events_; }

 private:
  friend class UdpSocket;
  UdpSocket* Find(const FlowKey& flow) const;
  uint16_t FreePort(const Endpoint& local, const std::optional<Endpoint>& remote) const;

  Context& context_;
  // Unspecified where the socket does not care.
  absl::flat_hash_map<FlowKey, std::unique_ptr<UdpSocket>> sockets_;
  LinkedQueue<UdpSocket, &UdpSocket::event_hook> events_;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_UDP_H_
