// What goes wrong around latticed: its NATS, itself, clocks, its readers. In the end each record is in
// the table, once.
#include <signal.h>
#include <sys/socket.h>

#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/fault/control_fault.h"
#include "tests/testing/child_process.h"
#include "tests/testing/command.h"
#include "tests/testing/seed.h"
#include "tests/testing/sockets.h"
#include "userspace/sql/database.h"

namespace lattice::testing {
namespace {

using ::testing::HasSubstr;

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

class SlowReaderTest : public ControlFaultTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StartServer());
    ASSERT_NO_FATAL_FAILURE(StartWriter());
  }
  std::string Authorization() const { return "Authorization: Bearer " + server_->admin_token(); }
  // Asks, and takes nothing of the answer.
  UniqueFd Ask(const std::string& target) const {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int small = 4096;
    EXPECT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    const std::string& address = server_->address();
    const SocketAddress to("127.0.0.1", static_cast<uint16_t>(std::stoi(address.substr(address.find(':') + 1))));
    EXPECT_EQ(connect(fd.get(), to.get(), to.length()), 0);
    const std::string request =
        absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: ", address, "\r\n", Authorization(), "\r\n\r\n");
    EXPECT_EQ(send(fd.get(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
    return fd;
  }
};

TEST_F(SlowReaderTest, FourExportsRunAtOnceAndTheNextIsToldWhenToComeAgain) {
  writer_->Write(30'000);  // more than the buffers of a connection take
  ASSERT_TRUE(WaitUntil([&] { return Count("ingest_stored") >= 30'000; }, absl::Seconds(60)));
  const std::string target = "/api/v1/audit/flow?format=ndjson";
  std::vector<UniqueFd> running;
  for (int i = 0; i < 4; ++i) {
    running.push_back(Ask(target));
    char first = '\0';  // it has begun
    ASSERT_EQ(recv(running.back().get(), &first, 1, MSG_PEEK), 1);
  }
  const auto fifth = [&] {
    return RunCommand({"curl", "-s", "-D", "-", "-o", "/dev/null", "-H", Authorization(), server_->url() + target});
  };
  const CommandResult refused = fifth();
  EXPECT_THAT(refused.out, ::testing::AllOf(HasSubstr("HTTP/1.1 429 "), HasSubstr("\r\nRetry-After: 5\r\n")))
      << refused;
  // A question for one page is no export.
  EXPECT_EQ(server_->Get("/api/v1/audit/flow?limit=1")["code"], 0);
  running.pop_back();
  EXPECT_TRUE(WaitUntil([&] { return absl::StrContains(fifth().out, "HTTP/1.1 200 "); }));
}

TEST_F(SlowReaderTest, OneThatTakesNothingIsCutAndTheOthersGoOn) {
  const std::string stream = "/api/v1/audit/flow/stream";
  auto good = ChildProcess::Start({.argv = {"curl", "-sN", "-H", Authorization(), server_->url() + stream}});
  ASSERT_TRUE(good.ok()) << good.status();
  const UniqueFd slow = Ask(stream);
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
