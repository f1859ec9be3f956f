// Routing and what a request and an answer carry.
#include "userspace/http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/http/server_thread.h"
#include "userspace/http/client.h"

namespace lattice::http {
namespace {

using ::lattice::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

const ServerOptions kAnyPort = {.address = "127.0.0.1:0", .flag = "--metrics-addr"};

void AddRoutes(Server& server) {
  server.Handle("GET", "/hello", [](const Request&) { return Response::Text("hello\n"); });
  server.Handle("POST", "/echo", [](const Request& request) { return Response::Json(request.body); });
  server.Handle("GET", "/echo", [](const Request&) { return Response::Error(503, "not ready"); });
}

struct RouteCase {
  const char* name;
  const char* request;
  const char* status_line;
  const char* contains;
};

class HttpRoute : public ::testing::TestWithParam<RouteCase> {};

TEST_P(HttpRoute, Answers) {
  ServerThread server(kAnyPort, AddRoutes);
  RawClient client(server.address());
  ASSERT_TRUE(client.Send(GetParam().request));
  const std::string answer = client.ReadUntil();
  EXPECT_EQ(answer.substr(0, answer.find('\r')), GetParam().status_line) << answer;
  EXPECT_THAT(answer, HasSubstr(GetParam().contains));
}

#define CLOSE "Host: x\r\nConnection: close\r\n\r\n"
INSTANTIATE_TEST_SUITE_P(
    All, HttpRoute,
    ::testing::Values(
        RouteCase{"Get", "GET /hello HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK", "\r\n\r\nhello\n"},
        RouteCase{"GetWithQuery", "GET /hello?a=b HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK", "\r\n\r\nhello\n"},
        RouteCase{"Http10", "GET /hello HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK", "\r\n\r\nhello\n"},
        RouteCase{"Post", "POST /echo HTTP/1.1\r\nContent-Length: 2\r\n" CLOSE "{}", "HTTP/1.1 200 OK",
                  "Content-Type: application/json\r\n"},
        RouteCase{"ChunkedPost",
                  "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" CLOSE "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
                  "HTTP/1.1 200 OK", "\r\n\r\n{}"},
        RouteCase{"HandlersError", "GET /echo HTTP/1.1\r\n" CLOSE, "HTTP/1.1 503 Service Unavailable", "not ready\n"},
        RouteCase{"UnknownPath", "GET /hell HTTP/1.1\r\n" CLOSE, "HTTP/1.1 404 Not Found", "no such path: /hell\n"},
        RouteCase{"PathIsWhole", "GET /hello/ HTTP/1.1\r\n" CLOSE, "HTTP/1.1 404 Not Found", "/hello/"},
        RouteCase{"OtherMethod", "DELETE /hello HTTP/1.1\r\n" CLOSE, "HTTP/1.1 405 Method Not Allowed",
                  "Allow: GET, HEAD\r\n"},
        RouteCase{"MadeUpMethod", "FROB /echo HTTP/1.1\r\n" CLOSE, "HTTP/1.1 405 Method Not Allowed",
                  "Allow: GET, POST, HEAD\r\n"},
        RouteCase{"NulInThePath", "GET /hello%00x HTTP/1.1\r\n" CLOSE, "HTTP/1.1 400 Bad Request",
                  "the path has a %00"},
        RouteCase{"NulInTheQuery", "GET /hello?a=%00 HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK", "\r\n\r\nhello\n"},
        RouteCase{"NulInThePathOfNoRequest", "GET /hello%00 HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request", ""},
        RouteCase{"NotHttp", "hello\r\n\r\n", "", ""},
        RouteCase{"NoHost", "GET /hello HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request", ""}),
    [](const auto& c) { return c.param.name; });

TEST(HttpServer, RefusesMoreParametersThanItTakes) {
  ServerThread server(kAnyPort, AddRoutes);
  std::string query = "p=1";
  for (int i = 1; i < 256; ++i) query += "&p=1";
  const Client client(server.address());
  EXPECT_EQ(client.Get("/hello?" + query)->status, 200);
  const auto refused = client.Get("/hello?" + query + "&p=1");
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_EQ(refused->status, 400);
  EXPECT_THAT(refused->body, HasSubstr("257 parameters, at most 256"));
}

TEST(HttpServer, AnswersHeadLikeGetWithoutTheBody) {
  ServerThread server(kAnyPort, AddRoutes);
  RawClient client(server.address());
  ASSERT_TRUE(client.Send("HEAD /hello HTTP/1.1\r\n" CLOSE));
  const std::string answer = client.ReadUntil();
  EXPECT_THAT(answer, HasSubstr("200 OK"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 6\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("hello\n")));
}

TEST(HttpServer, ServesManyRequestsOnOneConnection) {
  ServerThread server(kAnyPort, AddRoutes);
  RawClient client(server.address());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.Send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"));
    EXPECT_THAT(client.ReadUntil("hello\n"), HasSubstr("200 OK"));
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpServer, GivesTheHandlerQueryHeadersBodyAndPeer) {
  Request seen;
  ServerThread server(kAnyPort, [&](Server& s) {
    s.Handle("POST", "/a b", [&](const Request& request) {
      seen = request;
      return Response::Text("");
    });
  });
  RawClient client(server.address());
  ASSERT_TRUE(client.Send(
      "POST /a%20b?dst=10.0.0.0%2F8&dst=second&flag&x= HTTP/1.1\r\nX-One: 1\r\nContent-Length: 3\r\n" CLOSE "a\nb"));
  EXPECT_THAT(client.ReadUntil(), HasSubstr("200 OK"));
  server.Stop();
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.path, "/a b");
  EXPECT_EQ(seen.body, "a\nb");
  EXPECT_THAT(seen.query,
              ElementsAre(Pair("dst", "10.0.0.0/8"), Pair("dst", "second"), Pair("flag", ""), Pair("x", "")));
  EXPECT_EQ(seen.Param("dst"), "10.0.0.0/8");
  EXPECT_EQ(seen.Param("flag"), "");
  EXPECT_FALSE(seen.Param("none").has_value());
  EXPECT_EQ(seen.Header("x-ONE"), "1");
  EXPECT_FALSE(seen.Header("x-two").has_value());
  EXPECT_THAT(seen.peer, HasSubstr("127.0.0.1:"));
  EXPECT_FALSE(seen.peer_uid.has_value());
}

TEST(HttpServer, TellsTheUidOfAUnixPeer) {
  TempDir dir;
  Request seen;
  ServerThread server({.address = dir.File("s"), .flag = "--socket"}, [&](Server& s) {
    s.Handle("GET", "/", [&](const Request& request) {
      seen = request;
      return Response::Text("");
    });
  });
  ASSERT_TRUE(Client(server.address()).Get("/").ok());
  server.Stop();
  EXPECT_EQ(seen.peer_uid, getuid());
  EXPECT_EQ(seen.peer, "");
}

TEST(HttpServer, AnswersALargeBody) {
  const std::string large(5 << 20, 'x');
  ServerThread server(kAnyPort,
                      [&](Server& s) { s.Handle("GET", "/", [&](const Request&) { return Response::Text(large); }); });
  const auto answer = Client(server.address()).Get("/");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->body.size(), large.size());
}

TEST(HttpServer, EndsOpenConnectionsWithItself) {
  ServerThread server(kAnyPort, AddRoutes);
  RawClient client(server.address());
  ASSERT_TRUE(client.Send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"));
  client.ReadUntil("hello\n");
  server.Stop();
  EXPECT_EQ(client.ReadUntil(), "");
}

}  // namespace
}  // namespace lattice::http
