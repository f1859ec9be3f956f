// Enforcement and flows go on while the policy changes and while the daemon is stopped, killed and
// started again, under load.
//
// Every test runs the same load: a stream that every policy allows and that must not lose one packet
// (it is clocked by its own echoes, so nothing is lost by overrun), a TCP connection that must live, and
// a stream that every policy denies and of which not one packet may arrive.
#include <set>

#include "absl/time/clock.h"
#include "tests/e2e/overlay_test.h"
#include "tests/testing/tcx_chain.h"

namespace lattice::testing {
namespace {

constexpr uint16_t kAlways = 7000;
constexpr uint16_t kNever = 7001;
constexpr uint16_t kFlows = 7002;
constexpr char kPolicy[] = "--egress-allow=10.42.0.10/32:7000,10.42.0.10/32:7002,10.42.0.10/32:7003/tcp";

class ContinuityTest : public OverlayTest {
 protected:
  void BeginLoad(std::vector<std::string> args) {
    always_server_ = UdpEcho(peer(), "10.42.0.10", kAlways);
    never_server_ = UdpSink(peer(), "10.42.0.10", kNever);
    UdpEcho(peer(), "10.42.0.10", kFlows);
    TcpEcho(peer(), "10.42.0.10", 7003);
    ASSERT_NO_FATAL_FAILURE(StartDp(std::move(args)));
    auto always = UdpStream::Create(node(), {"10.42.0.1", 30000}, {"10.42.0.10", kAlways});
    ASSERT_TRUE(always.ok()) << always.status();
    always_ = std::move(*always);
    auto never = UdpStream::Create(node(), {"10.42.0.1", 30001}, {"10.42.0.10", kNever},
                                   {.window = 0, .pace = absl::Microseconds(200)});
    ASSERT_TRUE(never.ok()) << never.status();
    never_ = std::move(*never);
    auto connection = ConnectTcp(node(), {"10.42.0.10", 7003}, absl::Seconds(5));
    ASSERT_TRUE(connection.ok()) << connection.status();
    connection_ = std::move(*connection);
  }

  // Both streams go on, and so the next step is tried under traffic.
  void WaitForTraffic() {
    const uint64_t always = always_->answered() + 50, never = never_->sent() + 50;
    ASSERT_TRUE(WaitUntil([&] { return always_->answered() >= always && never_->sent() >= never; }))
        << "the allowed stream stands still";
  }

  void ExpectNothingLostAndNothingLeaked() {
    EXPECT_TRUE(TcpEchoes(connection_.get(), "still here"));
    always_->Stop();
    never_->Stop();
    EXPECT_EQ(always_->answered(), always_->sent());
    EXPECT_GT(always_->sent(), 500u);
    EXPECT_EQ(never_server_->datagrams(), 0u);
    EXPECT_GT(never_->sent(), 500u);
  }

  // New flows from ports of their own; each must have one start record in the end.
  void OpenFlows(int count) {
    for (int i = 0; i < count; ++i) {
      const uint16_t port = next_port_++;
      EXPECT_TRUE(UdpEchoesFrom(node(), {"10.42.0.1", port}, {"10.42.0.10", kFlows}, 40)) << "from port " << port;
    }
  }
  void ExpectOneStartRecordOfEachFlow() {
    const auto starts = [&] {
      return dp_->Records([](const AuditRecord& r) { return r["event"] == "start" && r["dst_port"] == "7002"; });
    };
    const size_t flows = next_port_ - kFirstPort;
    WaitUntil([&] { return starts().size() >= flows; });
    std::set<std::string> ports;
    for (const AuditRecord& start : starts()) {
      EXPECT_TRUE(ports.insert(start["srcPort"]).second) << "told twice: " << start;
    }
    EXPECT_EQ(ports.size(), flows);
    std::set<std::string> ids;
    for (const AuditRecord& record : dp_->Records()) {
      EXPECT_TRUE(ids.insert(record["eventId"]).second) << "sequence number given twice: " << record;
    }
  }

  void ExpectOneProgramPerHook() {
    for (const TcxHook hook : {TcxHook::kEgress, TcxHook::kIngress}) {
      auto programs = TcxPrograms(node(), "wg0", hook);
      ASSERT_TRUE(programs.ok()) << programs.status();
      EXPECT_EQ(programs->size(), 1u);
    }
  }

  static constexpr uint16_t kFirstPort = 20000;
  uint16_t next_port_ = kFirstPort;
  UdpServer* always_server_ = nullptr;
  UdpServer* never_server_ = nullptr;
  std::unique_ptr<UdpStream> always_, never_;
  UniqueFd connection_;
};

TEST_F(ContinuityTest, PoliciesFlippedUnderLoadAreNeverMixedAndLoseNothing) {
  UdpServer* a_server = UdpEcho(peer(), "10.42.0.10", 7100);
  UdpServer* b_server = UdpEcho(peer(), "10.42.0.10", 7200);
  ASSERT_NO_FATAL_FAILURE(BeginLoad({kPolicy}));
  const std::string common = "10.42.0.10/32:7000\n10.42.0.10/32:7003/tcp\n";
  // In each of the two, 7001 is denied: by a deny rule in the first, by no rule in the second. Only a mix of
  // both, the allow rule of the first without its deny rule, would let it out.
  const std::string a = common + "0.0.0.0/0:7001\ndeny 10.42.0.10/32:7001\n10.42.0.10/32:7100\n";
  const std::string b = common + "10.42.0.10/32:7200\n";
  constexpr int kFlips = 60;
  for (int i = 0; i < kFlips; ++i) {
    const bool to_a = i % 2 == 0;
    const CommandResult applied = dp_->ApplyPolicy(to_a ? a : b);
    ASSERT_TRUE(applied.ok()) << applied;
    // With the receipt, the new policy and nothing else is in force: also for the flows that the last one allowed.
    EXPECT_TRUE(UdpEchoesFrom(node(), {"10.42.0.1", 31000}, {"10.42.0.10", uint16_t(to_a ? 7100 : 7200)}, 30));
    EXPECT_FALSE(UdpEchoesFrom(node(), {"10.42.0.1", 31000}, {"10.42.0.10", uint16_t(to_a ? 7200 : 7100)}, 30,
                               absl::Milliseconds(20)));
  }
  EXPECT_EQ(a_server->datagrams(), uint64_t{kFlips / 2});
  EXPECT_EQ(b_server->datagrams(), uint64_t{kFlips / 2});
  ExpectNothingLostAndNothingLeaked();
  EXPECT_EQ(dp_->Scrape().Sum("lattice_dp_policy_generation"), 1 + kFlips);
  const auto revoked = [](const AuditRecord& r) { return r["endReason"] == "revoked"; };
  EXPECT_TRUE(dp_->WaitForRecord(revoked).has_value());
}

TEST_F(ContinuityTest, AStoppedDaemonGoesOnEnforcingAndItsSuccessorTakesOver) {
  ASSERT_NO_FATAL_FAILURE(BeginLoad({kPolicy}));
  for (int round = 0; round < 3; ++round) {
    OpenFlows(20);
    ASSERT_EQ(dp_->Stop(), 0) << dp_->log();
    EXPECT_THAT(dp_->log(), ::testing::HasSubstr("lattice dp detach --iface wg0"));
    OpenFlows(20);
    WaitForTraffic();
    ExpectOneProgramPerHook();
    const absl::Status started = dp_->Start();
    ASSERT_TRUE(started.ok()) << started;
    WaitForTraffic();
    ExpectOneProgramPerHook();
  }
  ExpectNothingLostAndNothingLeaked();
  ExpectOneStartRecordOfEachFlow();
}

TEST_F(ContinuityTest, AKilledDaemonLeavesNoGapAndLosesNoRecord) {
  ASSERT_NO_FATAL_FAILURE(BeginLoad({kPolicy}));
  for (int round = 0; round < 4; ++round) {
    OpenFlows(25);
    dp_->Kill();
    OpenFlows(25);
    WaitForTraffic();
    const absl::Status started = dp_->Start();
    ASSERT_TRUE(started.ok()) << started;
    WaitForTraffic();
    ExpectOneProgramPerHook();
  }
  ExpectNothingLostAndNothingLeaked();
  ExpectOneStartRecordOfEachFlow();
  // One flow is one flow, however often its daemon died: the stream's start is told once.
  EXPECT_EQ(dp_->Records([](const AuditRecord& r) { return r["event"] == "start" && r["dst_port"] == "7000"; }).size(),
            1u);
}

TEST_F(ContinuityTest, ADaemonKilledWhileItAppliesPoliciesLeavesAWholeOne) {
  ASSERT_NO_FATAL_FAILURE(BeginLoad({kPolicy}));
  std::string large = "10.42.0.10/32:7000\n10.42.0.10/32:7002\n10.42.0.10/32:7003/tcp\n";
  for (int i = 0; i < 20'000; ++i) {
    large += "100." + std::to_string(64 + i / 16384) + "." + std::to_string(i / 64 % 256) + "." +
             std::to_string(i % 64 * 4) + "/31\n";
  }
  for (int round = 0; round < 4; ++round) {
    std::thread apply([&] { (void)dp_->ApplyPolicy(large); });  // its daemon dies in the middle
    absl::SleepFor(absl::Milliseconds(10 * round));             // another point each time
    dp_->Kill();
    apply.join();
    WaitForTraffic();
    const absl::Status started = dp_->Start();
    ASSERT_TRUE(started.ok()) << started;
    WaitForTraffic();
    OpenFlows(5);
  }
  ExpectNothingLostAndNothingLeaked();
  ExpectOneStartRecordOfEachFlow();
}

TEST_F(ContinuityTest, DetachTakesEverythingAway) {
  ASSERT_NO_FATAL_FAILURE(BeginLoad({kPolicy}));
  EXPECT_FALSE(FolderEntries(dp_->pin_folder()).empty());
  ASSERT_EQ(dp_->Stop(), 0);
  never_->Stop();
  const CommandResult detached = dp_->Cli({"detach"});
  EXPECT_TRUE(detached.ok()) << detached;
  EXPECT_TRUE(FolderEntries(dp_->pin_folder()).empty());
  for (const TcxHook hook : {TcxHook::kEgress, TcxHook::kIngress}) {
    auto programs = TcxPrograms(node(), "wg0", hook);
    ASSERT_TRUE(programs.ok()) << programs.status();
    EXPECT_TRUE(programs->empty());
  }
  EXPECT_TRUE(Ping(node(), "10.42.0.20").ok()) << "nothing is enforced now";
}

}  // namespace
}  // namespace lattice::testing
