// tools/schema/flow-record.schema.json against what the encoder writes. The check knows the
// few words of JSON Schema that the file uses, and fails on any other.
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <regex>
#include <set>
#include <string>

#include "tests/testing/flow_records.h"
#include "tests/testing/seed.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/audit/audit_fixture.h"
#include "userspace/audit/chain.h"
#include "userspace/audit/encoder.h"
#include "userspace/audit/heads.h"
#include "userspace/audit/signing.h"
#include "userspace/base/file.h"
#include "userspace/flow/names.h"

namespace lattice::audit {
namespace {

using Json = nlohmann::ordered_json;

Json LoadSchema(const std::string& name) {
  const char* source = std::getenv("LATTICE_SOURCE_DIR");
  const std::string folder = source != nullptr ? source : ".";
  return Json::parse(ReadFile(folder + "/tools/schema/" + name).value());
}

const Json& Schema() {
  static const Json schema = LoadSchema("flow-record.schema.json");
  return schema;
}

const Json& Resolve(const Json& schema) {
  const auto ref = schema.find("$ref");
  return ref == schema.end() ? schema : Schema().at(Json::json_pointer(ref->get<std::string>().substr(1)));
}

bool HasType(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "string") return value.is_string();
  if (type == "integer") return value.is_number_integer();
  ADD_FAILURE() << "the schema uses the type " << type;
  return false;
}

// The first thing in `value` that `schema` does not allow; empty: valid.
std::string Check(const Json& value, const Json& given, const std::string& at = "");

std::string CheckObject(const Json& value, const Json& schema, const std::string& at) {
  for (const auto& key : schema.value("required", Json::array())) {
    if (!value.contains(key.get<std::string>())) return at + ": " + key.get<std::string>() + " is missing";
  }
  const Json properties = schema.value("properties", Json::object());
  for (const auto& [key, member] : value.items()) {
    const auto property = properties.find(key);
    if (property == properties.end()) continue;
    if (std::string error = Check(member, *property, at + "/" + key); !error.empty()) return error;
  }
  return "";
}

std::string CheckBranches(const Json& value, const Json& schema, const std::string& at) {
  for (const auto& branch : schema.value("allOf", Json::array())) {
    if (std::string error = Check(value, branch, at); !error.empty()) return error;
  }
  if (schema.contains("oneOf")) {
    int valid = 0;
    std::string errors;
    for (const auto& branch : schema["oneOf"]) {
      const std::string error = Check(value, branch, at);
      if (error.empty()) ++valid;
      errors += error + "; ";
    }
    if (valid != 1) return at + ": fits " + std::to_string(valid) + " of the shapes: " + errors;
  }
  if (schema.contains("if") && Check(value, schema["if"], at).empty()) {
    return Check(value, schema.at("then"), at);
  }
  return schema.contains("if") && schema.contains("else") ? Check(value, schema["else"], at) : "";
}

std::string Check(const Json& value, const Json& given, const std::string& at) {
  static const std::set<std::string> kKnown = {
      "$schema", "$id",      "$defs",     "title",      "description", "type",  "enum", "const", "pattern", "minimum",
      "maximum", "required", "minLength", "properties", "allOf",       "oneOf", "if",   "then",  "else"};
  const Json& schema = Resolve(given);
  for (const auto& [word, unused] : schema.items()) EXPECT_TRUE(kKnown.count(word)) << word;
  if (schema.contains("type") && !HasType(value, schema["type"])) return at + ": not of type " + schema["type"].dump();
  if (schema.contains("const") && value != schema["const"]) return at + ": not " + schema["const"].dump();
  if (schema.contains("enum")) {
    bool found = false;
    for (const auto& allowed : schema["enum"]) found = found || allowed == value;
    if (!found) return at + ": " + value.dump() + " is not in the enum";
  }
  if (schema.contains("pattern") && value.is_string()) {
    if (!std::regex_search(value.get<std::string>(), std::regex(schema["pattern"].get<std::string>()))) {
      return at + ": " + value.dump() + " does not fit " + schema["pattern"].dump();
    }
  }
  if (schema.contains("minLength") && value.is_string() && value.get<std::string>().size() < schema["minLength"]) {
    return at + ": too short";
  }
  if (schema.contains("minimum") && value.is_number() && value < schema["minimum"]) return at + ": too small";
  if (schema.contains("maximum") && value.is_number() && value > schema["maximum"]) return at + ": too large";
  if (value.is_object()) {
    if (std::string error = CheckObject(value, schema, at); !error.empty()) return error;
  }
  return CheckBranches(value, schema, at);
}

std::set<std::string> Words(const char* definition) {
  std::set<std::string> words;
  for (const auto& word : Schema().at("$defs").at(definition).at("enum")) words.insert(word.get<std::string>());
  return words;
}

std::vector<std::string> FirstKeys(const std::string& text, size_t count) {
  std::vector<std::string> keys;
  const Json object = Json::parse(text);
  for (const auto& [key, value] : object.items()) {
    if (keys.size() < count) keys.push_back(key);
  }
  return keys;
}

TEST(FlowRecordSchema, FitsEveryLineAndMessage) {
  std::mt19937_64 random(testing::TestSeed());
  Encoder encoder;
  HashChain chain;
  for (int i = 0; i < 1'000; ++i) {
    flow::FlowRecord record = testing::RandomRecord(random);
    record.seq |= 1;  // numbers begin at 1
    std::string line, message;
    encoder.AppendLine(record, line);
    chain.Seal(line, 0);
    encoder.AppendMessage(record, message);
    ASSERT_EQ(Check(Json::parse(line), Schema()), "") << line;
    ASSERT_EQ(Check(Json::parse(message), Schema()), "") << message;
  }
}

TEST(FlowRecordSchema, NamesEveryKeyThatIsWritten) {
  std::mt19937_64 random(testing::TestSeed());
  Encoder encoder;
  for (int i = 0; i < 1'000; ++i) {
    std::string line, message;
    const flow::FlowRecord record = testing::RandomRecord(random);
    encoder.AppendLine(record, line);
    encoder.AppendMessage(record, message);
    for (const auto& [text, shape] : {std::pair(line, "file"), std::pair(message, "nats")}) {
      const Json object = Json::parse(text);
      for (const auto& [key, value] : object.items()) {
        const Json& defs = Schema().at("$defs");
        EXPECT_TRUE(defs.at(shape).at("properties").contains(key) || defs.at("common").at("properties").contains(key))
            << shape << " " << key;
      }
    }
  }
}

TEST(FlowRecordSchema, NeedsEveryKeyItRequires) {
  std::string line, message;
  flow::FlowRecord record = testing::EndRecord();
  record.node = record.boot = "n";
  record.seq = 1;
  Encoder().AppendLine(record, line);
  HashChain().Seal(line, 0);
  Encoder().AppendMessage(record, message);
  for (const std::string& text : {line, message}) {
    const Json good = Json::parse(text);
    ASSERT_EQ(Check(good, Schema()), "");
    for (const auto& [key, value] : good.items()) {
      if (key == "endReason") continue;
      Json bad = good;
      bad.erase(key);
      EXPECT_NE(Check(bad, Schema()), "") << "without " << key;
      bad = good;
      bad[key] = value.is_string() ? Json(1) : Json("1");
      EXPECT_NE(Check(bad, Schema()), "") << key << " of another type";
    }
  }
}

TEST(FlowRecordSchema, HasTheWordsOfTheEnums) {
  std::set<std::string> reasons, end_reasons;
  for (int value = 0; value < flow::kNetworkReasonEnd; ++value) {
    const auto name = std::string(flow::ReasonName(static_cast<flow::Reason>(value)));
    if (name != "unknown") reasons.insert(name);
    const auto end = std::string(flow::EndReasonName(static_cast<flow::EndReason>(value)));
    if (end != "unknown") end_reasons.insert(end);
  }
  EXPECT_EQ(Words("reason"), reasons);
  EXPECT_EQ(Words("endReason"), end_reasons);
}

TEST(FlowRecordSchema, UpstreamsKeysComeFirst) {
  flow::FlowRecord record = testing::EndRecord();
  std::string line, message;
  Encoder().AppendLine(record, line);
  Encoder().AppendMessage(record, message);
  EXPECT_EQ(FirstKeys(line, 6),
            (std::vector<std::string>{"identity", "src_ip", "dst_ip", "dst_port", "protocol", "verdict"}));
  EXPECT_EQ(FirstKeys(message, 7),
            (std::vector<std::string>{"agentId", "traceId", "direction", "dstIp", "dstPort", "bytes", "ts"}));
}

// Takes what is published, as text.
class TextSink : public MessageSink {
 public:
  absl::Status Publish(absl::string_view, absl::string_view payload, absl::string_view) override {
    payloads.emplace_back(payload);
    return absl::OkStatus();
  }
  absl::Status Flush(absl::Duration) override { return absl::OkStatus(); }
  bool connected() override { return true; }
  std::vector<std::string> payloads;
};

class HeadSchema : public AuditFixture {};

TEST_F(HeadSchema, FitsBothKindsOfHeadAndRefusesOthers) {
  const Json schema = LoadSchema("audit-head.schema.json");
  testing::TempDir dir;
  options_.signing_key = SigningKey::LoadOrCreate(dir.File("key")).value();
  Open();
  ASSERT_TRUE(Write(3).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  Heads heads(
      fs_, clock_,
      {.audit_path = kPath, .node = "n\xff", .agent_id = "a", .public_key = options_.signing_key->public_key()});
  heads.Moved(audit_->newest());
  TextSink sink;
  ASSERT_TRUE(heads.HandOver(sink, true).ok());
  ASSERT_EQ(sink.payloads.size(), 2u);
  for (const std::string& payload : sink.payloads) EXPECT_EQ(Check(Json::parse(payload), schema), "") << payload;
  for (const char* const key : {"v", "node", "boot", "seq", "h", "ts"}) {
    Json head = Json::parse(sink.payloads[0]);
    head.erase(key);
    EXPECT_NE(Check(head, schema), "") << key;
    head[key] = Json::array();
    EXPECT_NE(Check(head, schema), "") << key;
  }
}

}  // namespace
}  // namespace lattice::audit
