// The cgroup scope: what the processes of a cgroup send, on whichever interface; and nobody else.
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "tests/e2e/overlay_test.h"

namespace lattice::testing {
namespace {

// A fresh cgroup2 folder, removed at the end.
class Cgroup {
 public:
  explicit Cgroup(const std::string& name) : path_(absl::StrCat(Mount(), "/lat-t-", ::getpid(), "-", name)) {
    for (const std::string& dead : DeadLeftovers(FolderEntries(Mount()))) ::rmdir((Mount() + "/" + dead).c_str());
    PCHECK(::mkdir(path_.c_str(), 0755) == 0) << path_;
  }
  ~Cgroup() {
    // It is empty when its last process has been reaped, which the kernel notices a moment later.
    LOG_IF(ERROR, !WaitUntil([&] { return ::rmdir(path_.c_str()) == 0; })) << "removing " << path_;
  }
  const std::string& path() const { return path_; }
  // `argv` run by a process of this cgroup, inside `ns`.
  CommandResult Run(const NetNamespace& ns, const std::vector<std::string>& argv) const {
    std::vector<std::string> all = {"sh", "-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"", path_};
    all.insert(all.end(), argv.begin(), argv.end());
    return RunCommand(ns.Inside(std::move(all)));
  }

 private:
  static std::string Mount() {
    std::ifstream mounts("/proc/self/mounts");
    for (std::string line; std::getline(mounts, line);) {
      std::istringstream words(line);
      std::string device, folder, type;
      words >> device >> folder >> type;
      if (type == "cgroup2") return folder;
    }
    LOG(FATAL) << "no cgroup2 is mounted";
  }
  std::string path_;
};

class ScopeTest : public OverlayTest {
 protected:
  static std::vector<std::string> CurlCommand(const std::string& url) {
    return {"curl", "-sS", "--max-time", "1", url};
  }
};

TEST_F(ScopeTest, AProcessOfTheCgroupIsLimitedOnEveryInterfaceAndOthersAreNot) {
  Http(peer(), 80);
  Http(node(), 8080);
  Cgroup cgroup("scope");
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=10.42.0.10/32,192.0.2.2/32:80", "--cgroup=" + cgroup.path()}));
  // net0, the underlay: no rule of wg0 is asked there, but the cgroup's processes are judged.
  EXPECT_EQ(cgroup.Run(node(), CurlCommand("http://192.0.2.2/")).out, "hello\n");
  EXPECT_NE(cgroup.Run(node(), CurlCommand("http://[2001:db8::2]/")).exit_code, 0);
  EXPECT_EQ(Curl(node(), "http://[2001:db8::2]/").out, "hello\n") << "outside the cgroup the underlay is free";
  EXPECT_EQ(cgroup.Run(node(), CurlCommand("http://10.42.0.10/")).out, "hello\n");
  EXPECT_NE(cgroup.Run(node(), CurlCommand("http://10.42.0.20/")).exit_code, 0);
  EXPECT_EQ(cgroup.Run(node(), CurlCommand("http://127.0.0.1:8080/")).out, "hello\n") << "loopback is open";

  const auto denied = dp_->WaitForRecord([](const AuditRecord& r) {
    return r["event"] == "denied" && r["scope"] == "cgroup" && r["dst_ip"] == "2001:db8::2";
  });
  ASSERT_TRUE(denied.has_value());
  EXPECT_THAT((*denied)["cgroup"], ::testing::HasSubstr("scope"));
  const CommandResult status = dp_->Cli({"status"});
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(status.out, ::testing::HasSubstr(cgroup.path()));
}

TEST_F(ScopeTest, LargeDatagramsOfTheCgroupPassByAPortRuleAndOnlyByIt) {
  UdpServer* allowed = UdpEcho(peer(), "192.0.2.2", 7000);
  UdpServer* denied = UdpEcho(peer(), "192.0.2.2", 7001);
  Cgroup cgroup("large");
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.2/32:7000/udp", "--cgroup=" + cgroup.path()}));
  const auto send = [&](const char* port) {
    return cgroup.Run(
        node(),
        {"sh", "-c",
         absl::StrCat("head -c 4000 /dev/zero | timeout 2 socat -b 8192 -T 1 - UDP4:192.0.2.2:", port, " | wc -c")});
  };
  EXPECT_THAT(send("7000").out, ::testing::HasSubstr("4000"));
  EXPECT_THAT(send("7001").out, ::testing::HasSubstr("0"));
  EXPECT_EQ(allowed->datagrams(), 1u);
  EXPECT_EQ(denied->datagrams(), 0u);
}

TEST_F(ScopeTest, TheCgroupStaysLimitedWhenTheDaemonDies) {
  Http(peer(), 80);
  Cgroup cgroup("dead");
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.2/32", "--cgroup=" + cgroup.path()}));
  dp_->Kill();
  EXPECT_EQ(cgroup.Run(node(), CurlCommand("http://192.0.2.2/")).out, "hello\n");
  EXPECT_NE(cgroup.Run(node(), CurlCommand("http://[2001:db8::2]/")).exit_code, 0);
  // Without the flag the next one lets it go, and says so.
  dp_->args().pop_back();
  ASSERT_TRUE(dp_->Start().ok()) << dp_->log();
  EXPECT_THAT(dp_->log(),
              ::testing::HasSubstr("enforced until this start, and not any more: judging what the processes of " +
                                   cgroup.path() + " send: no --cgroup names it"));
  EXPECT_EQ(cgroup.Run(node(), CurlCommand("http://[2001:db8::2]/")).out, "hello\n");
}

}  // namespace
}  // namespace lattice::testing
