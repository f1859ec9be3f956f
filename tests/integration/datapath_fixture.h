// A namespace with a real TUN device and a pin path of its own. Whether a packet crossed is
// told by order, not by time: a marker that every policy here allows follows it, and what has
// not come out before the marker was dropped.
#ifndef TESTS_INTEGRATION_DATAPATH_FIXTURE_H_
#define TESTS_INTEGRATION_DATAPATH_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/testing/netns.h"
#include "tests/testing/tun.h"
#include "userspace/datapath/datapath.h"
#include "userspace/datapath/options.h"
#include "userspace/policy/rule.h"

namespace lattice::datapath {

inline constexpr char kDevice[] = "lat0";

// Egress rules, and the marker's own.
policy::RuleSet Allow(const std::vector<std::string>& rules);
policy::Rule NamedRule(const std::string& text, const std::string& name);

// Ids of the maps and programs behind pins; 0: no such pin.
uint32_t PinnedMapId(const std::string& folder, const std::string& name);

class DatapathTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // The device, made (again).
  void MakeDevice();
  void DeleteDevice() { tun_.reset(); }

  Options DefaultOptions() const;
  absl::StatusOr<std::unique_ptr<Datapath>> Create(const Options& options, const policy::RuleSet& rules);
  // Inside the namespace.
  std::vector<HookStatus> Hooks(const Datapath& datapath);
  absl::Status Reattach(Datapath& datapath);
  void Inside(const std::function<void()>& work) { ns_->Run(work); }

  // Sends a datagram to `ip`, `port` and tells whether it came out of the device.
  bool Crosses(const std::string& ip, uint16_t port);
  // The same for one that comes in from `ip`, `port` to a socket on our `local_port`.
  bool ComesIn(const std::string& ip, uint16_t port, uint16_t local_port);

  // Denied or audited packets to or from `port` at the hooks of `scope`. Not from the counters of the hook:
  // the kernel itself sends neighbour and multicast packets now and then.
  uint64_t Denied(const Datapath& datapath, uint16_t port, lat_scope scope = LAT_SCOPE_IFACE);

  std::string folder() const { return pin_path_ + "/" + kDevice; }
  std::vector<uint32_t> Chain(bool egress = true);

  std::unique_ptr<lattice::testing::NetNamespace> ns_;
  std::unique_ptr<lattice::testing::TunDevice> tun_;
  std::string pin_path_;

 private:
  void Send(const std::string& ip, uint16_t port, uint16_t payload);
  uint16_t serial_ = 0;
};

}  // namespace lattice::datapath

#endif  // TESTS_INTEGRATION_DATAPATH_FIXTURE_H_
