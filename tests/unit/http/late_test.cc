// Answers that come later, and paths that are beginnings.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "tests/testing/wait_until.h"
#include "tests/unit/http/server_thread.h"
#include "userspace/http/client.h"

namespace lattice::http {
namespace {

using ::lattice::testing::WaitUntil;
using ::testing::HasSubstr;

const ServerOptions kAnyPort = {.address = "127.0.0.1:0", .flag = "--http-addr"};

// Keeps what it was asked until the test answers.
class Pending {
 public:
  void Add(Server& server) {
    server.HandleLater("GET", "/later", [this](Request, Responder responder) {
      absl::MutexLock lock(&mutex_);
      responders_.push_back(std::move(responder));
    });
  }
  size_t count() {
    absl::MutexLock lock(&mutex_);
    return responders_.size();
  }
  Responder Take() {
    EXPECT_TRUE(WaitUntil([&] { return count() > 0; }));
    absl::MutexLock lock(&mutex_);
    Responder responder = std::move(responders_.back());
    responders_.pop_back();
    return responder;
  }

 private:
  absl::Mutex mutex_;
  std::vector<Responder> responders_;
};

TEST(LateAnswer, ComesFromAnotherThreadWhileTheLoopServesOthers) {
  Pending pending;
  ServerThread server(kAnyPort, [&](Server& s) {
    pending.Add(s);
    s.Handle("GET", "/now", [](const Request&) { return Response::Text("now"); });
  });
  std::thread client([&] {
    const auto answer = Client(server.address()).Get("/later");
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->status, 201);
    EXPECT_EQ(answer->body, "late");
  });
  const Responder responder = pending.Take();
  EXPECT_EQ(Client(server.address()).Get("/now")->body, "now");
  responder({.status = 201, .body = "late"});
  client.join();
}

TEST(LateAnswer, ServesTheNextRequestOfTheSameConnection) {
  Pending pending;
  ServerThread server(kAnyPort, [&](Server& s) { pending.Add(s); });
  RawClient client(server.address());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.Send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n"));
    pending.Take()(Response::Text(absl::StrCat("answer ", i)));
    EXPECT_THAT(client.ReadUntil(absl::StrCat("answer ", i)), HasSubstr("200 OK"));
  }
}

TEST(LateAnswer, MayBeAStream) {
  class Lines : public StreamSource {
    Next Read(std::string* out) override {
      if (++lines_ > 3) return Next::kEnd;
      absl::StrAppend(out, lines_, "\n");
      return Next::kData;
    }
    int lines_ = 0;
  };
  Pending pending;
  ServerThread server(kAnyPort, [&](Server& s) { pending.Add(s); });
  std::thread answering([&] { pending.Take()(Response::Stream(kText, std::make_shared<Lines>())); });
  EXPECT_EQ(Client(server.address()).Get("/later")->body, "1\n2\n3\n");
  answering.join();
}

TEST(LateAnswer, OfAClientThatHasLeftGoesNowhere) {
  Pending pending;
  ServerThread server(kAnyPort, [&](Server& s) { pending.Add(s); });
  RawClient client(server.address());
  ASSERT_TRUE(client.Send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n"));
  const Responder responder = pending.Take();
  client.Close();
  EXPECT_TRUE(WaitUntil([&] { return server.connections() == 0; }));
  responder(Response::Text("to nobody"));
}

TEST(LateAnswer, ThatNeverComesIsCutAfterTheTimeOfAnAnswer) {
  Pending pending;
  ServerOptions options = kAnyPort;
  options.receive_timeout = absl::Milliseconds(100);
  options.answer_timeout = absl::Milliseconds(200);
  ServerThread server(options, [&](Server& s) { pending.Add(s); });
  RawClient client(server.address());
  ASSERT_TRUE(client.Send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_EQ(client.ReadUntil(), "");
  EXPECT_EQ(pending.count(), 1u);
}

TEST(LateAnswer, IsForgottenWithTheServer) {
  Pending pending;
  ServerThread server(kAnyPort, [&](Server& s) { pending.Add(s); });
  RawClient client(server.address());
  ASSERT_TRUE(client.Send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n"));
  const Responder responder = pending.Take();
  server.Stop();
  EXPECT_EQ(client.ReadUntil(), "");
}

// The server reads it in its last run, when nothing may be waited for any more.
TEST(LateAnswer, OfARequestThatComesAtTheEndIsNotWaitedFor) {
  class Silent : public StreamSource {
    Next Read(std::string*) override { return Next::kWait; }
  };
  for (const char* path : {"/later", "/silent"}) {
    Pending pending;
    ServerThread server(kAnyPort, [&](Server& s) {
      pending.Add(s);
      s.Handle("GET", "/now", [](const Request&) { return Response::Text("now"); });
      s.Handle("GET", "/silent", [](const Request&) { return Response::Stream(kText, std::make_shared<Silent>()); });
    });
    RawClient client(server.address());
    ASSERT_TRUE(client.Send("GET /now HTTP/1.1\r\nHost: x\r\n\r\n"));
    EXPECT_THAT(client.ReadUntil("now"), HasSubstr("200 OK"));
    server.OnLoop([&] {
      EXPECT_TRUE(client.Send(absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\n\r\n")));
      server.loop().Stop();
    });
    server.Stop();
    EXPECT_EQ(pending.count(), 0u);
    client.ReadUntil();
  }
}

TEST(HttpPath, TheWholeGoesBeforeTheLongestBeginning) {
  ServerThread server(kAnyPort, [](Server& s) {
    for (const char* path : {"/a", "/a/*", "/a/b/*", "/a/b/c", "/*"}) {
      s.Handle("GET", path, [path](const Request&) { return Response::Text(path); });
    }
  });
  const Client client(server.address());
  EXPECT_EQ(client.Get("/a")->body, "/a");
  EXPECT_EQ(client.Get("/a/")->body, "/*") << "nothing in the place of the star";
  EXPECT_EQ(client.Get("/a/x")->body, "/a/*");
  EXPECT_EQ(client.Get("/a/b")->body, "/a/*");
  EXPECT_EQ(client.Get("/a/b/c")->body, "/a/b/c");
  EXPECT_EQ(client.Get("/a/b/c/d")->body, "/a/b/*");
  EXPECT_EQ(client.Get("/z")->body, "/*");
  EXPECT_EQ(client.Post("/z", "")->status, 405);
  EXPECT_EQ(client.Get("/")->status, 404);
}

TEST(HttpClient, SendsItsHeadersAndAnyMethod) {
  ServerThread server(kAnyPort, [](Server& s) {
    s.Handle("PUT", "/x", [](const Request& request) {
      return Response::Text(absl::StrCat(*request.Header("authorization"), " ", request.body));
    });
  });
  const Client client(absl::StrCat("http://", server.address(), "/"), {.headers = {{"Authorization", "Bearer abc"}}});
  const auto answer = client.Send("PUT", "/x", "{}");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->body, "Bearer abc {}");
}

}  // namespace
}  // namespace lattice::http
