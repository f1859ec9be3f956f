// What a client can not do to us.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <deque>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/wait_until.h"
#include "tests/unit/http/server_thread.h"
#include "userspace/http/client.h"

namespace lattice::http {
namespace {

using ::lattice::testing::TempDir;
using ::lattice::testing::WaitUntil;
using ::testing::HasSubstr;

ServerOptions AnyPort() {
  return {.address = "127.0.0.1:0", .flag = "--metrics-addr"};
}

void AddRoutes(Server& server) {
  server.Handle("GET", "/", [](const Request&) { return Response::Text("fine\n"); });
  server.Handle("POST", "/", [](const Request& r) { return Response::Text(absl::StrCat(r.body.size(), "\n")); });
}

constexpr char kGet[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

TEST(HttpLimits, TakeABodyOfExactlyTheLimit) {
  ServerThread server(AnyPort(), AddRoutes);
  const auto answer = Client(server.address()).Post("/", std::string(1 << 20, 'x'));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->body, "1048576\n");
}

TEST(HttpLimits, RefuseALargerBodyBeforeItIsSent) {
  ServerThread server(AnyPort(), AddRoutes);
  RawClient client(server.address());
  ASSERT_TRUE(client.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\nExpect: 100-continue\r\n\r\n"));
  const std::string answer = client.ReadUntil();
  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 413");
  EXPECT_THAT(answer, HasSubstr("more than 1048576 bytes"));
}

TEST(HttpLimits, RefuseALargerBodyOfUnknownLength) {
  ServerOptions options = AnyPort();
  options.max_body_bytes = 10;
  ServerThread server(options, AddRoutes);
  RawClient client(server.address());
  ASSERT_TRUE(client.Send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client.Send("4\r\nabcd\r\n"));
  ASSERT_TRUE(client.Send("0\r\n\r\n"));
  EXPECT_THAT(client.ReadUntil("bytes\n"), HasSubstr("HTTP/1.1 413"));
}

TEST(HttpLimits, RefuseALargeHeader) {
  ServerThread server(AnyPort(), AddRoutes);
  RawClient client(server.address());
  ASSERT_TRUE(
      client.Send(absl::StrCat("GET / HTTP/1.1\r\nHost: x\r\nX-Large: ", std::string(64 << 10, 'x'), "\r\n\r\n")));
  EXPECT_EQ(client.ReadUntil().substr(0, 12), "HTTP/1.1 431");
}

// A table of what a slow client has sent when its time is over.
class HttpSlowClient : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(HttpSlowClient, IsCut) {
  ServerOptions options = AnyPort();
  options.receive_timeout = absl::Milliseconds(80);
  ServerThread server(options, AddRoutes);
  RawClient client(server.address());
  client.Send(GetParam().second);
  client.ReadUntil();  // returns because the server closes
  EXPECT_TRUE(WaitUntil([&] { return server.connections() == 0; }));
}

INSTANTIATE_TEST_SUITE_P(All, HttpSlowClient,
                         ::testing::Values(std::pair("Nothing", ""), std::pair("HalfALine", "GET /"),
                                           std::pair("HalfAHeader", "GET / HTTP/1.1\r\nHost: x"),
                                           std::pair("HalfABody",
                                                     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"),
                                           std::pair("NoSecondRequest", "GET / HTTP/1.1\r\nHost: x\r\n\r\n")),
                         [](const auto& c) { return c.param.first; });

TEST(HttpLimits, CutAClientThatSendsAByteNowAndThen) {
  ServerOptions options = AnyPort();
  options.receive_timeout = absl::Milliseconds(200);
  ServerThread server(options, AddRoutes);
  RawClient client(server.address());
  // It is never idle for long, so only a limit of the whole request ends it.
  EXPECT_TRUE(WaitUntil([&] { return !client.Send("G"); }));
}

TEST(HttpLimits, CutAClientThatTakesAByteOfTheAnswerNowAndThen) {
  ServerOptions options = AnyPort();
  options.answer_timeout = absl::Milliseconds(300);
  options.receive_timeout = absl::Milliseconds(200);
  ServerThread server(options, [](Server& s) {
    // More than the sockets take.
    s.Handle("GET", "/", [](const Request&) { return Response::Text(std::string(64 << 20, 'x')); });
  });
  RawClient client(server.address());
  ASSERT_TRUE(client.Send(kGet));
  EXPECT_TRUE(WaitUntil([&] {
    char byte;
    recv(client.fd(), &byte, 1, MSG_DONTWAIT);
    return server.connections() == 0;
  }));
}

// More than the sockets take, so that who does not read it holds its connection.
void AddLargeRoute(Server& server) {
  AddRoutes(server);
  server.Handle("GET", "/large", [](const Request&) { return Response::Text(std::string(64 << 20, 'x')); });
}

constexpr char kGetLarge[] = "GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr char kHalf[] = "GET / HTTP/1.1\r\nHost: x\r\n";

// A table of what the clients of an address that has all its connections have sent last.
class HttpHeldConnections : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(HttpHeldConnections, TheOldestMakesRoomForTheNext) {
  ServerOptions options = AnyPort();
  options.max_connections_per_address = 3;
  ServerThread server(options, AddRoutes);
  std::deque<RawClient> held;
  for (int i = 0; i < 3; ++i) {
    held.emplace_back(server.address());
    ASSERT_TRUE(held.back().Send(GetParam().second));
    ASSERT_TRUE(WaitUntil([&] { return server.connections() == i + 1; }));
  }
  RawClient next(server.address());
  ASSERT_TRUE(next.Send(kGet));
  EXPECT_THAT(next.ReadUntil("fine\n"), HasSubstr("200 OK"));
  held.front().ReadUntil();  // returns because the server closes
  EXPECT_TRUE(WaitUntil([&] { return server.connections() == 3; }));
  char byte;
  EXPECT_NE(recv(held.back().fd(), &byte, 1, MSG_DONTWAIT | MSG_PEEK), 0) << "the newest was closed";
}

INSTANTIATE_TEST_SUITE_P(
    All, HttpHeldConnections,
    ::testing::Values(std::pair("Nothing", ""), std::pair("HalfALine", "GET /"), std::pair("HalfAHeader", kHalf),
                      std::pair("HalfABody", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\nhalf"),
                      std::pair("NoSecondRequest", kGet)),
    [](const auto& c) { return c.param.first; });

TEST(HttpLimits, CloseOneMoreConnectionOfAnAddressWhileAllAreAnswered) {
  ServerOptions options = AnyPort();
  options.max_connections_per_address = 2;
  ServerThread server(options, AddLargeRoute);
  std::deque<RawClient> clients;
  for (int i = 0; i < 2; ++i) {
    clients.emplace_back(server.address());
    ASSERT_TRUE(clients.back().Send(kGetLarge));
    EXPECT_THAT(clients.back().ReadUntil("\r\n\r\n"), HasSubstr("200 OK"));
  }
  RawClient third(server.address());
  third.Send(kGet);
  EXPECT_EQ(third.ReadUntil(), "");
  // Who does not take its answer does not keep the others out either.
  EXPECT_TRUE(WaitUntil([&] { return Client(server.address()).Get("/").ok(); }, absl::Seconds(5)));
}

// What an unprivileged process can do to the metrics of its host.
TEST(HttpLimits, AnswerAClientWhileAnotherHoldsHundredsOfHalfRequests) {
  ServerThread server(AnyPort(), AddRoutes);
  std::atomic<bool> stop{false};
  std::thread attacker([&] {
    std::deque<RawClient> held;
    while (!stop) {  // as one is closed, the next comes
      held.emplace_back(server.address());
      held.back().Send(kHalf);
      if (held.size() > 300) held.pop_front();
      absl::SleepFor(absl::Microseconds(50));
    }
  });
  EXPECT_TRUE(WaitUntil([&] { return server.connections() >= 60; }));
  int answered = 0;
  for (int i = 0; i < 100; ++i) answered += Client(server.address()).Get("/").ok() ? 1 : 0;
  stop = true;
  attacker.join();
  EXPECT_GE(answered, 95);
}

TEST(HttpLimits, TheOldestOfAllMakesRoomWhenTheTotalIsReached) {
  TempDir dir;
  ServerOptions options = {.address = dir.File("s"), .flag = "--socket", .max_connections = 3};
  ServerThread server(options, AddRoutes);
  std::deque<RawClient> held;
  for (int i = 0; i < 10; ++i) {
    held.emplace_back(server.address());
    held.back().Send(kHalf);
  }
  EXPECT_TRUE(Client(server.address()).Get("/").ok());
  EXPECT_LE(server.connections(), 3);
}

TEST(HttpLimits, LetConnectionsOverTheTotalWaitForTheirTurn) {
  TempDir dir;
  ServerOptions options = {.address = dir.File("s"), .flag = "--socket", .max_connections = 2};
  ServerThread server(options, AddLargeRoute);
  std::deque<RawClient> clients;
  for (int i = 0; i < 2; ++i) {
    clients.emplace_back(server.address());
    ASSERT_TRUE(clients.back().Send(kGetLarge));
    clients.back().ReadUntil("\r\n\r\n");
  }
  RawClient third(server.address());
  ASSERT_TRUE(third.Send(kGet));
  server.OnLoop([] {});  // the loop has turned, the third is not in
  EXPECT_EQ(server.connections(), 2);
  clients.pop_front();
  EXPECT_THAT(third.ReadUntil("fine\n"), HasSubstr("200 OK"));
}

}  // namespace
}  // namespace lattice::http
