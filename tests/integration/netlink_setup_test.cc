// Interfaces, addresses, routes and WireGuard as `lattice up` makes them, looked at with ip(8) and wg(8).
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "tests/testing/child_process.h"
#include "tests/testing/command.h"
#include "tests/testing/netns.h"
#include "tests/testing/tun.h"
#include "tests/testing/wait_until.h"
#include "userspace/netlink/address.h"
#include "userspace/netlink/link.h"
#include "userspace/netlink/route.h"
#include "userspace/netlink/wireguard.h"

namespace lattice::netlink {
namespace {

using lattice::testing::ChildProcess;
using lattice::testing::CommandResult;
using lattice::testing::NetNamespace;
using lattice::testing::RunCommand;
using lattice::testing::TunDevice;
using lattice::testing::WaitUntil;
using ::testing::HasSubstr;
using ::testing::Not;

class NetlinkSetup : public ::testing::Test {
 protected:
  void SetUp() override {
    auto ns = NetNamespace::Create("setup");
    ASSERT_TRUE(ns.ok()) << ns.status();
    ns_ = *std::move(ns);
    auto tun = TunDevice::Create(*ns_, "lat0", {});
    ASSERT_TRUE(tun.ok()) << tun.status();
    tun_ = *std::move(tun);
  }
  absl::Status Inside(const std::function<absl::Status()>& work) {
    absl::Status status;
    ns_->Run([&] { status = work(); });
    return status;
  }
  std::string Ip(std::vector<std::string> words) {
    words.insert(words.begin(), {"ip", "-n", ns_->name()});
    return RunCommand(std::move(words)).out;
  }
  static IpPrefix Prefix(const char* text) { return IpPrefix::Parse(text).value(); }

  std::unique_ptr<NetNamespace> ns_;
  std::unique_ptr<TunDevice> tun_;
};

TEST_F(NetlinkSetup, AnAddressComesAndGoes) {
  for (const char* text : {"10.42.0.2", "fd42::2"}) {
    const IpAddress address = IpAddress::Parse(text).value();
    const int length = address.is_v4() ? 32 : 128;
    ASSERT_TRUE(Inside([&] { return AddAddress("lat0", address, length); }).ok());
    EXPECT_TRUE(Inside([&] { return AddAddress("lat0", address, length); }).ok()) << "again";
    EXPECT_THAT(Ip({"address", "show", "lat0"}), HasSubstr(text));
    ASSERT_TRUE(Inside([&] { return DeleteAddress("lat0", address, length); }).ok());
    EXPECT_THAT(Ip({"address", "show", "lat0"}), Not(HasSubstr(text)));
  }
  EXPECT_TRUE(absl::IsNotFound(Inside([] { return AddAddress("none", IpAddress(), 128); })));
}

TEST_F(NetlinkSetup, ARouteComesAndGoesAndTakesNobodysPlace) {
  ASSERT_TRUE(Inside([] { return SetLinkUp("lat0", 1420); }).ok());
  EXPECT_THAT(Ip({"link", "show", "lat0"}), HasSubstr("mtu 1420"));
  for (const char* text : {"10.42.0.3/32", "10.43.0.0/16", "fd42:1::/64"}) {
    ASSERT_TRUE(Inside([&] { return AddRoute("lat0", Prefix(text)); }).ok()) << text;
    EXPECT_TRUE(absl::IsAlreadyExists(Inside([&] { return AddRoute("lat0", Prefix(text)); }))) << text;
    ASSERT_TRUE(Inside([&] { return DeleteRoute("lat0", Prefix(text)); }).ok()) << text;
    EXPECT_TRUE(absl::IsNotFound(Inside([&] { return DeleteRoute("lat0", Prefix(text)); }))) << text;
  }
  ASSERT_TRUE(Inside([] { return SetLinkDown("lat0"); }).ok());
  EXPECT_THAT(Ip({"link", "show", "lat0"}), Not(HasSubstr(",UP")));
}

TEST_F(NetlinkSetup, LinksAreMadeAndRemoved) {
  ASSERT_TRUE(Inside([] { return CreateLink("made0", "veth"); }).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Inside([] { return CreateLink("made0", "veth"); })));
  ASSERT_TRUE(Inside([] { return DeleteLink("made0"); }).ok());
  EXPECT_TRUE(absl::IsNotFound(Inside([] { return DeleteLink("made0"); })));
  const absl::Status unknown = Inside([] { return CreateLink("made1", "lat-no-such-kind"); });
  EXPECT_TRUE(absl::IsUnimplemented(unknown)) << unknown;
}

WireguardChange OnePeer() {
  return {.private_key = std::string(32, '\x40'),
          .listen_port = 51821,
          .peers = {{.public_key = std::string(32, 'p'),
                     .endpoint = Endpoint{IpAddress::Parse("2001:db8::1").value(), 51820},
                     .allowed_ips = {IpPrefix::Parse("10.42.0.3/32").value(), IpPrefix::Parse("fd42::/64").value()},
                     .keepalive_seconds = 25}}};
}

TEST(WireguardText, IsWhatTheProtocolWants) {
  EXPECT_EQ(WireguardRequest({.peers = {{.public_key = std::string(32, 'p'), .remove = true}}}),
            "set=1\npublic_key=" + std::string("7070707070707070707070707070707070707070707070707070707070707070") +
                "\nremove=true\n\n");
  const std::string text = WireguardRequest(OnePeer());
  EXPECT_THAT(text, HasSubstr("listen_port=51821\n"));
  EXPECT_THAT(text, HasSubstr("endpoint=[2001:db8::1]:51820\n"));
  EXPECT_THAT(text, HasSubstr("replace_allowed_ips=true\nallowed_ip=10.42.0.3/32\nallowed_ip=fd42::/64\n\n"));
}

TEST_F(NetlinkSetup, AProcessTakesPeersAndLosesThem) {
  auto process = ChildProcess::Start(
      {.argv = {"unshare", "--mount", "sh", "-c",
                "mkdir -p /run/wireguard && mount -t tmpfs tmpfs /run/wireguard && exec wireguard-go --foreground wg7"},
       .netns = ns_->path()});
  ASSERT_TRUE(process.ok()) << process.status();
  const std::string pid = std::to_string((*process)->pid());
  const std::string socket = "/proc/" + pid + "/root/run/wireguard/wg7.sock";
  ASSERT_TRUE(WaitUntil([&] { return SetWireguardProcess(socket, {}).ok(); }));
  ASSERT_TRUE(SetWireguardProcess(socket, OnePeer()).ok());
  const auto show = [&] {
    return RunCommand({"nsenter", "--target", pid, "--net", "--mount", "--", "wg", "show", "wg7"}).out;
  };
  const std::string shown = show();
  EXPECT_THAT(shown, HasSubstr("listening port: 51821"));
  EXPECT_THAT(shown, HasSubstr("endpoint: [2001:db8::1]:51820"));
  EXPECT_THAT(shown, HasSubstr("10.42.0.3/32"));
  EXPECT_THAT(shown, HasSubstr("every 25 seconds"));
  WireguardChange removal = OnePeer();
  removal.peers[0].remove = true;
  ASSERT_TRUE(SetWireguardProcess(socket, removal).ok());
  EXPECT_THAT(show(), Not(HasSubstr("peer:")));
  WireguardChange bad = OnePeer();
  bad.peers[0].public_key = "short";
  EXPECT_FALSE(SetWireguardProcess(socket, bad).ok());
}

TEST_F(NetlinkSetup, TheKernelsWireguardTakesPeersAndLosesThem) {
  const absl::Status made = Inside([] { return CreateLink("wg8", "wireguard"); });
  if (absl::IsUnimplemented(made)) GTEST_SKIP() << "this kernel has no WireGuard module";
  ASSERT_TRUE(made.ok()) << made;
  ASSERT_TRUE(Inside([] { return SetWireguard("wg8", OnePeer()); }).ok());
  const std::string shown = RunCommand(ns_->Inside({"wg", "show", "wg8"})).out;
  EXPECT_THAT(shown, HasSubstr("listening port: 51821"));
  EXPECT_THAT(shown, HasSubstr("endpoint: [2001:db8::1]:51820"));
  EXPECT_THAT(shown, HasSubstr("10.42.0.3/32"));
  WireguardChange removal = OnePeer();
  removal.peers[0].remove = true;
  ASSERT_TRUE(Inside([&] { return SetWireguard("wg8", removal); }).ok());
  EXPECT_THAT(RunCommand(ns_->Inside({"wg", "show", "wg8"})).out, Not(HasSubstr("peer:")));
  EXPECT_TRUE(Inside([] { return DeleteLink("wg8"); }).ok());
}

}  // namespace
}  // namespace lattice::netlink
