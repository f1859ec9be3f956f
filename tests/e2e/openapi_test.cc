// /openapi.json of the real latticed says what it does: paths, parameters, answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tests/e2e/control_test.h"
#include "tests/testing/nats_server.h"

namespace lattice::testing {
namespace {

using nlohmann::json;

// As much of JSON Schema as the document uses; an unknown keyword is an error too, since it would not be looked at.
class Schema {
 public:
  explicit Schema(const json& document) : document_(document) {}
  // What is wrong with `value`, a line each with its place; empty: nothing.
  std::vector<std::string> Check(const json& schema, const json& value, const std::string& where = "$") const {
    std::vector<std::string> errors;
    Walk(schema, value, where, errors);
    return errors;
  }

 private:
  static bool HasType(const std::string& type, const json& value) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_boolean();
    if (type == "integer") return value.is_number_integer();
    return type == "number" && value.is_number();
  }

  // A reference as what it names, allOf as one schema: the keys of all its parts are documented.
  json Resolve(const json& schema) const {
    if (const auto ref = schema.find("$ref"); ref != schema.end()) {
      json named = Resolve(document_.at(json::json_pointer(ref->get<std::string>().substr(1))));
      if (schema.value("nullable", false)) named["nullable"] = true;
      return named;
    }
    if (!schema.contains("allOf")) return schema;
    json all = json::object();
    for (const json& part : schema["allOf"]) {
      const json one = Resolve(part);
      json required = all.value("required", json::array());
      for (const json& name : one.value("required", json::array())) required.push_back(name);
      all.merge_patch(one);
      all["required"] = std::move(required);
    }
    return all;
  }

  void Walk(const json& unresolved, const json& value, const std::string& where,
            std::vector<std::string>& errors) const {
    const json schema = Resolve(unresolved);
    if (value.is_null() && schema.value("nullable", false)) return;
    static const std::set<std::string> known = {"type",    "properties", "required", "additionalProperties",
                                                "items",   "enum",       "nullable", "description",
                                                "minimum", "maximum",    "example"};
    for (const auto& [keyword, unused] : schema.items()) {
      if (known.count(keyword) == 0) errors.push_back(absl::StrCat(where, ": this test does not know ", keyword));
    }
    if (const auto type = schema.find("type"); type != schema.end() && !HasType(*type, value)) {
      return errors.push_back(
          absl::StrCat(where, ": ", value.dump().substr(0, 80), " is no ", type->get<std::string>()));
    }
    if (const auto words = schema.find("enum");
        words != schema.end() && std::find(words->begin(), words->end(), value) == words->end()) {
      errors.push_back(absl::StrCat(where, ": ", value.dump(), " is none of ", words->dump()));
    }
    if (value.is_number() && schema.contains("minimum") && value < schema["minimum"]) {
      errors.push_back(absl::StrCat(where, ": too small"));
    }
    if (value.is_object()) WalkObject(schema, value, where, errors);
    if (value.is_array() && schema.contains("items")) {
      for (size_t i = 0; i < value.size(); ++i)
        Walk(schema["items"], value[i], absl::StrCat(where, "[", i, "]"), errors);
    }
  }

  void WalkObject(const json& schema, const json& value, const std::string& where,
                  std::vector<std::string>& errors) const {
    const json properties = schema.value("properties", json::object());
    for (const json& name : schema.value("required", json::array())) {
      if (!value.contains(name.get<std::string>()))
        errors.push_back(absl::StrCat(where, ": ", name.dump(), " is missing"));
    }
    // A key that the document does not name is an error even where it would allow it: readers can't know of it.
    const bool open = schema.contains("additionalProperties") && schema["additionalProperties"] != false;
    for (const auto& [name, member] : value.items()) {
      const std::string inside = absl::StrCat(where, ".", name);
      if (const auto found = properties.find(name); found != properties.end()) {
        Walk(*found, member, inside, errors);
      } else if (open && schema["additionalProperties"].is_object()) {
        Walk(schema["additionalProperties"], member, inside, errors);
      } else if (!open && (schema.contains("properties") || schema.contains("additionalProperties"))) {
        errors.push_back(absl::StrCat(inside, ": is not documented"));
      }
    }
  }

  const json& document_;
};

class OpenApi : public ControlTest {
 protected:
  void SetUp() override {
    ControlTest::SetUp();
    document_ = json::parse(server_->Raw("GET", "/openapi.json")->body, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(document_.is_object());
  }
  // Flows, a denial, a token, an agent with a policy: something to list for most calls.
  void FillTables() {
    UdpSink(peer(), "10.42.0.10", 7000);
    ASSERT_NO_FATAL_FAILURE(StartPublishing({"--egress-allow=10.42.0.10/32", "--audit-rotate-after=1s"}));
    SendDatagrams(20);
    Curl(node(), "http://10.42.0.20:8443/", 1);
    ASSERT_TRUE(
        WaitUntil([&] { return !server_->Flows("event=end").empty() && !server_->Flows("verdict=drop").empty(); },
                  absl::Seconds(30)));
    EXPECT_EQ(server_->Cli({"policy", "set", "agent-001", "10.42.0.10/32"}).exit_code, 0);
    EXPECT_EQ(server_->Cli({"token", "create", "--name=agent-009", "--allowed-tools=a,b"}).exit_code, 0);
  }
  json List(const std::string& path) const { return server_->Get(path)["data"]["list"]; }

  // The document's path as one of this control plane.
  static std::string Real(const std::string& path) {
    return absl::StrReplaceAll(path, {{"{name}", "agent-001"}, {"{id}", "no-such-id"}});
  }
  int StatusOf(const std::string& method, const std::string& target, const std::string& body = "") const {
    const auto answer = server_->Raw(method, target, body, server_->admin_token());
    return answer.ok() ? answer->status : -1;
  }
  json SchemaOf(const json& operation, int status) const {
    json response = operation["responses"].value(absl::StrCat(status), json::object());
    if (const auto ref = response.find("$ref"); ref != response.end()) {
      response = document_.at(json::json_pointer(ref->get<std::string>().substr(1)));
    }
    const json::json_pointer schema("/content/application~1json/schema");
    return response.contains(schema) ? response.at(schema) : json(nullptr);
  }

  json document_;
};

TEST_F(OpenApi, EveryAnswerIsAsDocumented) {
  ASSERT_NO_FATAL_FAILURE(FillTables());
  ASSERT_TRUE(WaitUntil([&] { return !List("/api/v1/audit/digests").empty(); }, absl::Seconds(30)));
  ASSERT_TRUE(WaitUntil([&] { return List("/api/v1/audit/sources")[0]["head"].is_object(); }, absl::Seconds(30)));
  const Schema schema(document_);
  size_t looked_at = 0;
  for (const auto& [path, methods] : document_["paths"].items()) {
    if (!methods.contains("get") || path == "/api/v1/audit/flow/stream") continue;  // has no end
    const auto answer = server_->Raw("GET", Real(path), "", server_->admin_token());
    ASSERT_TRUE(answer.ok()) << path << answer.status();
    EXPECT_EQ(answer->status, 200) << path << " " << answer->body;
    const json wanted = SchemaOf(methods["get"], 200);
    if (wanted.is_null()) continue;  // text
    const json body = json::parse(answer->body, nullptr, /*allow_exceptions=*/false);
    EXPECT_EQ(absl::StrJoin(schema.Check(wanted, body), "\n"), "") << path << " " << answer->body.substr(0, 600);
    ++looked_at;
  }
  EXPECT_GE(looked_at, 12u);
}

TEST_F(OpenApi, EveryEventOfAnExportIsAsDocumented) {
  ASSERT_NO_FATAL_FAILURE(FillTables());
  const Schema schema(document_);
  const auto answer = server_->Raw("GET", "/api/v1/audit/flow?format=ndjson", "", server_->admin_token());
  ASSERT_TRUE(answer.ok());
  size_t events = 0;
  for (absl::string_view line : absl::StrSplit(answer->body, '\n', absl::SkipEmpty())) {
    const json event = json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
    EXPECT_EQ(absl::StrJoin(schema.Check({{"$ref", "#/components/schemas/Event"}}, event), "\n"), "") << line;
    ++events;
  }
  EXPECT_GE(events, 20u);
}

TEST_F(OpenApi, EveryPathIsServed) {
  for (const auto& [path, methods] : document_["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      if (!operation.is_object() || path == "/api/v1/audit/flow/stream") continue;  // has no end
      const std::string verb = absl::AsciiStrToUpper(method);
      const auto answer = server_->Raw(verb, Real(path), verb == "GET" ? "" : "{}", server_->admin_token());
      ASSERT_TRUE(answer.ok()) << verb << " " << path << " " << answer.status();
      const bool served = answer->status != 405 && !absl::StrContains(answer->body, "no such path");
      EXPECT_TRUE(served) << verb << " " << path << " " << answer->status << " " << answer->body;
      EXPECT_TRUE(operation["responses"].contains(absl::StrCat(answer->status)))
          << verb << " " << path << ": " << answer->status << " is not documented: " << answer->body;
    }
  }
}

TEST_F(OpenApi, WhatNeedsATokenSaysSo) {
  const Schema schema(document_);
  for (const auto& [path, methods] : document_["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      if (!operation.is_object()) continue;
      const bool open = operation.contains("security") && operation["security"].empty();
      if (open) continue;
      const std::string verb = absl::AsciiStrToUpper(method);
      const auto answer = server_->Raw(verb, Real(path), verb == "GET" ? "" : "{}");
      ASSERT_TRUE(answer.ok()) << verb << " " << path << " " << answer.status();
      EXPECT_EQ(answer->status, 401) << verb << " " << path << " " << answer->body;
      const json body = json::parse(answer->body, nullptr, /*allow_exceptions=*/false);
      const json wanted = SchemaOf(operation, 401);
      ASSERT_FALSE(wanted.is_null()) << verb << " " << path << ": 401 is not documented";
      EXPECT_EQ(absl::StrJoin(schema.Check(wanted, body), "\n"), "") << path;
    }
  }
}

TEST_F(OpenApi, EveryParameterIsTakenAndNoOther) {
  const std::map<std::string, std::string> examples = {{"from", "-1h"},       {"to", "2026-05-18T00:00:00Z"},
                                                       {"verdict", "allow"},  {"port", "443"},
                                                       {"dst", "10.0.0.0/8"}, {"src", "2001:db8::/32"},
                                                       {"event", "end"},      {"direction", "egress"},
                                                       {"order", "asc"},      {"limit", "10"},
                                                       {"format", "json"},    {"by", "port"},
                                                       {"metric", "flows"},   {"buckets", "10"}};
  for (const auto& [path, methods] : document_["paths"].items()) {
    if (!absl::StartsWith(path, "/api/v1/audit/") || path == "/api/v1/audit/flow/stream") continue;
    for (const json& parameter : methods["get"].value("parameters", json::array())) {
      const std::string name = parameter["name"];
      if (name == "cursor") continue;  // of an answer: below
      const auto example = examples.find(name);
      const std::string value = example == examples.end() ? "x" : example->second;
      EXPECT_EQ(StatusOf("GET", absl::StrCat(path, "?", name, "=", absl::StrReplaceAll(value, {{"/", "%2F"}}))), 200)
          << path << " " << name;
    }
    const auto refused = server_->Raw("GET", path + "?colour=red", "", server_->admin_token());
    ASSERT_TRUE(refused.ok());
    EXPECT_EQ(refused->status, 400) << path;
    EXPECT_THAT(refused->body, ::testing::HasSubstr("colour")) << path;
  }
  EXPECT_EQ(StatusOf("GET", "/api/v1/audit/flow?colour=red&agentName=a"), 400);
}

TEST_F(OpenApi, TheCursorOfAPageIsThatOfTheNext) {
  ASSERT_NO_FATAL_FAILURE(FillTables());
  const json page = server_->Get("/api/v1/audit/flow?limit=2");
  const std::string cursor = page["data"]["nextCursor"];
  ASSERT_NE(cursor, "");
  const json next = server_->Get("/api/v1/audit/flow?limit=2&cursor=" + cursor);
  EXPECT_EQ(absl::StrJoin(Schema(document_).Check({{"$ref", "#/components/schemas/Page"}}, next["data"]), "\n"), "");
  EXPECT_NE(next["data"]["list"][0]["id"], page["data"]["list"][1]["id"]);
  EXPECT_EQ(StatusOf("GET", "/api/v1/audit/flow?cursor=x"), 400);
}

TEST(Discovery, DoesNotTellAnyoneThePasswordOfLatticed) {
  auto nats = NatsServer::Start({.jetstream = true, .user = "latticed", .password = "secret"});
  ASSERT_TRUE(nats.ok()) << nats.status();
  const std::string host = absl::StrCat("127.0.0.1:", (*nats)->port());
  Latticed server({absl::StrCat("--nats-url=nats://latticed:secret@", host)});
  const absl::Status started = server.Start();
  ASSERT_TRUE(started.ok()) << started << server.log();
  const auto told = server.Raw("GET", "/api/v1/discovery");
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(json::parse(told->body)["data"]["nats_url"], "nats://" + host);
  EXPECT_EQ(server.nats_url(), "nats://" + host);
  EXPECT_FALSE(absl::StrContains(server.log(), "secret")) << server.log();
}

}  // namespace
}  // namespace lattice::testing
