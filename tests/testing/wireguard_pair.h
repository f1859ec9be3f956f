// Two namespaces, "node" and "peer", joined by a veth pair (net0, the underlay) and on it by a
// WireGuard tunnel: wireguard-go makes a real TUN `wg0` on each end.
//
//          node                          peer
//   wg0    10.42.0.1/16  fd42::1/64      10.42.0.10/16  10.42.0.20  fd42::10/64  fd42::20   MTU 1420
//   net0   192.0.2.1/24  2001:db8::1/64  192.0.2.2/24   2001:db8::2/64
//
// The node routes 198.51.100.0/24, 203.0.113.0/24 and 2001:db8:f::/48 into the tunnel, and the
// peer answers for every address of them: a test has as many destinations as it wants. All of it
// works when Create() returns (it has pinged). One thread.
#ifndef TESTS_TESTING_WIREGUARD_PAIR_H_
#define TESTS_TESTING_WIREGUARD_PAIR_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/testing/child_process.h"
#include "tests/testing/netns.h"

namespace lattice::testing {

class WireguardPair {
 public:
  static absl::StatusOr<std::unique_ptr<WireguardPair>> Create();

  const NetNamespace& node() const { return *node_.ns; }
  const NetNamespace& peer() const { return *peer_.ns; }

  // As `wg-quick down` and `up`: the node's wg0 goes, with all that hangs on it, and is made anew.
  absl::Status RemoveNodeDevice();
  absl::Status RestoreNodeDevice();

 private:
  struct End {
    std::string address_lines;  // ip-batch, after the device is there
    std::string underlay;       // address of this end
    std::string private_key, public_key;
    std::unique_ptr<NetNamespace> ns;
    std::unique_ptr<ChildProcess> wireguard;
  };
  absl::Status CreateEnds();
  static absl::Status StartWireguard(End& end, const End& other);
  absl::Status WaitUntilUsable() const;
  End node_, peer_;
};

// The kernel's counters of one device, as `ip -s link` shows them.
struct LinkCounters {
  uint64_t tx_packets = 0, tx_bytes = 0, tx_dropped = 0;
  uint64_t rx_packets = 0, rx_bytes = 0, rx_dropped = 0;
};
absl::StatusOr<LinkCounters> ReadLinkCounters(const NetNamespace& ns, const std::string& device);

}  // namespace lattice::testing

#endif  // TESTS_TESTING_WIREGUARD_PAIR_H_
