// Who uses what of the overlay's stack: each connection, listener and socket has its user, and is told by it.
//
//   connection->set_user(static_cast<StreamUser*>(this));
//
// One thread: the loop's.
#ifndef USERSPACE_SANDBOX_OVERLAY_USERS_H_
#define USERSPACE_SANDBOX_OVERLAY_USERS_H_

#include <cstdint>

#include "userspace/netstack/listener.h"
#include "userspace/netstack/tcp_connection.h"
#include "userspace/netstack/udp.h"

namespace lattice::sandbox {

class StreamUser {
 public:
  virtual ~StreamUser() = default;
  // `events` is a sum of netstack::TcpEvent.
  virtual void OnStream(netstack::TcpConnection& connection, uint8_t events) = 0;
};

class ListenerUser {
 public:
  virtual ~ListenerUser() = default;
  virtual void OnAccept(netstack::TcpListener& listener) = 0;
};

class DatagramUser {
 public:
  virtual ~DatagramUser() = default;
  // A datagram waits, or TakeError() has something.
  virtual void OnDatagram(netstack::UdpSocket& socket) = 0;
};

class OverlayUsers final : public netstack::Application {
 public:
  void OnTcp(netstack::TcpConnection& connection, uint8_t events) override {
    if (connection.user() != nullptr) static_cast<StreamUser*>(connection.user())->OnStream(connection, events);
  }
  void OnAccept(netstack::TcpListener& listener) override {
    if (listener.user != nullptr) static_cast<ListenerUser*>(listener.user)->OnAccept(listener);
  }
  void OnUdp(netstack::UdpSocket& socket) override {
    if (socket.user != nullptr) static_cast<DatagramUser*>(socket.user)->OnDatagram(socket);
  }
};

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_OVERLAY_USERS_H_
