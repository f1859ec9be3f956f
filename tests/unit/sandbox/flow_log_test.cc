// Time is a fake clock; the records are read back from a real audit file. One file over 400 lines: one log, one
// fixture.
#include "userspace/sandbox/flow_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"
#include "userspace/audit/decoder.h"

namespace lattice::sandbox {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr uint8_t kTcp = 6, kUdp = 17;
const IpAddress kMine = IpAddress::FromV4({192, 0, 2, 7});
const IpAddress kMineV6 = *IpAddress::Parse("2001:db8::7");
const IpAddress kServer = IpAddress::FromV4({198, 51, 100, 9});
const IpAddress kOther = IpAddress::FromV4({203, 0, 113, 5});

class Owner : public LiveFlow {
 public:
  FlowTotals totals() const override { return now; }
  void Revoke() override {
    ++revoked;
    if (const auto callback = std::exchange(on_revoke, nullptr)) callback();  // may destroy this
  }
  FlowTotals now;
  int revoked = 0;
  std::function<void()> on_revoke;
};

FlowFacts Facts(const IpAddress& remote = kServer, uint16_t port = 443) {
  return {.protocol = kTcp,
          .local = {kMine, 40000},
          .remote = {remote, port},
          .host = "api.example.com",
          .trace_id = "trace-1",
          .pid = 4242,
          .comm = "curl"};
}
Verdict Allowed() {
  return {.allow = true, .reason = flow::FromKernelReason(LAT_REASON_ALLOW_RULE), .rule = "web"};
}
Verdict NoRule() {
  return {.reason = flow::FromKernelReason(LAT_REASON_NO_RULE)};
}
policy::RuleSet Rules(absl::string_view egress) {
  return {.egress = policy::ParseRuleList(egress, nullptr).value()};
}

class FlowLogTest : public ::testing::Test {
 protected:
  FlowLogTest() : loop_(*EventLoop::Create()) {
    auto file = audit::AuditFile::Open(audit::RealFileSystem(), clock_,
                                       {.path = path_, .node = "node-1", .boot = "bootaaaaaaaa"});
    CHECK(file.ok()) << file.status();
    writer_ = RecordWriter::Create(*std::move(file), {});
    options_ = {.agent_id = "agent-1", .iface = "wg0", .update_every = absl::Minutes(1)};
    filter_.Replace(Rules("198.51.100.0/24:443"));
  }
  FlowLog& log(const Clock& clock) {
    if (log_ == nullptr) log_ = std::make_unique<FlowLog>(*loop_, clock, filter_, *writer_, options_);
    return *log_;
  }
  FlowLog& log() { return log(clock_); }
  void After(absl::Duration time) {
    clock_.Advance(time);
    log().RunDue();
  }
  // The log ends, and what it wrote.
  std::vector<flow::FlowRecord> Records() {
    log_.reset();
    EXPECT_TRUE(writer_->Stop(absl::Seconds(30)).ok());
    std::vector<flow::FlowRecord> records;
    const std::string content = audit::RealFileSystem().ReadWhole(path_).value();
    for (const auto& line : absl::StrSplit(content, '\n', absl::SkipEmpty())) {
      auto decoded = audit::DecodeLine(line);
      EXPECT_TRUE(decoded.ok()) << decoded.status() << ": " << line;
      if (decoded.ok()) records.push_back(std::move(decoded->record));
    }
    return records;
  }
  static std::vector<std::string> Events(const std::vector<flow::FlowRecord>& records) {
    std::vector<std::string> events;
    for (const flow::FlowRecord& record : records) events.emplace_back(flow::EventName(record.event));
    return events;
  }

  testing::TempDir dir_;
  const std::string path_ = dir_.File("audit.jsonl");
  testing::FakeClock clock_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<RecordWriter> writer_;
  EgressFilter filter_;
  FlowLog::Options options_;
  std::unique_ptr<FlowLog> log_;
};

TEST_F(FlowLogTest, AFlowHasItsStartItsUpdateAndItsEnd) {
  Owner owner;
  const absl::Time begin = clock_.Now();
  const auto begin_ns = static_cast<uint64_t>(clock_.MonotonicNs());
  const FlowLog::FlowId id = log().Start(Facts(), Allowed(), owner);
  EXPECT_EQ(log().live(), 1u);
  owner.now = {.bytes_out = 100, .bytes_in = 2000};
  After(absl::Seconds(59));
  After(absl::Seconds(1));
  owner.now = {.bytes_out = 150, .bytes_in = 2500, .packets_out = 3, .packets_in = 4};
  clock_.Advance(absl::Milliseconds(1500));
  log().End(id, flow::EndReason::kFin);
  EXPECT_EQ(log().live(), 0u);
  EXPECT_EQ(log().counters().started, 1u);
  EXPECT_EQ(log().counters().ended, 1u);
  EXPECT_EQ(log().counters().failed, 0u);
  EXPECT_EQ(log().counters().bytes_out, 150u);
  EXPECT_EQ(log().counters().bytes_in, 2500u);

  const auto records = Records();
  ASSERT_THAT(Events(records), ElementsAre("start", "update", "end"));
  for (const flow::FlowRecord& record : records) {
    EXPECT_EQ(record.agent_id, "agent-1");
    EXPECT_EQ(record.trace_id, "trace-1");
    EXPECT_EQ(record.iface, "wg0");
    EXPECT_EQ(record.scope, LAT_SCOPE_IFACE);
    EXPECT_EQ(record.mode, LAT_MODE_ENFORCE);
    EXPECT_EQ(record.direction, LAT_EGRESS);
    EXPECT_EQ(record.verdict, LAT_ALLOW);
    EXPECT_EQ(record.reason, flow::FromKernelReason(LAT_REASON_ALLOW_RULE));
    EXPECT_EQ(record.rule, "web");
    EXPECT_EQ(record.src, kMine);
    EXPECT_EQ(record.dst, kServer);
    EXPECT_EQ(record.src_port, 40000);
    EXPECT_EQ(record.dst_port, 443);
    EXPECT_EQ(record.protocol, kTcp);
    EXPECT_EQ(record.host, "api.example.com");
    EXPECT_EQ(record.pid, 4242u);
    EXPECT_EQ(record.comm, "curl");
    EXPECT_EQ(record.policy_generation, 1u);
    EXPECT_EQ(record.start, begin);
    EXPECT_EQ(record.start_monotonic_ns, begin_ns);
    EXPECT_EQ(flow::FlowId(record), flow::FlowId(records[0]));
  }
  EXPECT_EQ(records[0].ts, begin);
  EXPECT_EQ(records[0].duration_ms, 0u);
  EXPECT_EQ(records[0].bytes_out, 0u);
  EXPECT_EQ(records[0].end_reason, flow::EndReason::kNone);
  EXPECT_EQ(records[1].ts, begin + absl::Minutes(1));
  EXPECT_EQ(records[1].bytes_out, 100u);
  EXPECT_EQ(records[1].bytes_in, 2000u);
  EXPECT_EQ(records[2].duration_ms, 61'500u);
  EXPECT_EQ(records[2].monotonic_ns, begin_ns + 61'500'000'000u);
  EXPECT_EQ(records[2].bytes_out, 150u);
  EXPECT_EQ(records[2].bytes_in, 2500u);
  EXPECT_EQ(records[2].packets_out, 3u);
  EXPECT_EQ(records[2].wire_packets_out, 3u);
  EXPECT_EQ(records[2].packets_in, 4u);
  EXPECT_EQ(records[2].wire_packets_in, 4u);
  EXPECT_EQ(records[2].end_reason, flow::EndReason::kFin);
}

TEST_F(FlowLogTest, OfIngressTheRemoteIsTheSource) {
  Owner owner;
  FlowFacts facts = Facts();
  facts.direction = LAT_INGRESS;
  log().Start(facts, Allowed(), owner);
  const auto records = Records();
  ASSERT_THAT(Events(records), ElementsAre("start", "end"));
  EXPECT_EQ(records[0].src, kServer);
  EXPECT_EQ(records[0].src_port, 443);
  EXPECT_EQ(records[0].dst, kMine);
  EXPECT_EQ(records[0].dst_port, 40000);
}

TEST_F(FlowLogTest, UpdatesComeEachPeriodWhereBytesMoved) {
  Owner busy, idle;
  log().Start(Facts(), Allowed(), busy);
  clock_.Advance(absl::Seconds(30));
  log().Start(Facts(kServer, 444), Allowed(), idle);
  for (int minute = 1; minute <= 3; ++minute) {
    busy.now.bytes_in += 10;
    After(absl::Seconds(30));
    After(absl::Seconds(30));
  }
  idle.now.bytes_out = 1;
  After(absl::Minutes(1));
  const auto records = Records();
  ASSERT_THAT(Events(records), ElementsAre("start", "start", "update", "update", "update", "update", "end", "end"));
  for (int i = 2; i < 5; ++i) EXPECT_EQ(records[i].bytes_in, 10u * (i - 1));
  EXPECT_EQ(records[5].bytes_out, 1u);
}

TEST_F(FlowLogTest, WithoutAPeriodThereAreNoUpdates) {
  options_.update_every = absl::ZeroDuration();
  Owner owner;
  log().Start(Facts(), Allowed(), owner);
  owner.now.bytes_out = 1;
  After(absl::Hours(1));
  EXPECT_THAT(Events(Records()), ElementsAre("start", "end"));
}

TEST_F(FlowLogTest, ItsTimerWritesWhatIsDue) {
  class Counting : public Owner {
   public:
    explicit Counting(EventLoop& loop) : loop_(loop) {}
    FlowTotals totals() const override {
      if (++asked_ == 3) loop_.Stop();
      return {.bytes_out = static_cast<uint64_t>(asked_)};
    }

   private:
    EventLoop& loop_;
    mutable int asked_ = 0;
  };
  options_.update_every = options_.denied_every = absl::Milliseconds(2);
  Counting owner(*loop_);
  FlowLog& timed = log(RealClock());
  timed.Start(Facts(), Allowed(), owner);
  for (int i = 0; i < 3; ++i) timed.Denied(Facts(kOther), NoRule());
  bool late = false;
  loop_->AddOnce(absl::Seconds(30), [&] {
    late = true;
    loop_->Stop();
  });
  ASSERT_TRUE(loop_->Run().ok());
  ASSERT_FALSE(late);
  uint64_t updates = 0, attempts = 0;
  for (const flow::FlowRecord& record : Records()) {
    updates += record.event == flow::Event::kUpdate ? 1 : 0;
    attempts += record.event == flow::Event::kDenied ? record.packets_out : 0;
  }
  EXPECT_EQ(updates, 3u);
  EXPECT_EQ(attempts, 3u);
}

TEST_F(FlowLogTest, AnAttemptThatFailsIsAStartAndAnEndWithItsReason) {
  FlowFacts facts = Facts();
  facts.remote = {IpAddress(), 443};
  facts.local = {};
  options_.addresses = {kMine, kMineV6};
  log().Failed(facts, Allowed(), flow::Reason::kNameNotFound);
  Owner owner;
  log().End(log().Start(Facts(), Allowed(), owner), flow::EndReason::kFailed, flow::Reason::kConnectRefused);
  EXPECT_EQ(log().counters().started, 2u);
  EXPECT_EQ(log().counters().ended, 2u);
  EXPECT_EQ(log().counters().failed, 2u);
  const auto records = Records();
  ASSERT_THAT(Events(records), ElementsAre("start", "end", "start", "end"));
  EXPECT_EQ(records[0].reason, Allowed().reason);
  EXPECT_EQ(records[0].src, kMine);
  EXPECT_EQ(records[0].dst, IpAddress());
  EXPECT_EQ(records[1].end_reason, flow::EndReason::kFailed);
  EXPECT_EQ(records[1].reason, flow::Reason::kNameNotFound);
  EXPECT_EQ(records[1].verdict, LAT_ALLOW);
  EXPECT_EQ(flow::FlowId(records[0]), flow::FlowId(records[1]));
  EXPECT_EQ(records[3].reason, flow::Reason::kConnectRefused);
}

TEST_F(FlowLogTest, TheFirstDeniedAttemptIsToldAtOnceAndTheOthersAreANumber) {
  const auto begin_ns = static_cast<uint64_t>(clock_.MonotonicNs());
  FlowFacts facts = Facts(kOther);
  facts.local.port = 0;
  log().Denied(facts, NoRule());
  EXPECT_EQ(writer_->queued(), 1u);
  clock_.Advance(absl::Milliseconds(300));
  for (int i = 0; i < 5; ++i) log().Denied(facts, NoRule());
  EXPECT_EQ(writer_->queued(), 1u);
  After(absl::Milliseconds(699));
  EXPECT_EQ(writer_->queued(), 1u);
  After(absl::Milliseconds(1));
  EXPECT_EQ(writer_->queued(), 2u);
  log().Denied(facts, NoRule());
  After(absl::Seconds(1));
  After(absl::Seconds(1));  // quiet: forgotten
  log().Denied(facts, NoRule());
  EXPECT_EQ(log().counters().denied, 8u);
  const auto records = Records();
  ASSERT_THAT(Events(records), ElementsAre("denied", "denied", "denied", "denied"));
  std::vector<uint64_t> attempts;
  for (const flow::FlowRecord& record : records) {
    attempts.push_back(record.packets_out);
    EXPECT_EQ(record.wire_packets_out, record.packets_out);
    EXPECT_EQ(record.packets_in, 0u);
    EXPECT_EQ(record.verdict, LAT_DENY);
    EXPECT_EQ(record.mode, LAT_MODE_ENFORCE);
    EXPECT_EQ(record.reason, NoRule().reason);
    EXPECT_EQ(record.src, kMine);
    EXPECT_EQ(record.src_port, 0);
    EXPECT_EQ(record.dst, kOther);
    EXPECT_EQ(record.dst_port, 443);
    EXPECT_EQ(record.host, "api.example.com");
  }
  EXPECT_THAT(attempts, ElementsAre(1, 5, 1, 1));
  EXPECT_EQ(records[1].start_monotonic_ns, begin_ns);
  EXPECT_EQ(records[1].duration_ms, 300u);
  EXPECT_EQ(flow::FlowId(records[2]), flow::FlowId(records[0]));
  EXPECT_NE(flow::FlowId(records[3]), flow::FlowId(records[0]));
}

TEST_F(FlowLogTest, DeniedAttemptsThatDifferAreToldEach) {
  const std::vector<std::pair<const char*, std::function<void(FlowFacts&)>>> differences = {
      {"nothing", [](FlowFacts&) {}},
      {"remote", [](FlowFacts& facts) { facts.remote.address = kServer; }},
      {"port", [](FlowFacts& facts) { facts.remote.port = 444; }},
      {"protocol", [](FlowFacts& facts) { facts.protocol = kUdp; }},
      {"host", [](FlowFacts& facts) { facts.host = "example.org"; }},
      {"trace id", [](FlowFacts& facts) { facts.trace_id = "trace-2"; }},
      {"direction", [](FlowFacts& facts) { facts.direction = LAT_INGRESS; }},
      {"local port of ingress",
       [](FlowFacts& facts) {
         facts.direction = LAT_INGRESS;
         facts.local.port = 41000;
       }},
  };
  size_t told = 0;
  for (const auto& [name, change] : differences) {
    FlowFacts facts = Facts(kOther);
    change(facts);
    log().Denied(facts, NoRule());
    EXPECT_EQ(writer_->queued(), ++told) << name;
  }
  log().Denied(Facts(kOther), {.reason = flow::FromKernelReason(LAT_REASON_DENY_RULE), .rule = "deny"});
  EXPECT_EQ(writer_->queued(), ++told);
  FlowFacts same = Facts(kOther);
  same.local.port = 40001;  // a client's port says nothing
  log().Denied(same, NoRule());
  EXPECT_EQ(writer_->queued(), told);
  const auto records = Records();
  EXPECT_EQ(records[6].packets_in, 1u);
  EXPECT_EQ(records[6].packets_out, 0u);
}

TEST_F(FlowLogTest, AttemptsBeyondTheTableAreALossThatIsTold) {
  options_.max_denied = 2;
  for (uint16_t port = 1; port <= 5; ++port) log().Denied(Facts(kOther, port), NoRule());
  const absl::Time from = clock_.Now();
  After(absl::Seconds(1));  // the two are forgotten
  log().Denied(Facts(kOther, 6), NoRule());
  const auto records = Records();
  ASSERT_THAT(Events(records), ElementsAre("denied", "denied", "loss", "denied"));
  EXPECT_EQ(records[2].stage, flow::kStageDeniedTable);
  EXPECT_EQ(records[2].lost_count, 3u);
  EXPECT_EQ(records[2].lost_from, from);
  EXPECT_EQ(records[2].lost_to, from + absl::Seconds(1));
  EXPECT_EQ(records[2].agent_id, "agent-1");
}

TEST_F(FlowLogTest, ADeniedAttemptHasOurAddressOfTheRemotesFamily) {
  options_.addresses = {kMine, kMineV6};
  FlowFacts facts = Facts(*IpAddress::Parse("2001:db8::99"));
  facts.local = {};
  log().Denied(facts, NoRule());
  facts.remote.address = kOther;
  log().Denied(facts, NoRule());
  const auto records = Records();
  ASSERT_THAT(records, SizeIs(2));
  EXPECT_EQ(records[0].src, kMineV6);
  EXPECT_EQ(records[1].src, kMine);
}

TEST_F(FlowLogTest, AnotherPolicyEndsWhatItDoesNotAllow) {
  Owner stays, goes;
  log().Start(Facts(), Allowed(), stays);
  log().Start(Facts(kOther), Allowed(), goes);
  goes.now.bytes_out = 77;
  size_t in_log = 0;
  goes.on_revoke = [&] { in_log = writer_->queued(); };
  filter_.OnChange([this] { log().PolicyChanged(); });
  filter_.Replace(Rules("198.51.100.9/32:443"));
  EXPECT_EQ(stays.revoked, 0);
  EXPECT_EQ(goes.revoked, 1);
  EXPECT_EQ(in_log, 4u);  // before Revoke()
  EXPECT_EQ(log().live(), 1u);
  EXPECT_EQ(log().counters().revoked, 1u);
  EXPECT_EQ(log().counters().ended, 1u);
  EXPECT_EQ(log().counters().bytes_out, 77u);
  const auto records = Records();
  ASSERT_THAT(Events(records), ElementsAre("start", "start", "policy", "end", "end"));
  EXPECT_EQ(records[2].policy_generation, 2u);
  EXPECT_EQ(records[2].policy_hash, filter_.hash());
  EXPECT_EQ(records[2].agent_id, "agent-1");
  EXPECT_EQ(records[3].dst, kOther);
  EXPECT_EQ(records[3].end_reason, flow::EndReason::kRevoked);
  EXPECT_EQ(records[3].verdict, LAT_ALLOW);
  EXPECT_EQ(records[3].policy_generation, 1u);
  EXPECT_EQ(records[3].bytes_out, 77u);
  EXPECT_EQ(records[4].dst, kServer);
  EXPECT_EQ(records[4].policy_generation, 2u);
  EXPECT_EQ(records[4].rule, "198.51.100.9/32:443");
}

TEST_F(FlowLogTest, IngressIsJudgedByOurPort) {
  Owner stays, goes;
  FlowFacts facts = Facts();
  facts.direction = LAT_INGRESS;
  facts.local.port = 8080;
  log().Start(facts, Allowed(), stays);
  facts.local.port = 9090;
  log().Start(facts, Allowed(), goes);
  filter_.Replace(
      {.ingress = policy::ParseRuleList("198.51.100.0/24:8080", nullptr).value(), .ingress_default_deny = true});
  log().PolicyChanged();
  EXPECT_EQ(stays.revoked, 0);
  EXPECT_EQ(goes.revoked, 1);
  EXPECT_THAT(Events(Records()), ElementsAre("start", "start", "policy", "end", "end"));
}

TEST_F(FlowLogTest, OwnersEndAndStartOthersWhileTheyAreRevoked) {
  std::vector<std::unique_ptr<Owner>> owners;
  std::vector<FlowLog::FlowId> ids;
  for (int i = 0; i < 100; ++i) {
    ids.push_back(log().Start(Facts(kOther), Allowed(), *owners.emplace_back(std::make_unique<Owner>())));
  }
  Owner fresh;
  owners[0]->on_revoke = [&] {
    for (size_t i = 1; i < 50; ++i) {
      log().End(ids[i], flow::EndReason::kRst);
      owners[i].reset();
    }
    for (int i = 0; i < 200; ++i) log().Start(Facts(), Allowed(), fresh);
    owners[0].reset();
  };
  filter_.Replace(Rules("198.51.100.0/24:443"));
  log().PolicyChanged();
  EXPECT_EQ(log().counters().revoked, 51u);
  EXPECT_EQ(log().live(), 200u);
  EXPECT_EQ(fresh.revoked, 0);
  for (size_t i = 50; i < 100; ++i) EXPECT_EQ(owners[i]->revoked, 1) << i;
  EXPECT_THAT(Records(), SizeIs(2 * 300 + 1));
}

TEST_F(FlowLogTest, AClosedFilterCutsNothingThatIsThere) {
  Owner owner;
  log().Start(Facts(), Allowed(), owner);
  filter_.SetClosed(true);
  EXPECT_FALSE(filter_.Judge(LAT_EGRESS, kServer, kTcp, 443).allow);
  filter_.Replace(Rules("198.51.100.0/24:443"));
  log().PolicyChanged();
  EXPECT_EQ(owner.revoked, 0);
  EXPECT_EQ(log().live(), 1u);
  EXPECT_THAT(Events(Records()), ElementsAre("start", "policy", "end"));
}

TEST_F(FlowLogTest, ItsEndEndsWhatLivesAndTellsWhatItCounted) {
  options_.max_denied = 1;
  Owner owner;
  log().Start(Facts(), Allowed(), owner);
  owner.now.bytes_in = 5;
  for (int i = 0; i < 4; ++i) log().Denied(Facts(kOther), NoRule());
  for (int i = 0; i < 2; ++i) log().Denied(Facts(kOther, 80), NoRule());
  const auto records = Records();
  ASSERT_THAT(Events(records), ElementsAre("start", "denied", "end", "denied", "loss"));
  EXPECT_EQ(records[2].end_reason, flow::EndReason::kShutdown);
  EXPECT_EQ(records[2].bytes_in, 5u);
  EXPECT_EQ(records[3].packets_out, 3u);
  EXPECT_EQ(records[4].lost_count, 2u);
}

TEST_F(FlowLogTest, AJumpOfTheWallClockMovesTheTextNotTheIdentity) {
  Owner owner;
  const FlowLog::FlowId id = log().Start(Facts(), Allowed(), owner);
  clock_.Advance(absl::Seconds(2));
  const absl::Time corrected = clock_.Now() - absl::Hours(1);
  clock_.SetWall(corrected);
  log().End(id, flow::EndReason::kFin);
  const auto records = Records();
  ASSERT_THAT(records, SizeIs(2));
  EXPECT_EQ(records[1].ts, corrected);
  EXPECT_EQ(records[1].start, corrected - absl::Seconds(2));
  EXPECT_EQ(records[1].duration_ms, 2000u);
  EXPECT_EQ(flow::FlowId(records[1]), flow::FlowId(records[0]));
}

}  // namespace
}  // namespace lattice::sandbox
