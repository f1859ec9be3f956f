// What sits above the stack. Both are called from within Stack::Receive and Stack::Poll; from OnTcp, OnAccept and
// OnUdp every function of the stack but those two may be called.
#ifndef USERSPACE_NETSTACK_APPLICATION_H_
#define USERSPACE_NETSTACK_APPLICATION_H_

#include <cstdint>

#include "userspace/netstack/types.h"

namespace lattice::netstack {

class TcpConnection;
class TcpListener;
class UdpSocket;

enum TcpEvent : uint8_t {
  kConnected = 1,
  kReadable = 2,  // there is data, or the peer's end
  kWritable = 4,  // there is space again after SendSpace() had none
  kEnded = 8,     // nothing comes or goes any more; reason() says why
};

class Application {
 public:
  virtual ~Application() = default;
  // `events` is a sum of TcpEvent; once per Poll and connection.
  virtual void OnTcp(TcpConnection& connection, uint8_t events) = 0;
  // A connection waits in the listener's queue.
  virtual void OnAccept(TcpListener& listener) = 0;
  // A datagram waits.
  virtual void OnUdp(UdpSocket& socket) = 0;
};

struct NewFlow {
  bool inbound = false;
  uint8_t protocol = 0;  // kTcp, kUdp, kIcmp, kIcmpV6
  Endpoint local, remote;
};

// Asked before anything is done for a new flow: a SYN in or out, each datagram between a UDP socket and a peer it is
// not connected to, each echo request.
class FlowJudge {
 public:
  enum class Verdict : uint8_t { kAllow, kRefuse, kDrop };  // kRefuse answers: RST, or ICMP prohibited
  virtual ~FlowJudge() = default;
  virtual Verdict Judge(const NewFlow& flow) = 0;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_APPLICATION_H_
