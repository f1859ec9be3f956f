// The other side: wireguard-go in a namespace, and a Device driven by a plain UDP socket in the same one.
//
//   wireguard-go  wg0 10.42.0.10/24 fd42::10/64, port 51820      ours  10.42.0.1 and so on, 127.0.0.1
//
// One thread: nothing of ours moves but in RunUntil().
#ifndef TESTS_INTEGRATION_WIREGUARD_INTEROP_FIXTURE_H_
#define TESTS_INTEGRATION_WIREGUARD_INTEROP_FIXTURE_H_

#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/testing/child_process.h"
#include "tests/testing/netns.h"
#include "userspace/base/unique_fd.h"
#include "userspace/wireguard/device.h"

namespace lattice::testing {

// What the path does to each datagram, either way.
struct PathFaults {
  double loss = 0, duplicate = 0, reorder = 0;
  uint64_t seed = 0;
};

class WireguardGo {
 public:
  static absl::StatusOr<std::unique_ptr<WireguardGo>> Create();

  const NetNamespace& ns() const { return *ns_; }
  const wireguard::PublicKey& public_key() const { return public_key_; }
  Endpoint endpoint() const;
  // `wg` with these arguments; its output. `input` is what /dev/stdin is there.
  absl::StatusOr<std::string> Wg(std::vector<std::string> argv, const std::string& input = "") const;
  // `wg show wg0 dump`: the fields of the line of that peer.
  std::vector<std::string> PeerLine(const wireguard::PublicKey& peer) const;

 private:
  WireguardGo() = default;
  std::unique_ptr<NetNamespace> ns_;
  std::unique_ptr<ChildProcess> process_;
  wireguard::PublicKey public_key_;
};

class InteropDriver : public wireguard::Output {
 public:
  // `address` is the tunnel's, on our side; echo requests to it are answered.
  static absl::StatusOr<std::unique_ptr<InteropDriver>> Create(const NetNamespace& ns, const std::string& address,
                                                               const PathFaults& faults = {},
                                                               wireguard::DeviceOptions options = {});
  wireguard::Device& device() { return *device_; }
  uint16_t port() const { return port_; }
  // Another socket, at another port: we have moved.
  absl::Status Rebind(const NetNamespace& ns);
  // Moves packets until `done`; false when it is not within `deadline`.
  bool RunUntil(const std::function<bool()>& done, absl::Duration deadline = absl::Seconds(30));
  // Seals, and sends what is sealed as one GSO send per batch.
  void SendPackets(const std::vector<std::string>& packets);
  // What came out of the tunnel and was no echo request.
  const std::vector<std::string>& delivered() const { return delivered_; }
  size_t requests_answered() const { return requests_answered_; }

  void Send(const Endpoint& to, absl::Span<const uint8_t> datagram) override;
  void Deliver(const wireguard::PublicKey& peer, absl::Span<uint8_t> packet) override;

 private:
  InteropDriver(const std::string& address, const PathFaults& faults);
  void FlushBatch();
  void SendOnPath(const Endpoint& to, absl::Span<const uint8_t> datagrams, size_t segment_bytes);
  void ReceiveAll();
  // Calls `pass` for what the path makes of `datagram`: never, once, twice, or after the next.
  void ThroughPath(std::string datagram, std::deque<std::string>* held, const std::function<void(std::string)>& pass);
  bool Chance(double probability);

  const IpAddress address_;
  const PathFaults faults_;
  std::mt19937_64 random_;
  UniqueFd socket_;
  uint16_t port_ = 0;
  std::unique_ptr<wireguard::Device> device_;
  wireguard::SendBatch batch_;
  std::deque<std::string> held_in_, held_out_;
  std::vector<std::string> delivered_, answers_;
  size_t requests_answered_ = 0;
};

// An ICMP echo request with checksums, IPv4 or IPv6 by the addresses; `bytes` of data. And whether `packet` answers it.
std::string EchoRequestPacket(const std::string& source, const std::string& destination, uint16_t sequence,
                              size_t bytes = 56);
bool IsEchoReply(const std::string& packet, uint16_t sequence);

}  // namespace lattice::testing

#endif  // TESTS_INTEGRATION_WIREGUARD_INTEROP_FIXTURE_H_
