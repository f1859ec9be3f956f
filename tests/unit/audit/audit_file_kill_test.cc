// kill -9 at random moments: the writer is a child process that plays the daemon with a
// kernel ring of 600 records behind it, and is killed and started again until all is written.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <set>
#include <string>

#include "tests/testing/fake_clock.h"
#include "tests/testing/flow_records.h"
#include "tests/testing/seed.h"
#include "tests/testing/temp_dir.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/decoder.h"
#include "userspace/audit/lines.h"
#include "userspace/audit/segment.h"
#include "userspace/audit/verify.h"

namespace lattice::audit {
namespace {

constexpr uint64_t kRecords = 20'000;
constexpr uint64_t kBatch = 64;

// What survives the daemon: the ring's consumer position and the info map.
struct Kernel {
  std::atomic<uint64_t> consumed{0};
  std::atomic<uint64_t> next_seq{1};
  std::atomic<uint64_t> written{0};  // for the parent: how often to wait before the next kill
};

// The daemon: reads the ring from its committed position, writes, commits. Never returns.
[[noreturn]] void RunDaemon(Kernel& kernel, const AuditFileOptions& given) {
  AuditFileOptions options = given;
  options.min_next_seq = kernel.next_seq;
  options.rings_adopted = true;
  testing::FakeClock clock;
  clock.Advance(absl::Hours(1));  // after every record of the ring
  auto audit = AuditFile::Open(RealFileSystem(), clock, options);
  if (!audit.ok()) _exit(2);
  while (kernel.consumed < kRecords) {
    const uint64_t from = kernel.consumed;
    const uint64_t to = std::min(kRecords, from + kBatch);
    for (uint64_t i = from; i < to; ++i) {
      if ((*audit)->AlreadyWritten(testing::KernelStart(i))) continue;
      flow::FlowRecord record = testing::StartRecord(i);
      (*audit)->Add(record);
    }
    if (!(*audit)->Commit().ok()) _exit(3);
    kernel.written = to;
    kernel.consumed = to;
    kernel.next_seq = (*audit)->next_seq();
  }
  _exit(0);
}

class KillTest : public ::testing::Test {
 protected:
  KillTest() {
    void* memory = mmap(nullptr, sizeof(Kernel), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) abort();
    kernel_ = new (memory) Kernel;
    options_.path = dir_.File("audit.jsonl");
    options_.node = "node-1";
    options_.boot = "bootaaaaaaaa";
    options_.rotate_bytes = 500'000;
  }
  ~KillTest() override { munmap(kernel_, sizeof(Kernel)); }

  // Runs the daemon until it has written `more` records (or is done), then kills it after a
  // random number of turns. True: it ended by itself.
  bool RunAndKill(uint64_t more, uint64_t turns) {
    const uint64_t target = std::min(kRecords, kernel_->written + more);
    const pid_t pid = fork();
    if (pid == 0) RunDaemon(*kernel_, options_);
    EXPECT_GT(pid, 0);
    int status = 0;
    while (kernel_->written < target && waitpid(pid, &status, WNOHANG) == 0) sched_yield();
    for (uint64_t i = 0; i < turns; ++i) sched_yield();
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);  // ECHILD if the loop has collected it
    EXPECT_TRUE(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) << status;
    return WIFEXITED(status);
  }

  testing::TempDir dir_;
  Kernel* kernel_;
  AuditFileOptions options_;
};

TEST_F(KillTest, EveryRecordOfTheRingIsInTheFileOnce) {
  std::mt19937_64 random(testing::TestSeed());
  int kills = 0;
  while (kernel_->consumed < kRecords && kills < 2'000) {
    if (!RunAndKill(random() % 800, random() % 3'000)) ++kills;
  }
  RunAndKill(0, 0);
  ASSERT_EQ(kernel_->consumed, kRecords);
  RecordProperty("kills", kills);
  std::cout << kills << " kills\n";

  std::set<uint64_t> seen;
  uint64_t expected_seq = 1;
  const std::vector<Segment> segments = ListSegments(RealFileSystem(), options_.path).value();
  for (const Segment& segment : segments) {
    auto file = RealFileSystem().OpenRead(segment.path).value();
    LineScanner scanner(*file, 0);
    while (auto line = scanner.Next().value()) {
      const absl::StatusOr<DecodedLine> decoded = DecodeLine(*line);
      ASSERT_TRUE(decoded.ok()) << decoded.status();
      ASSERT_EQ(decoded->record.event, flow::Event::kStart) << "no loss, since the ring lives on: " << *line;
      ASSERT_EQ(decoded->record.seq, expected_seq++);
      ASSERT_TRUE(seen.insert(decoded->record.monotonic_ns).second) << *line;
    }
  }
  EXPECT_EQ(seen.size(), kRecords);
  EXPECT_TRUE(VerifyChain(RealFileSystem(), options_.path, {})->ok());
}

}  // namespace
}  // namespace lattice::audit
