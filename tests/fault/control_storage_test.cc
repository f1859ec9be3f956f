// What latticed stores to fails: the database is locked or full, the disk is, the stream went back. In the end each
// record is in the table, once.
#include <sys/mount.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/fault/control_fault.h"
#include "tests/testing/temp_dir.h"
#include "userspace/sql/database.h"

namespace lattice::testing {
namespace {

using ::testing::HasSubstr;

// A tmpfs of a given size on a folder for the time of a test.
class SmallDisk {
 public:
  SmallDisk(const std::string& path, const std::string& size) : path_(path) {
    PCHECK(::mount("tmpfs", path_.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0);
  }
  ~SmallDisk() { PCHECK(::umount2(path_.c_str(), MNT_DETACH) == 0); }
  void Grow(const std::string& size) const {
    PCHECK(::mount("tmpfs", path_.c_str(), "tmpfs", MS_REMOUNT, ("size=" + size).c_str()) == 0);
  }

 private:
  const std::string path_;
};

using ControlStorageTest = ControlFaultTest;

TEST_F(ControlStorageTest, ALockedDatabaseIsWaitedForAndSaid) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  ASSERT_NO_FATAL_FAILURE(StartWriter());
  auto database = sql::Database::Open("sqlite://" + server_->File("lattice.db"));
  ASSERT_TRUE(database.ok()) << database.status();
  {
    auto other = (*database)->Connect();
    ASSERT_TRUE(other.ok()) << other.status();
    ASSERT_TRUE((*other)->ExecuteScript("BEGIN EXCLUSIVE").ok());
    writer_->Write(2000);
    EXPECT_TRUE(writer_->Drain()) << "writers wait for NATS only";
    EXPECT_TRUE(WaitUntil([&] { return !NotReadyReason().empty(); }));
    EXPECT_THAT(NotReadyReason(), HasSubstr("database"));
    EXPECT_THAT(NotReadyReason(), HasSubstr("locked"));
    EXPECT_EQ(Count("ingest_stored"), 0);
    ASSERT_TRUE((*other)->ExecuteScript("ROLLBACK").ok());
  }
  ExpectEachOnce();
  EXPECT_TRUE(WaitUntil([&] { return server_->ready(); }));
  EXPECT_EQ(Count("ingest_redelivered"), 0) << "what is kept is not to be given out again";
}

TEST_F(ControlStorageTest, AFullDiskOfTheDatabaseIsWaitedForAndSaid) {
  const TempDir dir;
  const SmallDisk disk(dir.path(), "4m");
  ASSERT_NO_FATAL_FAILURE(StartServer({"--database=sqlite://" + dir.File("lattice.db")}));
  ASSERT_NO_FATAL_FAILURE(StartWriter());
  writer_->Write(20'000);
  EXPECT_TRUE(WaitUntil([&] { return !NotReadyReason().empty(); }));
  EXPECT_THAT(NotReadyReason(), HasSubstr("full"));
  EXPECT_LT(Count("ingest_stored"), 20'000);
  disk.Grow("200m");
  ExpectEachOnce();
  EXPECT_TRUE(WaitUntil([&] { return server_->ready(); }));
}

// NATS is on the same disk here: it stops its streams when it can't write.
TEST_F(ControlStorageTest, AFullDataFolderIsSurvived) {
  server_ = std::make_unique<Latticed>(std::vector<std::string>{"--stream-max-size=20MiB"});
  const SmallDisk disk(server_->data_dir(), "32m");
  ASSERT_TRUE(server_->Start().ok()) << server_->log();
  ASSERT_TRUE(WaitUntil([&] { return server_->ready(); })) << NotReadyReason();
  ASSERT_NO_FATAL_FAILURE(StartWriter());
  writer_->Write(28'000);
  EXPECT_TRUE(WaitUntil([&] { return !NotReadyReason().empty(); }));
  disk.Grow("500m");
  ExpectEachOnce(absl::Seconds(120));
  EXPECT_TRUE(WaitUntil([&] { return server_->ready(); }));
  EXPECT_EQ(server_->Stop(), 0);
}

TEST_F(ControlStorageTest, AStreamThatWentBackIsReadAgainAndFilledAgain) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  ASSERT_NO_FATAL_FAILURE(StartWriter());
  const std::string messages = server_->File("nats/jetstream/jetstream/$G/streams/LATTICE_AUDIT/msgs");
  writer_->Write(500);
  ExpectEachOnce();
  ASSERT_EQ(server_->Stop(), 0);
  const TempDir older;
  std::filesystem::copy(messages, older.File("msgs"), std::filesystem::copy_options::recursive);
  ASSERT_TRUE(server_->Start().ok());
  writer_->Write(500);
  ExpectEachOnce();
  ASSERT_EQ(server_->Stop(), 0);
  std::filesystem::remove_all(messages);
  std::filesystem::copy(older.File("msgs"), messages, std::filesystem::copy_options::recursive);
  ASSERT_TRUE(server_->Start().ok());
  writer_->Write(10);
  ExpectEachOnce();
  EXPECT_EQ(Count("ingest_rewinds"), 1);
  EXPECT_GE(writer_->counters().replays, 1u);
  EXPECT_TRUE(WaitUntil([&] { return server_->Scrape().Sum("latticed_stream_messages") >= 1010; }));
  EXPECT_GE(Count("ingest_duplicates"), 500);
}

}  // namespace
}  // namespace lattice::testing
