#include <gmock/gmock.h>

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "tests/unit/control/registry_fixture.h"
#include "userspace/base/file.h"
#include "userspace/control/registry/registry_api.h"

namespace lattice::control {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class Api : public RegistryTest {
 protected:
  void SetUp() override {
    RegistryTest::SetUp();
    if (IsSkipped()) return;
    Open();
    RegistryApiOptions options{.nats_url = "nats://192.0.2.9:4222"};
    options.activity = [](int64_t, int64_t) {
      return std::vector<AgentSummary>{{.agent_id = "a", .flows = 5}, {.agent_id = "old", .flows = 7}};
    };
    api_ = std::make_unique<RegistryApi>(*registry_, clock_, options);
    admin_ = *registry_->IssueUserToken("me", "admin", absl::Hours(1));
    viewer_ = *registry_->IssueUserToken("guest", "viewer", absl::Hours(1));
  }

  http::Response Call(const std::string& method, const std::string& path, const std::string& body = "",
                      const std::string& token = "", std::vector<std::pair<std::string, std::string>> query = {}) {
    http::Request request{.method = method, .path = path, .query = std::move(query), .body = body};
    request.peer = "192.0.2.1:4711";
    if (!token.empty()) request.headers.emplace_back("Authorization", "Bearer " + token);
    return api_->Handle(request);
  }
  // The data of an answer that must be a success.
  nlohmann::json Data(const http::Response& response) {
    EXPECT_EQ(response.status, 200) << response.body;
    const nlohmann::json json = nlohmann::json::parse(response.body);
    EXPECT_EQ(json["code"], 0);
    return json["data"];
  }
  static std::string HeaderOf(const http::Response& response, const std::string& name) {
    for (const auto& [key, value] : response.headers) {
      if (key == name) return value;
    }
    return "";
  }

  std::unique_ptr<RegistryApi> api_;
  std::string admin_, viewer_;
};

TEST_F(Api, LoginGivesACookieThatAuthenticates) {
  const http::Response login = Call("POST", "/api/v1/auth/login", nlohmann::json{{"token", admin_}}.dump());
  EXPECT_EQ(Data(login)["role"], "admin");
  const std::string cookie = HeaderOf(login, "Set-Cookie");
  EXPECT_THAT(cookie, HasSubstr("HttpOnly; SameSite=Strict"));
  EXPECT_THAT(cookie, HasSubstr("Path=/"));
  http::Request request{.method = "GET", .path = "/api/v1/auth/me"};
  request.headers.emplace_back("Cookie", "other=1; " + cookie.substr(0, cookie.find(';')));
  EXPECT_EQ(Data(api_->Handle(request))["user"], "me");
  // Another site's page may not use it for a change.
  request.method = "POST";
  request.path = "/api/v1/agents/a/revoke";
  request.headers.emplace_back("Host", "lattice.example");
  request.headers.emplace_back("Origin", "https://evil.example");
  EXPECT_EQ(api_->Handle(request).status, 403);
  request.headers.back().second = "https://lattice.example";
  EXPECT_EQ(api_->Handle(request).status, 404);
  EXPECT_THAT(HeaderOf(Call("POST", "/api/v1/auth/logout"), "Set-Cookie"), HasSubstr("Max-Age=0"));
}

TEST_F(Api, LoginsAreLimitedPerAddress) {
  const std::string good = nlohmann::json{{"token", admin_}}.dump();
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(Call("POST", "/api/v1/auth/login", good).status, 200) << "these are no guesses";
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Call("POST", "/api/v1/auth/login", R"({"token":"x"})").status, 401);
  const http::Response refused = Call("POST", "/api/v1/auth/login", R"({"token":"x"})");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(HeaderOf(refused, "Retry-After"), "6");
  clock_.Advance(absl::Seconds(6));
  EXPECT_EQ(Call("POST", "/api/v1/auth/login", R"({"token":"x"})").status, 401);
}

TEST_F(Api, EveryEndpointButTheAgentsAsksWhoCalls) {
  for (const RegistryApi::Route& route : RegistryApi::Routes()) {
    std::string path = route.path;
    if (path.back() == '*')
      path = path.substr(0, path.size() - 1) + (path.find("/agents/") == path.npos ? "x" : "x/policy");
    const bool open = path.find("/auth/log") != path.npos || path.find("discovery") != path.npos ||
                      path.find("isolation/register") != path.npos || path.find("isolation/netmap") != path.npos ||
                      path.find("isolation/heartbeat") != path.npos;
    if (open) continue;
    if (route.method == "POST" && path.find("/agents/") != path.npos) path = "/api/v1/agents/x/revoke";
    EXPECT_EQ(Call(route.method, path).status, 401) << route.method << path;
    EXPECT_EQ(Call(route.method, path, "", "x.y.z").status, 401) << route.method << path;
    if (route.method == "GET") continue;
    EXPECT_EQ(Call(route.method, path, "", viewer_).status, 403) << route.method << path;
  }
}

TEST_F(Api, TheDescriptionNamesEveryEndpointAndNoOther) {
  const char* source = std::getenv("LATTICE_SOURCE_DIR");
  if (source == nullptr) GTEST_SKIP() << "LATTICE_SOURCE_DIR is not set: run by ctest";
  const auto text = ReadFile(std::string(source) + "/userspace/control/registry/openapi_registry.json");
  ASSERT_TRUE(text.ok()) << text.status();
  std::set<std::string> described, served;
  const nlohmann::json description = nlohmann::json::parse(*text);
  for (const auto& [path, methods] : description["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      const size_t parameter = path.find('{');
      described.insert(absl::AsciiStrToUpper(method) + " " +
                       (parameter == path.npos ? path : path.substr(0, parameter) + "*"));
    }
  }
  for (const RegistryApi::Route& route : RegistryApi::Routes()) served.insert(route.method + " " + route.path);
  EXPECT_EQ(described, served);
}

TEST_F(Api, AnEnrollmentTokenFromMakingToUse) {
  const nlohmann::json issued =
      Data(Call("POST", "/api/v1/agent-isolation/enrollment-tokens",
                R"({"namespace":"team","allowedTools":["search"],"ttlSeconds":60,"agentName":"a","later":1})", admin_));
  EXPECT_EQ(issued["expiresAt"], "2026-02-02T02:41:00Z");
  const nlohmann::json body = {
      {"enrollmentToken", issued["token"]}, {"agentName", "a"}, {"publicKey", Key(1)}, {"sandbox", true}};
  const nlohmann::json enrolled = Data(Call("POST", "/api/v1/agent-isolation/register", body.dump()));
  EXPECT_EQ(enrolled["agentIdentityName"], "a");
  EXPECT_TRUE(registry_->verifier().VerifyAgent(enrolled["jwt"].get<std::string>()).ok());
  const nlohmann::json list = Data(Call("GET", "/api/v1/agent-isolation/enrollment-tokens", "", viewer_))["list"];
  ASSERT_THAT(list, SizeIs(1));
  EXPECT_EQ(list[0]["state"], "used");
  EXPECT_THAT(list.dump(), ::testing::Not(HasSubstr("lt-")));
  const std::string id = list[0]["id"];
  Data(Call("DELETE", "/api/v1/agent-isolation/enrollment-tokens/" + id, "", admin_));
  EXPECT_EQ(Call("DELETE", "/api/v1/agent-isolation/enrollment-tokens/none", "", admin_).status, 404);
  const http::Response again = Call("POST", "/api/v1/agent-isolation/register",
                                    nlohmann::json{{"enrollmentToken", "lt-0"}, {"agentName", "b"}}.dump());
  EXPECT_EQ(again.status, 400);
  EXPECT_EQ(nlohmann::json::parse(again.body)["msg"], "invalid enrollment token");
  const nlohmann::json map =
      Data(Call("POST", "/api/v1/agent-isolation/netmap", nlohmann::json{{"token", enrolled["jwt"]}}.dump()));
  EXPECT_EQ(map["peer"]["address"], "10.42.0.2");
  Data(Call("POST", "/api/v1/agent-isolation/heartbeat", nlohmann::json{{"token", enrolled["jwt"]}}.dump()));
}

TEST_F(Api, AgentsAreJoinedWithWhatTheAuditKnows) {
  Add("a", 1);
  const nlohmann::json list = Data(Call("GET", "/api/v1/agents", "", viewer_, {{"from", "-1h"}}))["list"];
  ASSERT_THAT(list, SizeIs(2));
  EXPECT_EQ(list[0]["name"], "a");
  EXPECT_EQ(list[0]["flows"], 5);
  EXPECT_EQ(list[0]["status"], "active");
  EXPECT_EQ(list[1]["name"], "old");
  EXPECT_EQ(list[1]["status"], "");
  EXPECT_EQ(Call("GET", "/api/v1/agents", "", viewer_, {{"from", "soon"}}).status, 400);
  EXPECT_EQ(Call("GET", "/api/v1/agents", "", viewer_, {{"page", "2"}}).status, 400);
}

TEST_F(Api, APolicyIsSetAndShown) {
  const std::string path = "/api/v1/agents/a/policy";
  EXPECT_EQ(Data(Call("PUT", path, R"({"rules":["10.42.0.10/32"]})", admin_))["version"], 1);
  EXPECT_EQ(Data(Call("GET", path, "", viewer_))["rules"][0], "10.42.0.10/32");
  EXPECT_EQ(Call("PUT", path, R"({"rules":[],"version":0})", admin_).status, 409) << "it is at version 1 by now";
  EXPECT_EQ(Data(Call("PUT", path, R"({"rules":["10.42.0.11/32"],"version":1})", admin_))["version"], 2);
  EXPECT_EQ(Data(Call("PUT", path, R"({"rules":["10.42.0.10/32"]})", admin_))["version"], 3) << "the last one wins";
  EXPECT_EQ(Call("PUT", path, R"({"rules":["x"]})", admin_).status, 400);
  EXPECT_EQ(Call("PUT", path, R"({"rule":["10.42.0.10/32"]})", admin_).status, 400);
  EXPECT_EQ(Call("PUT", "/api/v1/agents/a/b/policy", R"({"rules":[]})", admin_).status, 404);
}

TEST_F(Api, RevokeEndsTheAgentsToken) {
  const Enrolled enrolled = Add("a", 1);
  Data(Call("POST", "/api/v1/agents/a/revoke", "", admin_));
  EXPECT_FALSE(registry_->verifier().VerifyAgent(enrolled.jwt).ok());
  EXPECT_EQ(Call("POST", "/api/v1/agents/b/revoke", "", admin_).status, 404);
}

TEST_F(Api, DiscoveryTellsTheHostThatTheClientKnowsWhereNatsIsOnEveryOne) {
  RegistryApi api(*registry_, clock_, {.nats_url = "nats://_enroll:x@127.0.0.1:4222", .nats_at_any_address = true});
  for (const auto& [host, url] :
       {std::pair("192.0.2.7:8080", "nats://_enroll:x@192.0.2.7:4222"),
        std::pair("lattice.example", "nats://_enroll:x@lattice.example:4222"),
        std::pair("[2001:db8::7]:8080", "nats://_enroll:x@[2001:db8::7]:4222"),
        std::pair("[2001:db8::7]", "nats://_enroll:x@[2001:db8::7]:4222"),
        std::pair("a@b/c", "nats://_enroll:x@127.0.0.1:4222"), std::pair("", "nats://_enroll:x@127.0.0.1:4222")}) {
    http::Request request{.method = "GET", .path = "/api/v1/discovery"};
    request.headers.emplace_back("Host", host);
    EXPECT_EQ(Data(api.Handle(request))["nats_url"], url) << host;
  }
}

TEST_F(Api, DiscoveryAndUserTokens) {
  EXPECT_EQ(Data(Call("GET", "/api/v1/discovery"))["nats_url"], "nats://192.0.2.9:4222");
  const nlohmann::json made =
      Data(Call("POST", "/api/v1/users/tokens", R"({"name":"x","role":"viewer","ttlSeconds":60})", admin_));
  EXPECT_TRUE(registry_->verifier().VerifyUser(made["token"].get<std::string>()).ok());
  EXPECT_EQ(Call("POST", "/api/v1/users/tokens", R"({"name":"x","role":"root"})", admin_).status, 400);
}

}  // namespace
}  // namespace lattice::control
