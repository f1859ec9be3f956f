// Devices in memory: each a node with an endpoint, joined by a path that loses, repeats and reorders by a seed, on a
// clock that jumps from event to event. One thread, no sockets; the same seed gives the same run.
#ifndef TESTS_UNIT_WIREGUARD_NETWORK_H_
#define TESTS_UNIT_WIREGUARD_NETWORK_H_

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/testing/fake_clock.h"
#include "tests/unit/wireguard/seeded_random.h"
#include "userspace/wireguard/device.h"

namespace lattice::wireguard {

struct Datagram {
  Endpoint from, to;
  std::string bytes;
  MessageType type() const;
};

struct Faults {
  double loss = 0, duplicate = 0;
  absl::Duration delay = absl::Milliseconds(5);
  absl::Duration more_delay = absl::ZeroDuration();  // up to this, at random: what reorders
};

class Network;

class Node : public Output {
 public:
  Node(Network& network, const Endpoint& at, const DeviceOptions& options);

  // As a new process: no sessions, no peers.
  void Start();
  Device& device() { return *device_; }
  const PublicKey& key() const { return device_->public_key(); }
  PeerStatus Peer(size_t i = 0) const { return device_->Peers().at(i); }
  uint64_t Count(ReceiveResult result) const { return device_->counters().of(result); }
  // Seals and sends at once.
  SealResult SendPacket(const std::string& packet);
  ReceiveResult Take(const Endpoint& from, std::string datagram);

  const PrivateKey private_key;
  Endpoint at;                         // where it is now: change it to roam
  std::vector<std::string> delivered;  // inner packets
  std::vector<PeerEvent> events;
  std::function<void(const std::string&)> on_deliver;

  void Send(const Endpoint& to, absl::Span<const uint8_t> datagram) override;
  void Deliver(const PublicKey& peer, absl::Span<uint8_t> packet) override;
  void OnPeerEvent(const PublicKey& peer, PeerEvent event) override { events.push_back(event); }

 private:
  Network& network_;
  const DeviceOptions options_;
  std::unique_ptr<Device> device_;
  SendBatch batch_;
};

class Network {
 public:
  explicit Network(uint64_t seed, const Faults& path = {}) : faults(path), random(seed), path_random_(seed + 1) {}

  // At 192.0.2.`number`:51820, with a key of its own.
  Node& Add(int number, DeviceOptions options = {});
  // Each a peer of the other: 10.0.0.`number`/32 and fd00::`number`/128; `a` knows where `b` is.
  void Connect(Node& a, Node& b, const PresharedKey& preshared = {}, uint16_t a_keepalive_s = 0);
  int64_t now_ns() const { return clock.MonotonicNs(); }
  // Datagrams and timers for so long.
  void Run(absl::Duration duration);
  void Transmit(const Datagram& datagram);

  Faults faults;
  testing::FakeClock clock;
  SeededRandom random;
  std::vector<Datagram> sent;                   // all of them, also those lost
  std::function<bool(const Datagram&)> passes;  // false: lost

 private:
  double Fraction() { return std::uniform_real_distribution<double>(0, 1)(path_random_); }
  std::mt19937_64 path_random_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::multimap<int64_t, Datagram> under_way_;  // by time of arrival
};

// An IP packet between the nodes of these numbers, its payload `text`.
std::string Packet4(int from, int to, const std::string& text);
std::string Packet6(int from, int to, const std::string& text);

}  // namespace lattice::wireguard

#endif  // TESTS_UNIT_WIREGUARD_NETWORK_H_
