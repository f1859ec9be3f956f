// Debian's lwIP as the other end, in simulated time: its clock is ours, its timers run when we say so, its packets are
// handed over. One connection at a time, one peer in a process (lwIP is global). One thread.
#ifndef TESTS_UNIT_NETSTACK_LWIP_PEER_H_
#define TESTS_UNIT_NETSTACK_LWIP_PEER_H_

#include <cstdint>
#include <functional>
#include <string>

namespace lattice::testing {

class LwipPeer {
 public:
  // At 192.0.2.2, for ever. `send` gets each packet.
  static LwipPeer& Get();
  std::function<void(std::string packet)> send;

  void Receive(const std::string& packet);
  // Its clock goes to `now_ms`, and what is due runs.
  void Advance(uint32_t now_ms);

  // Sends `bytes` of the stream `seed`, reads that of `peer_seed`, shuts down its half when all is sent.
  void Start(uint64_t bytes, uint64_t seed, uint64_t peer_seed);
  void Listen(uint16_t port);
  void Connect(uint32_t address, uint16_t port);
  void Stop();  // what is left is aborted

  uint64_t sent = 0, received = 0, want = 0, seed = 0, peer_seed = 0;
  bool mismatch = false, eof = false, failed = false, connected = false;

 private:
  LwipPeer();
};

}  // namespace lattice::testing

#endif  // TESTS_UNIT_NETSTACK_LWIP_PEER_H_
