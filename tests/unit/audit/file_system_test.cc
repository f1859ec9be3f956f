// The real file system: what the fake promises in its name, and a disk that is really full.
#include "userspace/audit/file_system.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "absl/strings/match.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/flow_records.h"
#include "tests/testing/temp_dir.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/lines.h"
#include "userspace/audit/verify.h"
#include "userspace/base/file.h"

namespace lattice::audit {
namespace {

class RealFileSystemTest : public ::testing::Test {
 protected:
  AuditFileOptions Options() const {
    return {.path = dir_.File("audit.jsonl"), .node = "node-1", .boot = "bootaaaaaaaa"};
  }
  testing::TempDir dir_;
  testing::FakeClock clock_;
  FileSystem& fs_ = RealFileSystem();
};

TEST_F(RealFileSystemTest, AppendsReadsCutsAndTells) {
  const std::string path = dir_.File("f");
  auto file = fs_.OpenAppend(path, 0640).value();
  EXPECT_EQ(file->Append("hello").value(), 5u);
  EXPECT_EQ(file->Append(" world").value(), 6u);
  ASSERT_TRUE(file->Truncate(8).ok());
  ASSERT_TRUE(file->Sync().ok());
  char buffer[16];
  EXPECT_EQ(file->ReadAt(6, buffer, sizeof(buffer)).value(), 2u);
  EXPECT_EQ(std::string(buffer, 2), "wo");
  EXPECT_EQ(file->Stat()->size, 8);
  EXPECT_TRUE(file->Stat()->SameFile(fs_.Stat(path).value()));
  ASSERT_TRUE(fs_.Rename(path, dir_.File("g")).ok());
  EXPECT_TRUE(absl::IsNotFound(fs_.Stat(path).status()));
  ASSERT_TRUE(fs_.Remove(dir_.File("g")).ok());
  EXPECT_EQ(file->Stat()->links, 0u);
  EXPECT_TRUE(fs_.SyncFolder(dir_.path()).ok());
}

TEST_F(RealFileSystemTest, MakesTheAuditFileReadableForTheGroupOnly) {
  const mode_t old = umask(022);
  auto audit = AuditFile::Open(fs_, clock_, Options());
  umask(old);
  ASSERT_TRUE(audit.ok()) << audit.status();
  struct stat st;
  ASSERT_EQ(stat(Options().path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0640u);
}

TEST_F(RealFileSystemTest, LocksTheFileUntilItIsClosed) {
  auto audit = AuditFile::Open(fs_, clock_, Options()).value();
  const absl::Status second = AuditFile::Open(fs_, clock_, Options()).status();
  EXPECT_TRUE(absl::StrContains(second.message(), "is being written by another process")) << second;
  audit.reset();
  EXPECT_TRUE(AuditFile::Open(fs_, clock_, Options()).ok());
}

TEST_F(RealFileSystemTest, RefusesWhatIsNoRegularFile) {
  const std::string path = Options().path;
  ASSERT_EQ(symlink("elsewhere", path.c_str()), 0);
  EXPECT_TRUE(absl::StrContains(AuditFile::Open(fs_, clock_, Options()).status().message(), "symbolic link"));
  ASSERT_EQ(unlink(path.c_str()), 0);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_TRUE(absl::StrContains(AuditFile::Open(fs_, clock_, Options()).status().message(), "not a regular file"));
  ASSERT_EQ(unlink(path.c_str()), 0);
  ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
  EXPECT_FALSE(AuditFile::Open(fs_, clock_, Options()).ok());
}

TEST_F(RealFileSystemTest, NamesFlagAndPathWhereTheFolderIsMissing) {
  AuditFileOptions options = Options();
  options.path = dir_.File("missing/audit.jsonl");
  const absl::Status status = AuditFile::Open(fs_, clock_, options).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_TRUE(absl::StartsWith(status.message(), "--audit-log " + options.path)) << status;
}

TEST_F(RealFileSystemTest, WritesRotatesAndVerifies) {
  AuditFileOptions options = Options();
  options.rotate_bytes = 20'000;
  auto audit = AuditFile::Open(fs_, clock_, options).value();
  for (uint64_t i = 0; i < 300; ++i) {
    flow::FlowRecord record = testing::StartRecord(i);
    audit->Add(record);
    ASSERT_TRUE(audit->Commit().ok());
  }
  const VerifyReport report = VerifyChain(fs_, options.path, {}).value();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.lines, 300u);
  EXPECT_GT(report.segments, 5u);
  EXPECT_EQ(report.head, audit->head());
}

class FullDiskTest : public RealFileSystemTest {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "mounting a small tmpfs needs root; the fake file system has the same case";
    disk_ = dir_.File("disk");
    ASSERT_EQ(mkdir(disk_.c_str(), 0700), 0);
    ASSERT_EQ(mount("lat-t", disk_.c_str(), "tmpfs", 0, "size=128k"), 0) << strerror(errno);
    mounted_ = true;
  }
  void TearDown() override {
    if (mounted_) {
      EXPECT_EQ(umount2(disk_.c_str(), MNT_DETACH), 0) << strerror(errno);
    }
  }
  std::string disk_;
  bool mounted_ = false;
};

TEST_F(FullDiskTest, ARealFullDiskLosesNothing) {
  AuditFileOptions options = Options();
  options.path = disk_ + "/audit.jsonl";
  options.spool_cap_bytes = 0;
  auto audit = AuditFile::Open(fs_, clock_, options).value();
  const std::string ballast = disk_ + "/ballast";
  ASSERT_TRUE(WriteFileAtomically(ballast, std::string(64 << 10, 'x'), 0600).ok());
  uint64_t added = 0;
  absl::Status status;
  while (status.ok() && added < 10'000) {
    for (int i = 0; i < 10; ++i) {
      flow::FlowRecord record = testing::StartRecord(added++);
      audit->Add(record);
    }
    status = audit->Commit();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  const std::string content = ReadFile(options.path).value();
  EXPECT_EQ(content.back(), '\n') << "nothing half-written stays";
  EXPECT_FALSE(audit->Commit().ok());

  ASSERT_EQ(unlink(ballast.c_str()), 0);
  ASSERT_TRUE(audit->Commit().ok());
  const VerifyReport report = VerifyChain(fs_, options.path, {}).value();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.lines, added);
}

}  // namespace
}  // namespace lattice::audit
