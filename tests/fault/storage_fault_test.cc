// The disk is full, the daemon stands still: no record is lost in silence.
#include <sys/mount.h>
#include <sys/stat.h>

#include <csignal>

#include "absl/strings/str_cat.h"
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
      if (name.find(".jsonl") == std::string::npos) continue;
      const absl::StatusOr<std::string> text = ReadFile(folder + "/" + name);
      if (!text.ok()) continue;
      for (AuditRecord& record : ParseAuditLines(*text)) records.push_back(std::move(record));
    }
    return records;
  }
  static std::set<std::string> StartedPorts(const std::vector<AuditRecord>& records) {
    std::set<std::string> ports;
    for (const AuditRecord& record : records) {
      EXPECT_FALSE(record.Has("broken")) << record;
      if (record["event"] == "start" && record["dst_ip"] == "192.0.2.9") ports.insert(record["dst_port"]);
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
  EXPECT_LT(StartedPorts(RecordsIn(disk.path())).size(), size_t{kFlows});
  EXPECT_TRUE(dp_->running());
  disk.Grow("64m");
  EXPECT_TRUE(WaitUntil([&] { return StartedPorts(RecordsIn(disk.path())).size() == kFlows; }, absl::Seconds(30)))
      << StartedPorts(RecordsIn(disk.path())).size();
  uint64_t next = 0;
  for (const AuditRecord& record : RecordsIn(disk.path())) {
    if (next != 0) {
      EXPECT_EQ(record.Number("seq"), next) << record;
    }
    next = record.Number("seq") + 1;
    EXPECT_NE(record["event"], "loss") << record;
  }
  EXPECT_EQ(dp_->Scrape().Sum("lattice_dp_audit_lost_total"), 0);
  ASSERT_EQ(dp_->Stop(), 0) << dp_->log();
}

TEST_F(StorageFaultTest, WithDropOnAFullDiskWhatIsMissingIsCountedAndTold) {
  SmallDisk disk("256k");
  ASSERT_NO_FATAL_FAILURE(
      StartDp({"--egress-allow=192.0.2.0/24", "--audit-log=" + disk.File("audit.jsonl"), "--audit-disk-full=drop"}));
  constexpr int kFlows = 3000;
  Send("192.0.2.9", 1000, 10'000, kFlows);
  EXPECT_TRUE(WaitUntil([&] { return dp_->Scrape().Sum("lattice_dp_audit_lost_total") > 0; }));
  // Every record of the flows is written or dropped before there is room again.
  EXPECT_TRUE(WaitUntil([&] {
    const MetricsText metrics = dp_->Scrape();
    return metrics.Sum("lattice_dp_audit_lost_total") + metrics.Sum("lattice_dp_audit_records_written_total") >= kFlows;
  }));
  disk.Grow("64m");
  uint64_t told = 0;
  EXPECT_TRUE(WaitUntil([&] {
    told = 0;
    for (const AuditRecord& record : RecordsIn(disk.path())) {
      if (record["event"] == "loss") told += record.Number("count");
    }
    return told > 0;
  }));
  EXPECT_EQ(told + StartedPorts(RecordsIn(disk.path())).size(), uint64_t{kFlows});
  EXPECT_EQ(dp_->Scrape().Sum("lattice_dp_audit_lost_total"), static_cast<double>(told));
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
