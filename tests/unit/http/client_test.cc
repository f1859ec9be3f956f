#include "userspace/http/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "tests/testing/command.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/http/server_thread.h"
#include "userspace/http/listen.h"

namespace lattice::http {
namespace {

using ::lattice::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

void AddRoutes(Server& server) {
  server.Handle("GET", "/text", [](const Request& r) {
    return Response::Text(absl::StrCat("q=", std::string(r.Param("q").value_or("")), "\n"));
  });
  server.Handle("POST", "/echo", [](const Request& r) { return Response::Json(r.body); });
  server.Handle("GET", "/lines", [](const Request&) { return Response::Text("one\n\nthree\nlast"); });
  server.Handle("GET", "/busy", [](const Request&) { return Response::Error(409, "another apply is running"); });
  server.Handle("GET", "/silent",
                [](const Request&) { return Response::Stream(kText, std::make_shared<PushStream>()); });
}

class HttpClient : public ::testing::TestWithParam<bool> {
 protected:
  HttpClient() : server_({.address = GetParam() ? dir_.File("s") : "127.0.0.1:0", .flag = "--addr"}, AddRoutes) {}
  TempDir dir_;
  ServerThread server_;
};

TEST_P(HttpClient, GetsAndPosts) {
  const Client client(server_.address());
  const auto text = client.Get(absl::StrCat("/text?q=", EscapeQuery("a b&c=d/\xc3\xa9%")));
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->status, 200);
  EXPECT_EQ(text->content_type, kText);
  EXPECT_EQ(text->body, "q=a b&c=d/\xc3\xa9%\n");
  for (const std::string& body : {std::string(), std::string("{}"), std::string(900 << 10, 'x')}) {
    const auto echo = client.Post("/echo", body);
    ASSERT_TRUE(echo.ok()) << echo.status();
    EXPECT_EQ(echo->body, body);
    EXPECT_EQ(echo->content_type, kJson);
  }
}

TEST_P(HttpClient, GivesOtherStatusesAsAnswers) {
  const auto answer = Client(server_.address()).Get("/none");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 404);
  EXPECT_EQ(answer->body, "no such path: /none\n");
}

TEST_P(HttpClient, GivesLinesOneByOne) {
  std::vector<std::string> lines;
  const absl::Status done = Client(server_.address()).ForEachLine("/lines", [&](absl::string_view line) {
    lines.emplace_back(line);
    return true;
  });
  EXPECT_TRUE(done.ok()) << done;
  EXPECT_THAT(lines, ElementsAre("one", "", "three", "last"));
}

TEST_P(HttpClient, StopsWhenTheReaderHasEnough) {
  int count = 0;
  const absl::Status done =
      Client(server_.address()).ForEachLine("/lines", [&](absl::string_view) { return ++count < 2; });
  EXPECT_TRUE(done.ok()) << done;
  EXPECT_EQ(count, 2);
}

TEST_P(HttpClient, MakesAnErrorOfTheServersReasonInsteadOfLines) {
  const absl::Status refused = Client(server_.address()).ForEachLine("/busy", [](absl::string_view) {
    ADD_FAILURE() << "no line of an error is data";
    return true;
  });
  EXPECT_EQ(refused, absl::FailedPreconditionError("another apply is running"));
}

TEST_P(HttpClient, EndsAtItsTimeout) {
  const Client client(server_.address(), {.timeout = absl::Milliseconds(100)});
  EXPECT_TRUE(absl::IsDeadlineExceeded(client.Get("/silent").status()));
}

TEST_P(HttpClient, RefusesAnAnswerOverItsLimit) {
  const Client client(server_.address(), {.max_body_bytes = 5});
  EXPECT_TRUE(absl::IsResourceExhausted(client.Get("/lines").status()));
}

INSTANTIATE_TEST_SUITE_P(Over, HttpClient, ::testing::Bool(),
                         [](const auto& c) { return c.param ? "UnixSocket" : "Tcp"; });

TEST(HttpClientErrors, NameTheAddressWhereNobodyListens) {
  TempDir dir;
  for (const std::string& address : {dir.File("none"), std::string("127.0.0.1:1")}) {
    const absl::Status error = Client(address).Get("/").status();
    EXPECT_TRUE(absl::IsUnavailable(error)) << error;
    EXPECT_THAT(std::string(error.message()), HasSubstr(absl::StrCat("nobody listens at ", address)));
  }
}

TEST(HttpClientErrors, EndWhenTheServerTakesTheConnectionAndSaysNothing) {
  TempDir dir;
  const auto mute = Listener::Open(dir.File("s"), "--socket");  // its queue accepts, nobody reads
  ASSERT_TRUE(mute.ok()) << mute.status();
  const Client client(dir.File("s"), {.timeout = absl::Milliseconds(100)});
  EXPECT_TRUE(absl::IsDeadlineExceeded(client.Get("/").status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(client.ForEachLine("/", [](absl::string_view) { return true; })));
}

TEST(HttpClientErrors, ComeWhenTheServerClosesWithoutAnAnswer) {
  TempDir dir;
  const auto listener = Listener::Open(dir.File("s"), "--socket");
  ASSERT_TRUE(listener.ok()) << listener.status();
  std::thread closer([&] {
    UniqueFd fd;
    while (!fd.ok()) fd.reset(accept(listener->fd(), nullptr, nullptr));
  });
  const absl::Status error = Client(dir.File("s")).Get("/").status();
  closer.join();
  EXPECT_TRUE(absl::IsUnavailable(error)) << error;
}

TEST(HttpClientErrors, TellWhoMayNotConnect) {
  if (getuid() != 0) GTEST_SKIP() << "needs root to become another user";
  TempDir dir;
  ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
  const auto listener = Listener::Open(dir.File("s"), "--socket");
  ASSERT_TRUE(listener.ok()) << listener.status();
  ASSERT_EQ(seteuid(65534), 0);
  const absl::Status error = Client(dir.File("s")).Get("/").status();
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(error)) << error;
}

TEST(HttpClientErrors, DoNotComeFromAProxyInTheEnvironment) {
  ServerThread server({.address = "127.0.0.1:0", .flag = "--addr"}, AddRoutes);
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  const auto answer = Client(server.address()).Get("/text");
  unsetenv("http_proxy");
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST(StatusOf, IsTheClosestCodeWithTheServersText) {
  EXPECT_TRUE(StatusOf({.status = 204}).ok());
  EXPECT_EQ(StatusOf({.status = 400, .body = "bad rule\n"}), absl::InvalidArgumentError("bad rule"));
  EXPECT_EQ(StatusOf({.status = 403, .body = "no"}), absl::PermissionDeniedError("no"));
  EXPECT_EQ(StatusOf({.status = 404, .body = "no"}), absl::NotFoundError("no"));
  EXPECT_EQ(StatusOf({.status = 413, .body = "no"}), absl::ResourceExhaustedError("no"));
  EXPECT_EQ(StatusOf({.status = 503, .body = "no"}), absl::UnavailableError("no"));
  EXPECT_EQ(StatusOf({.status = 500}), absl::InternalError("HTTP status 500"));
}

}  // namespace
}  // namespace lattice::http
