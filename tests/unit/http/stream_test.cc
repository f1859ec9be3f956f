// Answers that come while they are made.
#include "userspace/http/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "tests/testing/wait_until.h"
#include "tests/unit/http/server_thread.h"
#include "userspace/http/client.h"

namespace lattice::http {
namespace {

using ::lattice::testing::WaitUntil;
using ::testing::HasSubstr;
using ::testing::Not;

const ServerOptions kAnyPort = {.address = "127.0.0.1:0", .flag = "--metrics-addr"};
constexpr char kGet[] = "GET /follow HTTP/1.1\r\nHost: x\r\n\r\n";

// Counts down: `lines` lines in pieces of `per_read`.
class Countdown : public StreamSource {
 public:
  Countdown(int lines, int per_read, std::atomic<int>* finished)
      : left_(lines), per_read_(per_read), finished_(finished) {}
  Next Read(std::string* out) override {
    for (int i = 0; i < per_read_ && left_ > 0; ++i) absl::StrAppend(out, left_--, "\n");
    return left_ == 0 ? Next::kEnd : Next::kData;
  }
  void Finished() override { ++*finished_; }

 private:
  int left_;
  const int per_read_;
  std::atomic<int>* const finished_;
};

// A server with /follow, and the stream of its last client; used on the loop's thread.
class Follow : public ::testing::Test {
 protected:
  Follow()
      : server_(kAnyPort, [this](Server& s) {
          s.Handle("GET", "/follow", [this](const Request&) {
            stream_ = std::make_shared<PushStream>(1000);
            return Response::Stream(kJsonLines, stream_);
          });
        }) {}

  bool Write(const std::string& text) {
    bool taken = false;
    server_.OnLoop([&] { taken = stream_->Write(text); });
    return taken;
  }
  bool IsOpen() {
    bool open = false;
    server_.OnLoop([&] { open = stream_->open(); });
    return open;
  }
  void Close() {
    server_.OnLoop([&] { stream_->Close(); });
  }

  std::shared_ptr<PushStream> stream_;
  ServerThread server_;
};

TEST(HttpStream, PullsUntilItsEnd) {
  std::atomic<int> finished = 0;
  ServerThread server(kAnyPort, [&](Server& s) {
    s.Handle("GET", "/", [&](const Request&) {
      return Response::Stream(kText, std::make_shared<Countdown>(100'000, 1000, &finished));
    });
  });
  int expected = 100'000;
  const absl::Status done = Client(server.address()).ForEachLine("/", [&](absl::string_view line) {
    EXPECT_EQ(line, absl::StrCat(expected--));
    return true;
  });
  EXPECT_TRUE(done.ok()) << done;
  EXPECT_EQ(expected, 0);
  EXPECT_TRUE(WaitUntil([&] { return finished == 1; }));
}

TEST(HttpStream, ThatFailsIsSeenToBeIncomplete) {
  class Failing : public StreamSource {
    Next Read(std::string* out) override {
      if (std::exchange(begun_, true)) return Next::kFail;
      *out = "half";
      return Next::kData;
    }
    bool begun_ = false;
  };
  ServerThread server(kAnyPort, [](Server& s) {
    s.Handle("GET", "/x", [](const Request&) { return Response::Stream(kText, std::make_shared<Failing>()); });
  });
  EXPECT_FALSE(Client(server.address()).Get("/x").ok());
}

TEST(HttpStream, IsNotReadForHead) {
  std::atomic<int> finished = 0;
  ServerThread server(kAnyPort, [&](Server& s) {
    s.Handle("GET", "/", [&](const Request&) {
      return Response::Stream(kText, std::make_shared<Countdown>(100'000, 1, &finished));
    });
  });
  RawClient client(server.address());
  ASSERT_TRUE(client.Send("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  EXPECT_THAT(client.ReadUntil(), ::testing::EndsWith("\r\n\r\n"));
  EXPECT_EQ(finished, 1);
}

TEST_F(Follow, GivesLinesWhenThereAreSome) {
  RawClient client(server_.address());
  ASSERT_TRUE(client.Send(kGet));
  const std::string head = client.ReadUntil("\r\n\r\n");  // comes before any line
  EXPECT_THAT(head, HasSubstr("200 OK"));
  EXPECT_THAT(head, HasSubstr("Transfer-Encoding: chunked"));
  for (const char* line : {"{\"a\":1}\n", "{\"a\":2}\n"}) {
    EXPECT_TRUE(Write(line));
    EXPECT_THAT(client.ReadUntil(line), HasSubstr(line));
  }
  Close();
  EXPECT_THAT(client.ReadUntil("0\r\n\r\n"), HasSubstr("0\r\n\r\n"));
  EXPECT_TRUE(WaitUntil([&] { return !IsOpen(); }));
  EXPECT_FALSE(Write("too late\n"));
}

TEST_F(Follow, NoticesAtOnceThatTheClientLeftAlthoughThereIsNothingToSend) {
  RawClient client(server_.address());
  ASSERT_TRUE(client.Send(kGet));
  client.ReadUntil("\r\n\r\n");
  EXPECT_TRUE(IsOpen());
  client.Close();
  EXPECT_TRUE(WaitUntil([&] { return !IsOpen(); }));
  EXPECT_TRUE(WaitUntil([&] { return server_.connections() == 0; }));
}

TEST_F(Follow, BoundsWhatASlowClientCosts) {
  RawClient client(server_.address());
  ASSERT_TRUE(client.Send(kGet));
  client.ReadUntil("\r\n\r\n");
  const std::string line = std::string(499, 'x') + "\n";
  // The sockets' buffers take some MB before the stream's own 1000 bytes fill up.
  bool refused = false;
  for (int i = 0; i < 100'000 && !refused; ++i) refused = !Write(line);
  EXPECT_TRUE(refused);
  EXPECT_TRUE(IsOpen());
  Close();
  // What was taken arrives; the chunk of size 0 is the end.
  EXPECT_THAT(client.ReadUntil("\r\n0\r\n\r\n"), HasSubstr("\r\n0\r\n\r\n"));
}

TEST_F(Follow, OutlivesTheTimeForARequest) {
  server_.Stop();
  ServerOptions options = kAnyPort;
  options.receive_timeout = absl::Milliseconds(40);
  std::shared_ptr<PushStream> stream;
  ServerThread server(options, [&](Server& s) {
    s.Handle("GET", "/follow", [&](const Request&) {
      stream = std::make_shared<PushStream>();
      return Response::Stream(kText, stream);
    });
    s.Handle("GET", "/", [](const Request&) { return Response::Text(""); });
  });
  RawClient follower(server.address());
  ASSERT_TRUE(follower.Send(kGet));
  follower.ReadUntil("\r\n\r\n");
  // A connection made later is cut by the same sweep: so the follower has been passed over.
  RawClient idle(server.address());
  idle.ReadUntil();
  server.OnLoop([&] { EXPECT_TRUE(stream->Write("still here\n")); });
  EXPECT_THAT(follower.ReadUntil("here\n"), HasSubstr("still here\n"));
}

TEST_F(Follow, CostsNothingWhileItWaits) {
  RawClient client(server_.address());
  ASSERT_TRUE(client.Send(kGet));
  client.ReadUntil("\r\n\r\n");
  // Two turns of a 1 s-period sweep at most in this time; a busy loop would make thousands of switches or burn CPU.
  rusage before, after;
  server_.OnLoop([&] { getrusage(RUSAGE_THREAD, &before); });
  const absl::Time end = absl::Now() + absl::Milliseconds(300);
  WaitUntil([&] { return absl::Now() > end; }, absl::Seconds(5));
  server_.OnLoop([&] { getrusage(RUSAGE_THREAD, &after); });
  EXPECT_LT(after.ru_nvcsw - before.ru_nvcsw, 20);
  EXPECT_LT(after.ru_utime.tv_sec * 1'000'000 + after.ru_utime.tv_usec,
            before.ru_utime.tv_sec * 1'000'000 + before.ru_utime.tv_usec + 150'000);
}

TEST_F(Follow, EndsWithTheServer) {
  RawClient client(server_.address());
  ASSERT_TRUE(client.Send(kGet));
  client.ReadUntil("\r\n\r\n");
  server_.Stop();
  EXPECT_FALSE(stream_->open());
  EXPECT_FALSE(stream_->Write("nobody reads\n"));
  EXPECT_THAT(client.ReadUntil(), Not(HasSubstr("0\r\n\r\n")));  // the client sees that it is cut
}

}  // namespace
}  // namespace lattice::http
