// The disk is full, the daemon stands still: no record is lost in silence.
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/fault/fault_test.h"
#include "userspace/base/file.h"

namespace lattice::testing {
namespace {

// A tmpfs of a given size for the time of a test.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& size) {
    PCHECK(::mount("tmpfs", dir_.path().c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0);
  }
  ~SmallDisk() {
    // MNT_DETACH: a daemon that is being killed may still hold its file.
    PCHECK(::umount2(dir_.path().c_str(), MNT_DETACH) == 0);
  }
  void Grow(const std::string& size) {
    PCHECK(::mount("tmpfs", dir_.path().c_str(), "tmpfs", MS_REMOUNT, ("size=" + size).c_str()) == 0);
  }
  std::string File(const std::string& name) const { return dir_.File(name); }
  const std::string& path() const { return dir_.path(); }

 private:
  TempDir dir_;
};

class StorageFaultTest : public FaultTest {
 protected:
  // Records of the audit files in `folder`, which isn't the daemon's usual one.
  static std::vector<AuditRecord> RecordsIn(const std::string& folder) {
    std::vector<AuditRecord> records;
    for (const std::string& name : FolderEntries(folder)) {
      // Not audit.jsonl.key and the like.
      if (!absl::EndsWith(name, ".jsonl")) continue;
      const absl::StatusOr<std::string> text = ReadFile(folder + "/" + name);
      if (!text.ok()) continue;
      for (AuditRecord& record : ParseAuditLines(*text)) records.push_back(std::move(record));
    }
    return records;
  }
  // Ports of 192.0.2.9 with a record of one of these events.
  static std::set<std::string> PortsTold(const std::vector<AuditRecord>& records,
                                         const std::set<std::string>& events = {"start"}) {
    std::set<std::string> ports;
    for (const AuditRecord& record : records) {
      EXPECT_FALSE(record.Has("broken")) << record;
      if (events.contains(record["event"]) && record["dst_ip"] == "192.0.2.9") ports.insert(record["dst_port"]);
    }
    return ports;
  }
};

TEST_F(StorageFaultTest, AFullDiskDelaysRecordsAndLosesNone) {
  SmallDisk disk("256k");
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.0/24", "--audit-log=" + disk.File("audit.jsonl")}));
  constexpr int kFlows = 3000;
  Send("192.0.2.9", 1000, 10'000, kFlows);
  // Told where operators look.
  EXPECT_TRUE(WaitUntil([&] {
    return RunCommand(ns_->Inside({"curl", "-sf", "--max-time", "5", "http://127.0.0.1:9478/readyz"})).exit_code != 0;
  })) << "not ready while records can't be written";
  EXPECT_TRUE(dp_->WaitForLog("audit"));
  const MetricsText failing = dp_->Scrape();
  EXPECT_EQ(failing.Sum("lattice_dp_audit_failing"), 1);
  EXPECT_GT(failing.Sum("lattice_dp_audit_errors_total", {{"kind", "write"}}), 0);
  EXPECT_LT(PortsTold(RecordsIn(disk.path())).size(), size_t{kFlows});
  EXPECT_TRUE(dp_->running());
  disk.Grow("64m");
  EXPECT_TRUE(WaitUntil([&] { return PortsTold(RecordsIn(disk.path())).size() == kFlows; }, absl::Seconds(30)))
      << PortsTold(RecordsIn(disk.path())).size();
  uint64_t next = 0;
  for (const AuditRecord& record : RecordsIn(disk.path())) {
    if (next != 0) {
      EXPECT_EQ(record.Number("seq"), next) << record;
    }
    next = record.Number("seq") + 1;
    EXPECT_NE(record["event"], "loss") << record;
  }
  EXPECT_EQ(dp_->Scrape().Sum("lattice_dp_audit_lost_total"), 0);
  EXPECT_EQ(dp_->Scrape().Sum("lattice_dp_audit_failing"), 0);
  ASSERT_EQ(dp_->Stop(), 0) << dp_->log();
}

class DropTest : public StorageFaultTest {
 protected:
  static constexpr uint64_t kFlows = 3000;

  // Until every record of the flows is written or dropped.
  void FillTheDisk() {
    ASSERT_NO_FATAL_FAILURE(
        StartDp({"--egress-allow=192.0.2.0/24", "--audit-log=" + disk_.File("audit.jsonl"), "--audit-disk-full=drop"}));
    Send("192.0.2.9", 1000, 10'000, kFlows);
    EXPECT_TRUE(WaitUntil([&] {
      const MetricsText metrics = dp_->Scrape();
      const double lost = metrics.Sum("lattice_dp_audit_lost_total");
      return lost > 0 && lost + metrics.Sum("lattice_dp_audit_records_written_total") >= kFlows;
    }));
    // The counter is ahead of the parked news by a write and a sync, and these of the ring's space. One that is killed
    // in between finds the batch in the ring again and tells it a second time: too much, never too little.
    absl::SleepFor(absl::Seconds(1));
  }
  void ExpectEachFlowIsStartedOrTold() {
    EXPECT_TRUE(WaitUntil([&] {
      const std::vector<AuditRecord> records = RecordsIn(disk_.path());
      told_ = 0;
      for (const AuditRecord& record : records) {
        if (record["event"] == "loss") told_ += record.Number("count");
      }
      return told_ > 0 && told_ + PortsTold(records).size() >= kFlows;
    })) << told_
        << " told as lost, " << PortsTold(RecordsIn(disk_.path())).size() << " started";
    // Among the dropped may be a policy record of each start and packets of the kernel itself.
    EXPECT_LE(told_ + PortsTold(RecordsIn(disk_.path())).size(), kFlows + 10);
  }

  SmallDisk disk_{"256k"};
  uint64_t told_ = 0;
};

TEST_F(DropTest, WhatIsMissingIsCountedAndTold) {
  ASSERT_NO_FATAL_FAILURE(FillTheDisk());
  disk_.Grow("64m");
  ExpectEachFlowIsStartedOrTold();
  EXPECT_EQ(dp_->Scrape().Sum("lattice_dp_audit_lost_total"), static_cast<double>(told_));
}

TEST_F(DropTest, WhatIsMissingIsToldAfterAKill) {
  ASSERT_NO_FATAL_FAILURE(FillTheDisk());
  dp_->Kill();
  ASSERT_TRUE(dp_->Start().ok()) << dp_->log();  // the disk is still full
  dp_->Kill();
  disk_.Grow("64m");
  ASSERT_TRUE(dp_->Start().ok()) << dp_->log();
  ExpectEachFlowIsStartedOrTold();
}

// All of it, live flows too: nothing leaves that might not be recorded.
TEST_F(StorageFaultTest, WithDenyOnAFullDiskNothingLeavesUntilItCanBeWritten) {
  SmallDisk disk("256k");
  ASSERT_NO_FATAL_FAILURE(
      StartDp({"--egress-allow=192.0.2.0/24", "--audit-log=" + disk.File("audit.jsonl"), "--audit-disk-full=deny"}));
  const auto leaves = [&](const std::string& text) {
    auto fd = BoundSocket(*ns_, SOCK_DGRAM, {"192.0.2.1", 999});
    CHECK(fd.ok()) << fd.status();
    const SocketAddress to("192.0.2.8", 53);
    // A packet that is denied may fail here already.
    (void)::sendto(fd->get(), text.data(), text.size(), 0, to.get(), to.length());
    while (const auto packet = tun_->Read(absl::Milliseconds(300))) {
      if (packet->find(text) != std::string::npos) return true;
    }
    return false;
  };
  EXPECT_TRUE(leaves("before the disk is full"));
  Send("192.0.2.9", 1000, 10'000, 3000);
  EXPECT_TRUE(dp_->WaitForLog("everything is denied until the audit file can be written"));
  while (tun_->Read(absl::ZeroDuration()).has_value()) {
  }
  EXPECT_FALSE(leaves("of the live flow"));
  disk.Grow("64m");
  EXPECT_TRUE(dp_->WaitForLog("the policy is in force again"));
  EXPECT_TRUE(leaves("after the disk has room"));
  // How many of the packets left before all was denied is the machine's affair; each has its record.
  const auto told = [&] { return PortsTold(RecordsIn(disk.path()), {"start", "denied"}).size(); };
  EXPECT_TRUE(WaitUntil([&] { return told() == 3000; }, absl::Seconds(30))) << told();
}

TEST_F(StorageFaultTest, DetachOnAFullDiskIsRefusedUnlessTheLossIsWanted) {
  SmallDisk disk("256k");
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.0/24", "--audit-log=" + disk.File("audit.jsonl")}));
  Send("192.0.2.9", 1000, 10'000, 3000);
  ASSERT_TRUE(dp_->WaitForLog("the audit file takes no more"));
  const CommandResult refused = dp_->Cli({"detach"});
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(refused.err, ::testing::HasSubstr("--force"));
  EXPECT_EQ(Enforcing(), 2) << "nothing was detached";
  EXPECT_TRUE(dp_->Cli({"detach", "--force"}).ok());
  EXPECT_TRUE(dp_->WaitForLog("what it did not take is lost and counted"));
  EXPECT_TRUE(WaitUntil([&] { return !dp_->running(); }));
  disk.Grow("64m");
  ASSERT_TRUE(dp_->Start().ok()) << dp_->log();
  uint64_t told = 0;
  EXPECT_TRUE(WaitUntil([&] {
    told = 0;
    for (const AuditRecord& record : RecordsIn(disk.path())) {
      if (record["event"] == "loss") told += record.Number("count");
    }
    // Of each flow the start is in the file or lost, and the end is lost.
    return told + PortsTold(RecordsIn(disk.path())).size() >= 2 * 3000;
  })) << told;
}

TEST_F(StorageFaultTest, AFileThatIsDeletedIsCountedAndTold) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.0/24"}));
  Send("192.0.2.9", 1000, 10'000, 10);
  ExpectStartRecords("192.0.2.9", 10);
  const size_t lost = dp_->Records().size();
  ASSERT_EQ(::unlink(dp_->audit_log().c_str()), 0);
  ASSERT_TRUE(dp_->WaitForRecord([](const AuditRecord& r) { return r["stage"] == "deleted"; }).has_value());
  EXPECT_EQ(dp_->Scrape().Sum("lattice_dp_audit_lost_total", {{"stage", "deleted"}}), static_cast<double>(lost));
}

TEST_F(StorageFaultTest, ADaemonThatStandsStillLosesNoFlow) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.0/24"}));
  dp_->Signal(SIGSTOP);
  Send("192.0.2.9", 1000, 10'000, 20'000);
  dp_->Signal(SIGCONT);
  ExpectStartRecords("192.0.2.9", 20'000, absl::Seconds(40));
}

// More new flows than the ring holds records: the table is the truth, the sweep tells the rest.
TEST_F(StorageFaultTest, AFullRingDelaysRecordsAndLosesNone) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.0/24", "--max-flows=262144", "--flow-idle-timeout=1h"}));
  dp_->Signal(SIGSTOP);
  for (const char* destination : {"192.0.2.11", "192.0.2.12", "192.0.2.13"}) Send(destination, 1000, 2000, 50'000);
  dp_->Signal(SIGCONT);
  for (const char* destination : {"192.0.2.11", "192.0.2.12", "192.0.2.13"}) {
    ExpectStartRecords(destination, 50'000, absl::Seconds(60));
  }
  EXPECT_EQ(dp_->Scrape().Sum("lattice_dp_audit_lost_total"), 0);
}

}  // namespace
}  // namespace lattice::testing
