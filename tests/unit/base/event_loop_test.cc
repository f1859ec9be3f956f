#include "userspace/base/event_loop.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

#include "absl/time/clock.h"

namespace lattice {
namespace {

using ::testing::ElementsAre;

class EventLoopTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::Create();
    ASSERT_TRUE(loop.ok()) << loop.status();
    loop_ = *std::move(loop);
  }
  void Run() {
    const absl::Status run = loop_->Run();
    EXPECT_TRUE(run.ok()) << run;
  }
  // An fd that is readable at once and stays so.
  static UniqueFd Readable() { return UniqueFd(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)); }

  std::unique_ptr<EventLoop> loop_;
};

TEST_F(EventLoopTest, CallsBackWhenAnFdIsReady) {
  int pipes[2];
  ASSERT_EQ(pipe2(pipes, O_CLOEXEC), 0);
  const UniqueFd read_end(pipes[0]);
  UniqueFd write_end(pipes[1]);
  std::vector<uint32_t> seen;
  ASSERT_TRUE(loop_
                  ->AddFd(read_end.get(), EPOLLIN,
                          [&](uint32_t events) {
                            seen.push_back(events);
                            if (events & EPOLLHUP) return loop_->Stop();
                            char byte;
                            EXPECT_EQ(read(read_end.get(), &byte, 1), 1);
                            write_end.reset();
                          })
                  .ok());
  ASSERT_EQ(write(write_end.get(), "x", 1), 1);
  Run();
  EXPECT_THAT(seen, ElementsAre(EPOLLIN, EPOLLHUP));
}

TEST_F(EventLoopTest, FollowsAChangeOfTheEventsItWaitsFor) {
  const UniqueFd fd = Readable();
  std::vector<uint32_t> seen;
  ASSERT_TRUE(loop_
                  ->AddFd(fd.get(), EPOLLIN,
                          [&](uint32_t events) {
                            seen.push_back(events);
                            if (events == EPOLLOUT) return loop_->Stop();
                            EXPECT_TRUE(loop_->ModifyFd(fd.get(), EPOLLOUT).ok());
                          })
                  .ok());
  Run();
  EXPECT_THAT(seen, ElementsAre(EPOLLIN, EPOLLOUT));
}

TEST_F(EventLoopTest, TellsWhichFdsItCannotWatch) {
  const auto nothing = [](uint32_t) {};
  EXPECT_FALSE(loop_->AddFd(-1, EPOLLIN, nothing).ok());
  const UniqueFd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(absl::IsPermissionDenied(loop_->AddFd(file.get(), EPOLLIN, nothing)));  // EPERM: always ready
  const UniqueFd fd = Readable();
  EXPECT_TRUE(absl::IsNotFound(loop_->ModifyFd(fd.get(), EPOLLIN)));
  ASSERT_TRUE(loop_->AddFd(fd.get(), EPOLLIN, nothing).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(loop_->AddFd(fd.get(), EPOLLIN, nothing)));
  loop_->RemoveFd(fd.get());
  loop_->RemoveFd(fd.get());  // a second time is nothing
}

TEST_F(EventLoopTest, LetsACallbackRemoveItself) {
  const UniqueFd fd = Readable();
  int calls = 0;
  // The captured string dies with the callback, unless the loop keeps that alive until it returns.
  ASSERT_TRUE(loop_
                  ->AddFd(fd.get(), EPOLLIN,
                          [&, text = std::string(100, 'x')](uint32_t) {
                            ++calls;
                            loop_->RemoveFd(fd.get());
                            loop_->Post([&] { loop_->Stop(); });
                            EXPECT_EQ(text, std::string(100, 'x'));
                          })
                  .ok());
  Run();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, DoesNotCallWhatAnotherCallbackOfTheSameTurnRemoved) {
  const UniqueFd fds[] = {Readable(), Readable()};
  int calls = 0;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(loop_
                    ->AddFd(fds[i].get(), EPOLLIN,
                            [&, i](uint32_t) {
                              ++calls;
                              loop_->RemoveFd(fds[i].get());
                              loop_->RemoveFd(fds[1 - i].get());
                              loop_->Post([&] { loop_->Stop(); });
                            })
                    .ok());
  }
  Run();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, DoesNotGiveAnOldEventToANewFdOfTheSameNumber) {
  UniqueFd fds[] = {Readable(), Readable()};
  int calls = 0, stale = 0;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(loop_
                    ->AddFd(fds[i].get(), EPOLLIN,
                            [&, i](uint32_t) {
                              ++calls;
                              // Both are ready; the other one's number now belongs to an fd that is not.
                              const int number = fds[1 - i].get();
                              loop_->RemoveFd(number);
                              const UniqueFd silent(eventfd(0, EFD_CLOEXEC));
                              ASSERT_EQ(dup2(silent.get(), number), number);
                              EXPECT_TRUE(loop_->AddFd(number, EPOLLIN, [&](uint32_t) { ++stale; }).ok());
                              loop_->RemoveFd(fds[i].get());
                              loop_->Post([&] { loop_->Stop(); });
                            })
                    .ok());
  }
  Run();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(stale, 0);
}

TEST_F(EventLoopTest, RunsTimersInTurnAndOnceOnesOnce) {
  int periodic = 0, once = 0;
  loop_->AddOnce(absl::ZeroDuration(), [&] { ++once; });
  loop_->AddTimer(absl::Milliseconds(1), [&] {
    if (++periodic == 5) loop_->Stop();
  });
  Run();
  EXPECT_EQ(periodic, 5);
  EXPECT_EQ(once, 1);
}

TEST_F(EventLoopTest, DoesNotCallATimerEarly) {
  const absl::Time start = absl::Now();
  absl::Duration waited;
  loop_->AddOnce(absl::Milliseconds(20), [&] {
    waited = absl::Now() - start;
    loop_->Stop();
  });
  Run();
  EXPECT_GE(waited, absl::Milliseconds(19));  // Now() and the loop's monotonic clock round differently
}

TEST_F(EventLoopTest, DoesNotMakeUpForLateTurns) {
  int calls = 0;
  loop_->AddTimer(absl::Milliseconds(1), [&] {
    // Ten periods pass in the first call; only one turn may follow at once, and later ones after a period each.
    if (++calls == 1) {
      const absl::Time end = absl::Now() + absl::Milliseconds(10);
      while (absl::Now() < end) continue;
      loop_->Post([&] { loop_->Stop(); });
    }
  });
  Run();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, LetsTimersRemoveThemselvesAndOthers) {
  int self = 0, other = 0;
  EventLoop::TimerId self_id = 0, other_id = 0;
  self_id = loop_->AddTimer(absl::Nanoseconds(1), [&] {
    ++self;
    loop_->RemoveTimer(self_id);
    loop_->RemoveTimer(other_id);  // due in this same turn
    loop_->AddOnce(absl::Milliseconds(2), [&] { loop_->Stop(); });
  });
  other_id = loop_->AddTimer(absl::Nanoseconds(1), [&] { ++other; });
  Run();
  EXPECT_EQ(self, 1);
  EXPECT_EQ(other, 0);
  loop_->RemoveTimer(12345);  // never existed
}

TEST_F(EventLoopTest, RunsPostedCallbacksOfAnotherThreadInOrderOnItsOwn) {
  constexpr int kCount = 1000;
  std::vector<int> seen;
  const std::thread::id loop_thread = std::this_thread::get_id();
  std::thread other([&] {
    for (int i = 0; i < kCount; ++i) {
      loop_->Post([&, i] {
        EXPECT_EQ(std::this_thread::get_id(), loop_thread);
        seen.push_back(i);
        if (i == kCount - 1) loop_->Stop();
      });
    }
  });
  Run();
  other.join();
  ASSERT_EQ(seen.size(), static_cast<size_t>(kCount));
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST_F(EventLoopTest, RunsWhatAPostedCallbackPosts) {
  int depth = 0;
  std::function<void()> deeper = [&] {
    if (++depth == 3) return loop_->Stop();
    loop_->Post(deeper);
  };
  loop_->Post(deeper);
  Run();
  EXPECT_EQ(depth, 3);
}

TEST_F(EventLoopTest, StopsFromAnotherThreadAndRunsAgain) {
  for (int i = 0; i < 2; ++i) {
    std::thread other([&] { loop_->Stop(); });
    Run();
    other.join();
  }
}

TEST_F(EventLoopTest, CallsBackForASignal) {
  int calls = 0;
  ASSERT_TRUE(loop_
                  ->AddSignal(SIGUSR1,
                              [&] {
                                ++calls;
                                loop_->Stop();
                              })
                  .ok());
  ASSERT_EQ(kill(getpid(), SIGUSR1), 0);  // blocked, so it waits for the loop and does not kill us
  Run();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, RefusesWhatIsNoSignal) {
  EXPECT_FALSE(loop_->AddSignal(12345, [] {}).ok());
}

TEST_F(EventLoopTest, DoesAtTheEndOfATurnOnceWhatWasAskedForOften) {
  std::vector<std::string> seen;
  EventLoop::EndOfTurn flush(*loop_, [&] { seen.push_back("flush"); });
  EventLoop::EndOfTurn gone(*loop_, [&] { seen.push_back("gone"); });
  auto asked = std::make_unique<EventLoop::EndOfTurn>(*loop_, [&] { seen.push_back("never"); });
  loop_->AddOnce(absl::ZeroDuration(), [&] {
    seen.push_back("timer");
    flush.Request();
    flush.Request();
    asked->Request();
    asked = nullptr;
  });
  loop_->AddOnce(absl::ZeroDuration(), [&] { seen.push_back("second timer"); });
  loop_->AddOnce(absl::Milliseconds(1), [&] { loop_->Stop(); });
  Run();
  EXPECT_THAT(seen, ElementsAre("timer", "second timer", "flush"));
}

TEST_F(EventLoopTest, WorkThatAsksForItselfLetsOthersRun) {
  int turns = 0;
  std::unique_ptr<EventLoop::EndOfTurn> again;
  again = std::make_unique<EventLoop::EndOfTurn>(*loop_, [&] {
    ++turns;
    again->Request();
  });
  again->Request();  // before the loop runs: it does not wait for anything else
  loop_->AddOnce(absl::Milliseconds(5), [&] { loop_->Stop(); });
  Run();
  EXPECT_GT(turns, 1);
}

}  // namespace
}  // namespace lattice
