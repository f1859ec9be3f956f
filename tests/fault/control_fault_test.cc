// What goes wrong around latticed: its NATS, itself, its database, its disk, its readers. In the end each record is in
// the table, once.
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <filesystem>
#include <random>

#include "absl/strings/str_cat.h"
#include "tests/fault/control_fault.h"
#include "tests/testing/child_process.h"
#include "tests/testing/seed.h"
#include "tests/testing/sockets.h"
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

TEST_F(ControlFaultTest, ANatsServerThatIsKilledIsStartedAgainAndNothingIsLost) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  ASSERT_NO_FATAL_FAILURE(StartWriter());
  writer_->Write(3000);
  const pid_t first = NatsPid();
  ASSERT_EQ(kill(first, SIGKILL), 0);
  writer_->Write(3000);
  ExpectEachOnce();
  EXPECT_NE(NatsPid(), first);
  EXPECT_EQ(Count("nats_server_restarts"), 1);
  EXPECT_TRUE(WaitUntil([&] { return server_->ready(); }));
}

TEST_F(ControlFaultTest, ANatsServerThatStandsStillHoldsOnlyTheRecordsUp) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  ASSERT_NO_FATAL_FAILURE(StartWriter());
  writer_->Write(1000);
  ExpectEachOnce();
  ASSERT_EQ(kill(NatsPid(), SIGSTOP), 0);
  writer_->Write(1000);
  EXPECT_TRUE(WaitUntil([&] { return !NotReadyReason().empty(); }));
  EXPECT_EQ(server_->Flows("limit=1").size(), 1000u);  // reading goes on
  ASSERT_EQ(kill(NatsPid(), SIGCONT), 0);
  ExpectEachOnce();
  EXPECT_EQ(Count("nats_server_restarts"), 0);
  EXPECT_TRUE(WaitUntil([&] { return server_->ready(); }));
}

TEST_F(ControlFaultTest, KilledAtAnyMomentItHasEachRecordOnce) {
  std::mt19937_64 random(TestSeed());
  ASSERT_NO_FATAL_FAILURE(StartServer());
  ASSERT_NO_FATAL_FAILURE(StartWriter());
  for (int round = 0; round < 6; ++round) {
    writer_->Write(2000);
    absl::SleepFor(absl::Milliseconds(random() % 300));
    server_->Kill();
    ASSERT_TRUE(server_->Start().ok()) << server_->log();
  }
  ExpectEachOnce();
}

TEST_F(ControlFaultTest, ALockedDatabaseIsWaitedForAndSaid) {
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

TEST_F(ControlFaultTest, AFullDiskOfTheDatabaseIsWaitedForAndSaid) {
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
TEST_F(ControlFaultTest, AFullDataFolderIsSurvived) {
  server_ = std::make_unique<Latticed>(std::vector<std::string>{"--stream-max-size=20MiB"});
  const SmallDisk disk(server_->data_dir(), "32m");
  ASSERT_TRUE(server_->Start().ok()) << server_->log();
  ASSERT_TRUE(WaitUntil([&] { return server_->ready(); })) << NotReadyReason();
  ASSERT_NO_FATAL_FAILURE(StartWriter());
  writer_->Write(28'000);
  EXPECT_TRUE(WaitUntil([&] { return !NotReadyReason().empty(); }));
  disk.Grow("500m");
  ExpectEachOnce();
  EXPECT_TRUE(WaitUntil([&] { return server_->ready(); }));
  EXPECT_EQ(server_->Stop(), 0);
}

TEST_F(ControlFaultTest, AStreamThatWentBackIsReadAgainAndFilledAgain) {
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

TEST_F(ControlFaultTest, AClockThatStepsBackLosesNothing) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  ASSERT_NO_FATAL_FAILURE(StartWriter());
  const absl::Time now = absl::Now();
  for (const absl::Time ts : {now, now - absl::Hours(5), now + absl::Minutes(10), now - absl::Minutes(1)}) {
    writer_->Write(200, ts);
  }
  ExpectEachOnce();
  EXPECT_EQ(server_->Flows("from=-6h&to=-4h").size(), 200u);
}

TEST_F(ControlFaultTest, AReaderThatTakesNothingIsCutAndTheOthersGoOn) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  ASSERT_NO_FATAL_FAILURE(StartWriter());
  const std::string authorization = "Authorization: Bearer " + server_->admin_token();
  auto good =
      ChildProcess::Start({.argv = {"curl", "-sN", "-H", authorization, server_->url() + "/api/v1/audit/flow/stream"}});
  ASSERT_TRUE(good.ok()) << good.status();
  const UniqueFd slow(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int small = 4096;
  ASSERT_EQ(setsockopt(slow.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
  const std::string& address = server_->address();
  const SocketAddress to("127.0.0.1", static_cast<uint16_t>(std::stoi(address.substr(address.find(':') + 1))));
  ASSERT_EQ(connect(slow.get(), to.get(), to.length()), 0);
  const std::string request =
      absl::StrCat("GET /api/v1/audit/flow/stream HTTP/1.1\r\nHost: ", address, "\r\n", authorization, "\r\n\r\n");
  ASSERT_EQ(send(slow.get(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  ASSERT_TRUE(WaitUntil([&] { return server_->Scrape().Sum("latticed_live_tails") == 2; }));
  writer_->Write(20'000);
  EXPECT_TRUE(WaitUntil([&] { return Count("live_tails_cut") == 1; }, absl::Seconds(40)));
  EXPECT_TRUE(WaitUntil([&] { return server_->Scrape().Sum("latticed_live_tails") == 1; }));
  EXPECT_TRUE((*good)->WaitForOutput("node-1/boot-1/20000\n", absl::Seconds(20)));
  EXPECT_THAT((*good)->out(), ::testing::Not(HasSubstr("event: cut")));
}

class StopTest : public ControlFaultTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StartServer());
    ASSERT_NO_FATAL_FAILURE(StartWriter());
  }
  void ExpectStopsSoon() {
    const pid_t nats = NatsPid();
    ASSERT_TRUE(IsAlive(nats));
    const absl::Time begin = absl::Now();
    EXPECT_EQ(server_->Stop(), 0);
    EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
    EXPECT_FALSE(IsAlive(nats));
  }
};

TEST_F(StopTest, UnderLoadWithAReader) {
  auto tail = ChildProcess::Start({.argv = {"curl", "-sN", "-H", "Authorization: Bearer " + server_->admin_token(),
                                            server_->url() + "/api/v1/audit/flow/stream"}});
  ASSERT_TRUE(tail.ok()) << tail.status();
  ASSERT_TRUE((*tail)->WaitForOutput(": lattice live tail", absl::Seconds(10)));
  writer_->Write(10'000);
  absl::SleepFor(absl::Milliseconds(200));
  ExpectStopsSoon();
  ASSERT_TRUE(server_->Start().ok());
  ExpectEachOnce();
}

TEST_F(StopTest, WhileNatsStandsStill) {
  writer_->Write(100);
  ExpectEachOnce();
  ASSERT_EQ(kill(NatsPid(), SIGSTOP), 0);
  absl::SleepFor(absl::Seconds(1));
  ExpectStopsSoon();
}

TEST_F(StopTest, WhileTheDatabaseIsLocked) {
  auto database = sql::Database::Open("sqlite://" + server_->File("lattice.db"));
  ASSERT_TRUE(database.ok()) << database.status();
  auto other = (*database)->Connect();
  ASSERT_TRUE(other.ok()) << other.status();
  ASSERT_TRUE((*other)->ExecuteScript("BEGIN EXCLUSIVE").ok());
  writer_->Write(100);
  absl::SleepFor(absl::Seconds(1));
  ExpectStopsSoon();
}

}  // namespace
}  // namespace lattice::testing
