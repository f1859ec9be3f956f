// The cgroup scope: what the processes of a cgroup send, wherever it goes.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "tests/integration/datapath_fixture.h"
#include "tests/testing/netns.h"
#include "tests/testing/sockets.h"
#include "userspace/base/file.h"
#include "userspace/datapath/pins.h"

namespace lattice::datapath {
namespace {

using lattice::testing::SocketAddress;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

std::string Cgroup2Mount() {
  const auto mounts = ReadFile("/proc/self/mounts");
  for (absl::string_view line : absl::StrSplit(mounts.value_or(""), '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, ' ');
    if (fields.size() > 2 && fields[2] == "cgroup2") return fields[1];
  }
  return "";
}

class DatapathCgroup : public DatapathTest {
 protected:
  void SetUp() override {
    DatapathTest::SetUp();
    const std::string mount = Cgroup2Mount();
    ASSERT_NE(mount, "");
    for (const std::string& name : lattice::testing::DeadLeftovers(lattice::testing::FolderEntries(mount))) {
      EXPECT_EQ(rmdir((mount + "/" + name).c_str()), 0) << name;
    }
    cgroup_ = absl::StrCat(mount, "/lat-t-", getpid(), "-agent");
    ASSERT_EQ(mkdir(cgroup_.c_str(), 0755), 0);
  }
  void TearDown() override {
    DatapathTest::TearDown();
    if (!cgroup_.empty()) rmdir(cgroup_.c_str());  // a test may have removed it
  }

  // From a process in `cgroup`.
  void SendFrom(const std::string& cgroup, const std::string& ip, uint16_t port) {
    const SocketAddress remote(ip, port);
    const std::string procs = cgroup + "/cgroup.procs";
    Inside([&] {
      const pid_t child = fork();
      if (child == 0) {
        const int fd = open(procs.c_str(), O_WRONLY);
        if (fd < 0 || write(fd, "0", 1) != 1) _exit(1);
        const int socket = ::socket(remote.family(), SOCK_DGRAM, 0);
        sendto(socket, "x", 1, 0, remote.get(), remote.length());
        _exit(0);
      }
      int status = 0;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      ASSERT_EQ(status, 0);
    });
  }

  uint64_t Packets(const Datapath& datapath, lat_hook hook, lat_verdict verdict) {
    const auto stats = datapath.ReadStats();
    EXPECT_TRUE(stats.ok()) << stats.status();
    return stats.ok() ? stats->hooks[hook].verdict[verdict].packets : 0;
  }

  std::string cgroup_;
};

TEST_F(DatapathCgroup, JudgesWhatItsProcessesSendOnEveryInterface) {
  Options options = DefaultOptions();
  options.cgroups = {cgroup_};
  const auto datapath = Create(options, Allow({"198.51.100.0/24:53/udp"}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  const std::vector<HookStatus> hooks = Hooks(**datapath);
  ASSERT_THAT(hooks, SizeIs(4));
  for (const HookStatus& hook : hooks) EXPECT_TRUE(hook.attached && hook.enforcing) << hook.detail;
  EXPECT_EQ(hooks[2].kind, "cgroup");
  EXPECT_EQ(hooks[2].target, cgroup_);
  EXPECT_THAT(ListPins(folder()).value(), AllOf(Contains("link_cgroup0_egress"), Contains("link_cgroup0_ingress")));

  SendFrom(cgroup_, "198.51.100.7", 53);
  EXPECT_EQ(Packets(**datapath, LAT_HOOK_CGROUP_EGRESS, LAT_ALLOW), 1u);
  EXPECT_EQ(Packets(**datapath, LAT_HOOK_TC_EGRESS, LAT_ALLOW), 1u);
  SendFrom(cgroup_, "203.0.113.7", 53);
  EXPECT_EQ(Packets(**datapath, LAT_HOOK_CGROUP_EGRESS, LAT_DENY), 1u);
  EXPECT_EQ(Denied(**datapath, 53, LAT_SCOPE_CGROUP), 1u);
  EXPECT_EQ(Denied(**datapath, 53, LAT_SCOPE_IFACE), 0u) << "never got that far";
  EXPECT_FALSE(Crosses("203.0.113.7", 53)) << "and others are judged at the interface";
  EXPECT_EQ(Denied(**datapath, 53, LAT_SCOPE_IFACE), 1u);
}

TEST_F(DatapathCgroup, ARestartKeepsTheLinkAndDropsWhatIsNotWantedAnyMore) {
  Options options = DefaultOptions();
  options.cgroups = {cgroup_};
  auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  datapath->reset();
  datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_EQ(Hooks(**datapath)[2].chain_length, 1);
  datapath->reset();
  datapath = Create(DefaultOptions(), Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_THAT(ListPins(folder()).value(), Not(Contains(HasSubstr("link_cgroup"))));
  SendFrom(cgroup_, "203.0.113.7", 53);
  EXPECT_EQ(Packets(**datapath, LAT_HOOK_CGROUP_EGRESS, LAT_DENY), 0u);
}

TEST_F(DatapathCgroup, ComesBackOnACgroupOfTheSamePath) {
  Options options = DefaultOptions();
  options.cgroups = {cgroup_};
  const auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  ASSERT_EQ(rmdir(cgroup_.c_str()), 0);
  EXPECT_FALSE(Hooks(**datapath)[2].attached);
  EXPECT_TRUE(absl::IsNotFound(Reattach(**datapath)));
  ASSERT_EQ(mkdir(cgroup_.c_str(), 0755), 0);
  EXPECT_FALSE(Hooks(**datapath)[2].attached);
  const absl::Status back = Reattach(**datapath);
  ASSERT_TRUE(back.ok()) << back;
  EXPECT_TRUE(Hooks(**datapath)[2].enforcing);
  SendFrom(cgroup_, "203.0.113.7", 53);
  EXPECT_EQ(Packets(**datapath, LAT_HOOK_CGROUP_EGRESS, LAT_DENY), 1u);
}

TEST_F(DatapathCgroup, OneInsideAnotherIsRefusedBecauseItWouldCountTwice) {
  const std::string inner = cgroup_ + "/inner";
  ASSERT_EQ(mkdir(inner.c_str(), 0755), 0);
  Options options = DefaultOptions();
  options.cgroups = {inner, cgroup_};
  const auto nested = Create(options, Allow({}));
  EXPECT_TRUE(absl::IsInvalidArgument(nested.status())) << nested.status();
  EXPECT_THAT(std::string(nested.status().message()), AllOf(HasSubstr(inner), HasSubstr("counted twice")));
  options.cgroups = {cgroup_, cgroup_ + "/."};
  const auto twice = Create(options, Allow({}));
  EXPECT_TRUE(absl::IsInvalidArgument(twice.status())) << twice.status();
  options.cgroups = {"/tmp"};
  const auto elsewhere = Create(options, Allow({}));
  EXPECT_TRUE(absl::IsInvalidArgument(elsewhere.status())) << elsewhere.status();
  EXPECT_THAT(std::string(elsewhere.status().message()), HasSubstr("cgroup2"));
  EXPECT_EQ(rmdir(inner.c_str()), 0);
}

TEST_F(DatapathCgroup, AProgramAboveThatLetsNoOtherInIsTheReason) {
  const bpf_insn allow[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1},
                            {.code = BPF_JMP | BPF_EXIT}};
  const UniqueFd program(bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, "exclusive", "GPL", allow, 2, nullptr));
  ASSERT_TRUE(program.ok());
  const UniqueFd parent(open(cgroup_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(bpf_prog_attach(program.get(), parent.get(), BPF_CGROUP_INET_EGRESS, 0), 0);
  const std::string child = cgroup_ + "/child";
  ASSERT_EQ(mkdir(child.c_str(), 0755), 0);
  Options options = DefaultOptions();
  options.cgroups = {child};
  const auto datapath = Create(options, Allow({}));
  EXPECT_TRUE(absl::IsFailedPrecondition(datapath.status())) << datapath.status();
  EXPECT_THAT(std::string(datapath.status().message()), AllOf(HasSubstr(child), HasSubstr("bpftool cgroup tree")));
  EXPECT_EQ(rmdir(child.c_str()), 0);
}

}  // namespace
}  // namespace lattice::datapath
