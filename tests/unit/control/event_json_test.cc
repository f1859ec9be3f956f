#include "userspace/control/audit/event_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace lattice::control {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string CsvOf(const FlowEvent& event) {
  std::string line;
  AppendEventCsv(event, line);
  return line;
}

TEST(EventJson, HasUpstreamsKeysAlwaysAndOthersWhereKnown) {
  std::string json;
  AppendEventJson({.id = "x"}, json);
  EXPECT_EQ(json, R"({"id":"x","agentId":"","traceId":"","direction":"","dstIp":"","dstPort":0,"bytes":0,"ts":"",)"
                  R"("eventId":"","event":"","verdict":""})");
}

TEST(EventJson, IsJsonWhateverTheTextsHold) {
  FlowEvent event;
  event.host = std::string("\"\\\n\0\x1f\xff</script>", 15);
  std::string json;
  AppendEventJson(event, json);
  const auto parsed = nlohmann::json::parse(json, nullptr, false);
  ASSERT_TRUE(parsed.is_object()) << json;
  EXPECT_EQ(parsed["host"].get<std::string>().substr(0, 5), std::string("\"\\\n\0\x1f", 5));
}

TEST(EventCsv, HasAsManyCellsAsItsHeader) {
  const std::string header = CsvHeader();
  const std::string line = CsvOf({.id = "x"});
  EXPECT_EQ(std::count(header.begin(), header.end(), ','), std::count(line.begin(), line.end(), ','));
  EXPECT_THAT(header, StartsWith("id,agentId,traceId,direction,dstIp,dstPort,bytes,ts,"));
}

TEST(EventCsv, QuotesWhatWouldEndACell) {
  EXPECT_THAT(CsvOf({.agent_id = "a,b \"c\"\r\nd"}), HasSubstr(",\"a,b \"\"c\"\"\r\nd\","));
}

TEST(EventCsv, GivesASpreadsheetNoFormula) {
  for (const char* formula : {"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"}) {
    EXPECT_THAT(CsvOf({.agent_id = formula}), HasSubstr(std::string(",\"'") + formula + "\",")) << formula;
  }
  EXPECT_THAT(CsvOf({.agent_id = "a=1"}), HasSubstr(",a=1,"));
}

TEST(TimeText, IsRfc3339InNanoseconds) {
  EXPECT_EQ(TimeText(0), "");
  EXPECT_EQ(TimeText(1), "1970-01-01T00:00:00.000000001Z");
  EXPECT_EQ(TimeText(1'800'000'000'123'456'789), "2027-01-15T08:00:00.123456789Z");
}

}  // namespace
}  // namespace lattice::control
