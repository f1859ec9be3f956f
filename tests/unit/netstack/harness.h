// A stack and, in place of the network, a test that writes each packet and reads each answer. Time moves only when
// the test says so, and stops at each timer on its way.
//
//   Harness h;                                  // a host at 192.0.2.1, the test is 192.0.2.9
//   h.Connect();                                // the engine's active open, handshake done by the test
//   h.Write("hello");
//   Segment s = h.One();                        // exactly one segment came out
//   h.Peer({.payload = "x"});                   // seq, ack and timestamps as a right peer has them, unless given
#ifndef TESTS_UNIT_NETSTACK_HARNESS_H_
#define TESTS_UNIT_NETSTACK_HARNESS_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "userspace/netstack/stack.h"

namespace lattice::netstack {

// What the stack sent, taken apart.
struct Segment {
  uint32_t seq = 0, ack = 0;
  uint8_t flags = 0;
  uint16_t window = 0, source_port = 0, destination_port = 0;
  TcpOptions options;
  std::string payload;
  bool Has(uint8_t f) const { return (flags & f) == f; }
};
std::ostream& operator<<(std::ostream& out, const Segment& segment);

// What the test sends. The rest is filled in.
struct PeerSegment {
  uint8_t flags = kAck;
  std::optional<uint32_t> seq, ack, timestamp, echo;
  uint16_t window = 65535;
  std::string payload;
  std::vector<SackBlock> sack;
  bool no_timestamps = false, break_checksum = false;
};

struct PeerTraits {
  bool v6 = false, sack = true, timestamps = true, scaling = true;
  uint8_t scale = 7;
  uint16_t mss = 1380;
  uint32_t isn = 5000;
};

class Harness : public Application, public PacketSink {
 public:
  explicit Harness(PeerTraits traits = {}, Options options = {}, FlowJudge* judge = nullptr);

  // The engine connects and the test answers; ends with both established and nothing left to read.
  TcpConnection* Connect(ConnectOptions options = {});
  // The test connects to the engine's listener on port 80.
  TcpConnection* Accept(size_t backlog = 16);
  // Only the first segment of either.
  Segment StartConnect(ConnectOptions options = {});
  void PeerSyn(uint16_t port = 0);
  void SynAck();

  void Peer(PeerSegment segment);
  // A whole packet.
  void Packet(absl::Span<const uint8_t> packet);
  std::string Build(PeerSegment segment);
  void Poll();
  void Advance(int64_t ns);

  // TCP segments sent since the last call.
  std::vector<Segment> Take();
  Segment One();  // exactly one
  void None();    // not one
  // Packets of other protocols.
  std::vector<std::string> other;

  void Write(const std::string& text);
  std::string Read();
  uint8_t Events() { return std::exchange(events_, 0); }

  Stack& stack() { return *stack_; }
  const Counters& counters() const { return stack_->counters(); }
  TcpConnection* connection = nullptr;
  TcpListener* listener = nullptr;
  std::vector<std::string> datagrams;
  CloseReason ended = CloseReason::kNone;
  bool close_on_end = true;
  IpAddress ours, theirs;
  PeerTraits traits;
  uint32_t peer_seq = 0, peer_ack = 0;  // what the test sends next and has received
  uint32_t last_timestamp = 0;          // of the engine
  uint16_t engine_port = 0, peer_port = 9000;
  int64_t now = kSecond * 1000;
  size_t room = 1000;

  void OnTcp(TcpConnection& connection, uint8_t events) override;
  void OnAccept(TcpListener& listener) override;
  void OnUdp(UdpSocket& socket) override;
  size_t Room() override { return room; }
  void Take(const PacketBurst& burst) override;

 private:
  std::unique_ptr<Stack> stack_;
  uint8_t events_ = 0;
  std::deque<Segment> segments_;
};

}  // namespace lattice::netstack

#endif  // TESTS_UNIT_NETSTACK_HARNESS_H_
