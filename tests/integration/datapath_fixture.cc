#include "tests/integration/datapath_fixture.h"

#include <linux/bpf.h>
#include <sys/socket.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/testing/packet.h"
#include "tests/testing/sockets.h"
#include "tests/testing/tcx_chain.h"
#include "userspace/datapath/bpffs.h"
#include "userspace/datapath/detach.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/pins.h"

namespace lattice::datapath {
namespace {

using lattice::testing::NetNamespace;
using lattice::testing::SocketAddress;
using lattice::testing::TunDevice;

constexpr char kBpffs[] = "/sys/fs/bpf";
constexpr char kLocal[] = "192.0.2.1";
constexpr char kMarker[] = "192.0.2.250";
constexpr uint16_t kMarkerPort = 9;
constexpr absl::Duration kPatience = absl::Seconds(10);

policy::Rule Parse(const std::string& text) {
  auto rule = policy::ParseRule(text, nullptr);
  EXPECT_TRUE(rule.ok()) << rule.status();
  return *rule;
}

// Pins that a crashed test process left; what they held goes with them.
void RemoveLeftovers() {
  for (const std::string& name : lattice::testing::DeadLeftovers(lattice::testing::FolderEntries(kBpffs))) {
    const std::string path = absl::StrCat(kBpffs, "/", name);
    for (const std::string& folder : lattice::testing::FolderEntries(path)) {
      EXPECT_TRUE(RemovePinFolder(absl::StrCat(path, "/", folder)).ok()) << path;
    }
    EXPECT_TRUE(RemovePinFolder(path).ok()) << path;
  }
}

std::string Token(uint16_t serial) {
  return absl::StrFormat("lat-token-%05d", serial);
}

}  // namespace

policy::RuleSet Allow(const std::vector<std::string>& rules) {
  policy::RuleSet set;
  set.egress.push_back(Parse(absl::StrCat(kMarker, "/32:", kMarkerPort, "/udp")));
  for (const std::string& rule : rules) set.egress.push_back(Parse(rule));
  set.ingress.push_back(Parse(absl::StrCat(kMarker, "/32")));
  return set;
}

policy::Rule NamedRule(const std::string& text, const std::string& name) {
  policy::Rule rule = Parse(text);
  rule.name = name;
  return rule;
}

uint32_t PinnedMapId(const std::string& folder, const std::string& name) {
  const auto pin = OpenPin(absl::StrCat(folder, "/", name));
  if (!pin.ok()) return 0;
  const auto info = MapInfo(pin->get());
  return info.ok() ? info->id : 0;
}

void DatapathTest::SetUp() {
  static int tests = 0;
  pin_path_ = absl::StrFormat("%s/lat-t-%d-datapath%d", kBpffs, getpid(), tests++);
  const absl::Status mounted = MountBpffsIfMissing(pin_path_);
  ASSERT_TRUE(mounted.ok()) << mounted;
  RemoveLeftovers();
  auto ns = NetNamespace::Create("datapath");
  ASSERT_TRUE(ns.ok()) << ns.status();
  ns_ = *std::move(ns);
  MakeDevice();
}

void DatapathTest::TearDown() {
  if (ns_ != nullptr) {
    Inside([&] {
      const auto detached = Detach(kDevice, pin_path_);
      EXPECT_TRUE(detached.ok() || absl::IsNotFound(detached.status())) << detached.status();
    });
  }
  EXPECT_TRUE(RemovePinFolder(pin_path_).ok());
}

void DatapathTest::MakeDevice() {
  auto tun = TunDevice::Create(*ns_, kDevice, {"192.0.2.1/24", "2001:db8::1/64"});
  ASSERT_TRUE(tun.ok()) << tun.status();
  tun_ = *std::move(tun);
  ASSERT_TRUE(ns_->Ip(absl::StrCat("route add default dev ", kDevice)).ok());
}

Options DatapathTest::DefaultOptions() const {
  return {.iface = kDevice,
          .pin_path = pin_path_,
          .version = "test",
          .max_flows = 1024,
          .max_denied = 1024,
          .flow_ring_bytes = 1 << 16,
          .denied_ring_bytes = 1 << 16};
}

absl::StatusOr<std::unique_ptr<Datapath>> DatapathTest::Create(const Options& options, const policy::RuleSet& rules) {
  absl::StatusOr<std::unique_ptr<Datapath>> datapath;
  Inside([&] { datapath = Datapath::Create(options, rules); });
  return datapath;
}

std::vector<HookStatus> DatapathTest::Hooks(const Datapath& datapath) {
  std::vector<HookStatus> hooks;
  Inside([&] { hooks = datapath.Hooks(); });
  return hooks;
}

absl::Status DatapathTest::Reattach(Datapath& datapath) {
  absl::Status status;
  Inside([&] { status = datapath.Reattach(); });
  return status;
}

std::vector<uint32_t> DatapathTest::Chain(bool egress) {
  using lattice::testing::TcxHook;
  const auto ids = lattice::testing::TcxPrograms(*ns_, kDevice, egress ? TcxHook::kEgress : TcxHook::kIngress);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.value_or(std::vector<uint32_t>());
}

uint64_t DatapathTest::Denied(const Datapath& datapath, uint16_t port, lat_scope scope) {
  uint64_t packets = 0;
  const absl::Status status = datapath.ForEachDenied([&](const lat_denied_key& key, const lat_denied& denied) {
    if (key.port == port && key.scope == scope) packets += denied.packets;
    return true;
  });
  EXPECT_TRUE(status.ok()) << status;
  return packets;
}

void DatapathTest::Send(const std::string& ip, uint16_t port, uint16_t payload) {
  const SocketAddress remote(ip, port);
  const UniqueFd socket = ns_->Socket(remote.family(), SOCK_DGRAM, 0);
  ASSERT_TRUE(socket.ok());
  const std::string token = Token(payload);
  // A dropped packet may come back as an error of sendto; what counts is what crosses.
  sendto(socket.get(), token.data(), token.size(), 0, remote.get(), remote.length());
}

bool DatapathTest::Crosses(const std::string& ip, uint16_t port) {
  const uint16_t tested = ++serial_;
  const uint16_t marker = ++serial_;
  Send(ip, port, tested);
  Send(kMarker, kMarkerPort, marker);
  bool crossed = false;
  while (true) {
    const auto packet = tun_->Read(kPatience);
    if (!packet.has_value()) {
      ADD_FAILURE() << "the marker did not cross";
      return crossed;
    }
    if (packet->find(Token(tested)) != std::string::npos) crossed = true;
    if (packet->find(Token(marker)) != std::string::npos) return crossed;
  }
}

bool DatapathTest::ComesIn(const std::string& ip, uint16_t port, uint16_t local_port) {
  using lattice::testing::Ends;
  const auto socket = lattice::testing::BoundSocket(*ns_, SOCK_DGRAM, SocketAddress(kLocal, local_port));
  EXPECT_TRUE(socket.ok()) << socket.status();
  if (!socket.ok()) return false;
  lattice::testing::SetReceiveTimeout(socket->get(), kPatience);
  const auto write = [&](const std::string& from, uint16_t from_port, uint16_t payload) {
    const Ends ends{lattice::testing::Ip(kLocal), lattice::testing::Ip(from), local_port, from_port};
    lattice::testing::Packet packet = lattice::testing::Udp(ends, LAT_INGRESS, Token(payload).size());
    packet.upper.replace(8, std::string::npos, Token(payload));
    EXPECT_TRUE(tun_->Write(packet.IpBytes()).ok());
  };
  const uint16_t tested = ++serial_;
  const uint16_t marker = ++serial_;
  write(ip, port, tested);
  write(kMarker, kMarkerPort, marker);
  bool came = false;
  char buffer[256];
  while (true) {
    const ssize_t size = recv(socket->get(), buffer, sizeof(buffer), 0);
    if (size < 0) {
      ADD_FAILURE() << "the marker did not come in";
      return came;
    }
    const std::string payload(buffer, static_cast<size_t>(size));
    if (payload == Token(tested)) came = true;
    if (payload == Token(marker)) return came;
  }
}

}  // namespace lattice::datapath
