// Attaching to a real device, by each kind of hook, and being taken away again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/capability.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "tests/integration/datapath_fixture.h"
#include "tests/testing/command.h"
#include "tests/testing/sockets.h"
#include "tests/testing/tcx_chain.h"
#include "userspace/datapath/detach.h"
#include "userspace/datapath/pinned_hooks.h"
#include "userspace/datapath/pins.h"

namespace lattice::datapath {
namespace {

using lattice::testing::AttachForeignProgram;
using lattice::testing::CommandResult;
using lattice::testing::RunCommand;
using lattice::testing::TcxHook;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class DatapathAttach : public DatapathTest, public ::testing::WithParamInterface<TcKind> {
 protected:
  std::string Kind() const { return GetParam() == TcKind::kTcx ? "tcx" : "clsact"; }
  std::string Filters() {
    std::string text;
    for (const char* direction : {"egress", "ingress"}) {
      text += RunCommand(ns_->Inside({"tc", "filter", "show", "dev", kDevice, direction})).out;
    }
    return text;
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, DatapathAttach, ::testing::Values(TcKind::kTcx, TcKind::kClsact),
                         [](const auto& tested) { return tested.param == TcKind::kTcx ? "Tcx" : "Clsact"; });

TEST_P(DatapathAttach, LetsThroughWhatThePolicyNamesAndNothingElse) {
  Options options = DefaultOptions();
  options.tc_kind = GetParam();
  policy::RuleSet rules = Allow({"198.51.100.0/24:53/udp", "[2001:db8::/64]:53/udp"});
  rules.ingress_default_deny = true;
  const auto datapath = Create(options, rules);
  ASSERT_TRUE(datapath.ok()) << datapath.status();

  EXPECT_TRUE(Crosses("198.51.100.7", 53));
  EXPECT_FALSE(Crosses("198.51.100.7", 54));
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
  EXPECT_TRUE(Crosses("2001:db8::7", 53));
  EXPECT_FALSE(Crosses("2001:db8::7", 54));
  EXPECT_FALSE(ComesIn("203.0.113.7", 4000, 5000));
  EXPECT_TRUE(ComesIn("192.0.2.250", 4000, 5000));

  const std::vector<HookStatus> hooks = Hooks(**datapath);
  ASSERT_THAT(hooks, SizeIs(2));
  for (const HookStatus& hook : hooks) {
    EXPECT_EQ(hook.kind, Kind());
    EXPECT_EQ(hook.target, kDevice);
    EXPECT_TRUE(hook.attached && hook.enforcing) << hook.detail;
    EXPECT_EQ(hook.position, 0);
    EXPECT_EQ(hook.chain_length, 1);
    EXPECT_EQ(hook.detail, "");
  }
  EXPECT_EQ(hooks[0].hook, LAT_HOOK_TC_EGRESS);
  EXPECT_EQ(hooks[1].hook, LAT_HOOK_TC_INGRESS);
}

TEST_P(DatapathAttach, IngressIsOpenUnlessTheDefaultIsDeny) {
  Options options = DefaultOptions();
  options.tc_kind = GetParam();
  const auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_TRUE(ComesIn("203.0.113.7", 4000, 5000));
}

TEST_P(DatapathAttach, AuditModePassesAndDoesNotCallItEnforcing) {
  Options options = DefaultOptions();
  options.tc_kind = GetParam();
  options.mode = LAT_MODE_AUDIT;
  const auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_TRUE(Crosses("203.0.113.7", 53));
  for (const HookStatus& hook : Hooks(**datapath)) EXPECT_TRUE(hook.attached && !hook.enforcing);
  EXPECT_EQ(Denied(**datapath, 53), 1u);
  const auto stats = (*datapath)->ReadStats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_GE(stats->hooks[LAT_HOOK_TC_EGRESS].verdict[LAT_AUDIT].packets, 1u);
  EXPECT_EQ(stats->hooks[LAT_HOOK_TC_EGRESS].verdict[LAT_DENY].packets, 0u);
}

TEST_P(DatapathAttach, DetachLeavesNothing) {
  Options options = DefaultOptions();
  options.tc_kind = GetParam();
  auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
  datapath->reset();  // as when the daemon is not running
  EXPECT_FALSE(Crosses("203.0.113.7", 53)) << "enforcement outlives the process";

  Inside([&] {
    const auto report = Detach(kDevice, pin_path_);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(report->removed, Contains(GetParam() == TcKind::kTcx ? "link_tc_egress" : "filter egress"));
    EXPECT_THAT(report->removed, Contains("map flows4"));
  });
  EXPECT_TRUE(Crosses("203.0.113.7", 53));
  EXPECT_THAT(Chain(), IsEmpty());
  EXPECT_EQ(Filters(), "");
  EXPECT_THAT(RunCommand(ns_->Inside({"tc", "qdisc", "show", "dev", kDevice})).out, Not(HasSubstr("clsact")));
  EXPECT_THAT(ListPins(folder()).value(), IsEmpty());
  Inside([&] { EXPECT_TRUE(absl::IsNotFound(Detach(kDevice, pin_path_).status())); });
}

TEST_P(DatapathAttach, TheOtherKindIsReplacedAtTheNextStart) {
  Options options = DefaultOptions();
  options.tc_kind = GetParam() == TcKind::kTcx ? TcKind::kClsact : TcKind::kTcx;
  auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  datapath->reset();
  options.tc_kind = GetParam();
  datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
  EXPECT_THAT(Chain(), SizeIs(GetParam() == TcKind::kTcx ? 1 : 0));
  EXPECT_EQ(absl::StrContains(Filters(), "tc_egress"), GetParam() == TcKind::kClsact);
}

TEST_P(DatapathAttach, ComesBackOnADeviceOfTheSameName) {
  Options options = DefaultOptions();
  options.tc_kind = GetParam();
  auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  DeleteDevice();
  for (const HookStatus& hook : Hooks(**datapath)) {
    EXPECT_FALSE(hook.attached || hook.enforcing);
    EXPECT_THAT(hook.detail, HasSubstr(kDevice));
  }
  EXPECT_TRUE(absl::IsNotFound(Reattach(**datapath)));
  MakeDevice();
  for (const HookStatus& hook : Hooks(**datapath)) EXPECT_FALSE(hook.attached || hook.enforcing);
  const absl::Status back = Reattach(**datapath);
  ASSERT_TRUE(back.ok()) << back;
  for (const HookStatus& hook : Hooks(**datapath)) EXPECT_TRUE(hook.enforcing) << hook.detail;
  EXPECT_FALSE(Crosses("203.0.113.7", 53));

  // The pins are those of the new device now: a restart adopts them.
  datapath->reset();
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
  datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_TRUE((*datapath)->adopted());
}

TEST_P(DatapathAttach, PutsBackAProgramThatSomebodyRemoved) {
  Options options = DefaultOptions();
  options.tc_kind = GetParam();
  const auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  if (GetParam() == TcKind::kClsact) {
    ASSERT_TRUE(RunCommand(ns_->Inside({"tc", "qdisc", "del", "dev", kDevice, "clsact"})).ok());
  } else {
    // The link lives on in the process; who detaches it by force needs its descriptor.
    ASSERT_TRUE(RunCommand({"bpftool", "link", "detach", "pinned", folder() + "/link_tc_egress"}).ok());
  }
  EXPECT_TRUE(Crosses("203.0.113.7", 53));
  EXPECT_FALSE(Hooks(**datapath)[0].enforcing);
  const absl::Status back = Reattach(**datapath);
  ASSERT_TRUE(back.ok()) << back;
  EXPECT_TRUE(Hooks(**datapath)[0].enforcing);
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
}

using DatapathWait = DatapathTest;

TEST_F(DatapathWait, EverythingButTheHooksOfTheInterfaceIsThereBeforeIt) {
  DeleteDevice();
  EXPECT_TRUE(absl::IsNotFound(Create(DefaultOptions(), Allow({})).status()));
  Options options = DefaultOptions();
  options.wait_iface = true;
  const auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  for (const HookStatus& hook : Hooks(**datapath)) EXPECT_FALSE(hook.attached);
  EXPECT_TRUE((*datapath)->Apply(Allow({"198.51.100.0/24:53/udp"})).ok());
  EXPECT_TRUE(absl::IsNotFound(Reattach(**datapath)));
  MakeDevice();
  const absl::Status attached = Reattach(**datapath);
  ASSERT_TRUE(attached.ok()) << attached;
  for (const HookStatus& hook : Hooks(**datapath)) EXPECT_TRUE(hook.enforcing) << hook.detail;
  EXPECT_TRUE(Crosses("198.51.100.7", 53));
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
}

TEST_F(DatapathWait, TheInterfaceMayTurnOutToBeEthernet) {
  DeleteDevice();
  Options options = DefaultOptions();
  options.wait_iface = true;
  const auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  const auto peer = lattice::testing::NetNamespace::Create("datapath-peer");
  ASSERT_TRUE(peer.ok()) << peer.status();
  ASSERT_TRUE(ConnectByVeth(*ns_, **peer, kDevice, {"192.0.2.1/24"}, {"192.0.2.7/24"}).ok());
  // Nobody is asked for an address: that would be denied too, and counted elsewhere.
  ASSERT_TRUE(ns_->Ip("neigh replace 192.0.2.7 lladdr 02:00:00:00:00:07 dev lat0").ok());
  const absl::Status attached = Reattach(**datapath);
  ASSERT_TRUE(attached.ok()) << attached;
  for (const HookStatus& hook : Hooks(**datapath)) EXPECT_TRUE(hook.enforcing) << hook.detail;
  const lattice::testing::SocketAddress remote("192.0.2.7", 4711);
  const UniqueFd socket = ns_->Socket(remote.family(), SOCK_DGRAM, 0);
  sendto(socket.get(), "x", 1, 0, remote.get(), remote.length());
  EXPECT_EQ(Denied(**datapath, 4711), 1u) << "found behind the Ethernet header";
}

TEST_F(DatapathWait, OnlyTheInterfaceIsWaitedFor) {
  DeleteDevice();
  Options options = DefaultOptions();
  options.wait_iface = true;
  options.cgroups = {"/sys/fs/cgroup/unified/lat-no-such-cgroup"};
  EXPECT_TRUE(absl::IsNotFound(Create(options, Allow({})).status()));
}

using DatapathPins = DatapathTest;

TEST_F(DatapathPins, ALinkThatCantBePinnedEnforcesAllTheSame) {
  auto datapath = Create(DefaultOptions(), Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  DeleteDevice();
  const std::string pin = folder() + "/link_tc_egress";
  ASSERT_TRUE(RemovePin(pin).ok());
  ASSERT_EQ(mkdir(pin.c_str(), 0700), 0);  // what can't be unlinked
  MakeDevice();
  const absl::Status back = Reattach(**datapath);
  EXPECT_THAT(std::string(back.message()), HasSubstr(pin));
  for (const HookStatus& hook : Hooks(**datapath)) EXPECT_TRUE(hook.enforcing) << hook.detail;
  EXPECT_FALSE(Crosses("203.0.113.7", 53));

  ASSERT_EQ(rmdir(pin.c_str()), 0);
  EXPECT_TRUE((*datapath)->RestorePins().value());
  EXPECT_FALSE((*datapath)->RestorePins().value()) << "all are there";
  datapath->reset();
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
}

TEST_F(DatapathPins, ThatSomebodyRemovedAreMadeAgain) {
  auto datapath = Create(DefaultOptions(), Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  const std::vector<std::string> before = ListPins(folder()).value();
  ASSERT_TRUE(RemovePinFolder(folder()).ok());
  EXPECT_TRUE((*datapath)->RestorePins().value());
  EXPECT_EQ(ListPins(folder()).value(), before);
  datapath->reset();
  EXPECT_FALSE(Crosses("203.0.113.7", 53)) << "enforcement outlives the process again";
  datapath = Create(DefaultOptions(), Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_TRUE((*datapath)->adopted());
}

using DatapathStart = DatapathTest;

TEST_F(DatapathStart, AProgramInFrontOfOursIsNamed) {
  const auto datapath = Create(DefaultOptions(), Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  const auto foreign = AttachForeignProgram(*ns_, kDevice, TcxHook::kEgress);
  ASSERT_TRUE(foreign.ok()) << foreign.status();
  const std::vector<HookStatus> hooks = Hooks(**datapath);
  EXPECT_TRUE(hooks[0].attached);
  EXPECT_EQ(hooks[0].position, 1);
  EXPECT_EQ(hooks[0].chain_length, 2);
  ASSERT_THAT(hooks[0].foreign_before, SizeIs(1));
  EXPECT_EQ(hooks[0].foreign_before[0].name, "foreign");
  EXPECT_THAT(hooks[0].detail, HasSubstr("foreign"));
  EXPECT_THAT(hooks[1].foreign_before, IsEmpty());
}

TEST_F(DatapathStart, ATcxProgramInFrontOfOurFilterIsNamed) {
  Options options = DefaultOptions();
  options.tc_kind = TcKind::kClsact;
  const auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  const auto foreign = AttachForeignProgram(*ns_, kDevice, TcxHook::kEgress);
  ASSERT_TRUE(foreign.ok()) << foreign.status();
  std::vector<HookStatus> pinned;
  Inside([&] { pinned = PinnedHooks(kDevice, pin_path_).value(); });
  for (const HookStatus& hook : {Hooks(**datapath)[0], pinned[0]}) {
    EXPECT_TRUE(hook.attached);
    EXPECT_EQ(hook.position, 1);
    EXPECT_EQ(hook.chain_length, 2);
    ASSERT_THAT(hook.foreign_before, SizeIs(1));
    EXPECT_EQ(hook.foreign_before[0].name, "foreign");
  }
}

TEST_F(DatapathStart, OursGoesInFrontOfWhatIsThere) {
  const auto foreign = AttachForeignProgram(*ns_, kDevice, TcxHook::kEgress);
  ASSERT_TRUE(foreign.ok()) << foreign.status();
  const auto datapath = Create(DefaultOptions(), Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_EQ(Hooks(**datapath)[0].position, 0);
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
}

TEST_F(DatapathStart, AForeignFilterStaysBehindOurs) {
  ASSERT_TRUE(RunCommand(ns_->Inside({"tc", "qdisc", "add", "dev", kDevice, "clsact"})).ok());
  const CommandResult added = RunCommand(ns_->Inside({"tc", "filter", "add", "dev", kDevice, "egress", "prio", "7",
                                                      "protocol", "all", "u32", "match", "u32", "0", "0"}));
  ASSERT_TRUE(added.ok()) << added;
  Options options = DefaultOptions();
  options.tc_kind = TcKind::kClsact;
  auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  const HookStatus egress = Hooks(**datapath)[0];
  EXPECT_EQ(egress.position, 0);
  EXPECT_EQ(egress.chain_length, 3) << "u32 lists its hash table too";
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
  datapath->reset();
  Inside([&] { EXPECT_TRUE(Detach(kDevice, pin_path_).ok()); });
  EXPECT_THAT(RunCommand(ns_->Inside({"tc", "filter", "show", "dev", kDevice, "egress"})).out, HasSubstr("u32"));
}

TEST_F(DatapathStart, AFilterInOurPlaceIsNamedAndTheQdiscStaysTheirs) {
  Options options = DefaultOptions();
  options.tc_kind = TcKind::kClsact;
  ASSERT_TRUE(RunCommand(ns_->Inside({"tc", "qdisc", "add", "dev", kDevice, "clsact"})).ok());
  const CommandResult added = RunCommand(ns_->Inside({"tc", "filter", "add", "dev", kDevice, "ingress", "prio", "1",
                                                      "protocol", "all", "u32", "match", "u32", "0", "0"}));
  ASSERT_TRUE(added.ok()) << added;
  absl::Status status = Create(options, Allow({})).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("tc filter del dev lat0 ingress pref 1"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("u32"));
  EXPECT_THAT(RunCommand(ns_->Inside({"tc", "filter", "show", "dev", kDevice, "ingress"})).out, HasSubstr("u32"));
  EXPECT_EQ(RunCommand(ns_->Inside({"tc", "filter", "show", "dev", kDevice, "egress"})).out, "") << "undone";

  ASSERT_TRUE(RunCommand(ns_->Inside({"tc", "qdisc", "del", "dev", kDevice, "clsact"})).ok());
  options.policy_memory_bytes = 4096;
  EXPECT_FALSE(Create(options, Allow({})).ok());
  EXPECT_THAT(RunCommand(ns_->Inside({"tc", "qdisc", "show", "dev", kDevice})).out, Not(HasSubstr("clsact")));
}

TEST_F(DatapathStart, AnInterfaceMayHaveADotInItsNameAPinPathNot) {
  const auto tun = lattice::testing::TunDevice::Create(*ns_, "lat0.5", {"198.51.100.1/24"});
  ASSERT_TRUE(tun.ok()) << tun.status();
  Options options = DefaultOptions();
  options.iface = "lat0.5";
  const auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_TRUE(Hooks(**datapath)[0].enforcing);
  Inside([&] { EXPECT_TRUE(Detach("lat0.5", pin_path_).ok()); });

  options.pin_path += "/v1.2";
  const absl::Status status = Create(options, Allow({})).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no dot"));
}

TEST_F(DatapathStart, NoSuchInterfaceIsSaidByName) {
  Options options = DefaultOptions();
  options.iface = "lat9";
  const auto datapath = Create(options, Allow({}));
  EXPECT_TRUE(absl::IsNotFound(datapath.status())) << datapath.status();
  EXPECT_THAT(std::string(datapath.status().message()), HasSubstr("lat9"));
}

TEST_F(DatapathStart, AStartThatFailsLeavesNothing) {
  Options options = DefaultOptions();
  options.cgroups = {"/sys/fs/cgroup/unified/lat-no-such-cgroup"};
  EXPECT_FALSE(Create(options, Allow({})).ok());
  options = DefaultOptions();
  options.policy_memory_bytes = 4096;
  const auto datapath = Create(options, Allow({}));
  EXPECT_TRUE(absl::IsResourceExhausted(datapath.status())) << datapath.status();
  EXPECT_THAT(Chain(), IsEmpty());
  EXPECT_THAT(ListPins(folder()).value(), IsEmpty());
  EXPECT_TRUE(Crosses("203.0.113.7", 53));
}

TEST_F(DatapathStart, WithoutCapabilitiesTheMissingOneIsNamed) {
  std::string message;
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const pid_t child = fork();
  if (child == 0) {
    cap_t none = cap_init();
    if (cap_set_proc(none) != 0) _exit(1);
    // Not in the namespace (that needs a capability too): the loopback device is everywhere.
    Options options = DefaultOptions();
    options.iface = "lo";
    const std::string text = Datapath::Create(options, Allow({})).status().ToString();
    const bool written = write(fds[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(written ? 0 : 1);
  }
  close(fds[1]);
  char buffer[4096];
  for (ssize_t n; (n = read(fds[0], buffer, sizeof(buffer))) > 0;) message.append(buffer, static_cast<size_t>(n));
  close(fds[0]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(message, HasSubstr("PERMISSION_DENIED"));
  EXPECT_THAT(message, HasSubstr("CAP_BPF"));
}

}  // namespace
}  // namespace lattice::datapath
