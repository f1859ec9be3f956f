#include "userspace/control/api/flow_params.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

namespace lattice::control {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kNow = 1'800'000'000'000'000'000;
constexpr int64_t kHour = int64_t{3600} * 1'000'000'000;

FlowParams Parse(const QueryPairs& query, FlowCall call = FlowCall::kList) {
  auto params = ParseFlowParams(call, query, kNow);
  EXPECT_TRUE(params.ok()) << params.status();
  return params.ok() ? *std::move(params) : FlowParams();
}

TEST(FlowParams, WithoutAnyAskForTheNewestHundred) {
  const FlowParams params = Parse({});
  EXPECT_EQ(params.query.limit, 100u);
  EXPECT_FALSE(params.query.ascending);
  EXPECT_FALSE(params.query.filter.from_ns.has_value());
}

TEST(FlowParams, TakeTheSeedsQuery) {
  const FlowParams params = Parse({{"agentName", "agent-001"}, {"from", "2026-05-18T00:00:00Z"}});
  ASSERT_EQ(params.query.filter.agents.size(), 1u);
  EXPECT_EQ(params.query.filter.agents[0].value, "agent-001");
  EXPECT_EQ(params.query.filter.from_ns, 1'779'062'400'000'000'000);
}

TEST(FlowParams, TakeTimesBeforeNow) {
  EXPECT_EQ(Parse({{"from", "-1h"}}).query.filter.from_ns, kNow - kHour);
  EXPECT_EQ(Parse({{"from", "-7d"}}).query.filter.from_ns, kNow - 7 * 24 * kHour);
  EXPECT_EQ(Parse({{"from", "-1h30m"}, {"to", "-30m"}}).query.filter.to_ns, kNow - kHour / 2);
}

TEST(FlowParams, RepeatedAreSeveralAndABangIsNot) {
  const FlowFilter filter =
      Parse({{"agentName", "a"}, {"agentId", "!b"}, {"port", "443"}, {"port", "!22"}, {"dst", "!10.1.2.3/8"}})
          .query.filter;
  ASSERT_EQ(filter.agents.size(), 2u);
  EXPECT_FALSE(filter.agents[0].negate);
  EXPECT_TRUE(filter.agents[1].negate);
  EXPECT_EQ(filter.agents[1].value, "b");
  EXPECT_EQ(filter.ports[1].value, "22");
  EXPECT_TRUE(filter.ports[1].negate);
  EXPECT_EQ(filter.destinations[0].cidr, "10.0.0.0/8");
  EXPECT_TRUE(filter.destinations[0].negate);
}

TEST(FlowParams, CursorComesBackAsItWent) {
  const PageKey key{.ts_ns = 123, .id = "0190-ab/c"};
  const auto back = DecodeCursorText(EncodeCursorText(key));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->ts_ns, key.ts_ns);
  EXPECT_EQ(back->id, key.id);
}

struct BadCase {
  const char* name;
  FlowCall call;
  QueryPairs query;
  const char* says;
};
void PrintTo(const BadCase& c, std::ostream* out) {
  *out << c.name;
}

class FlowParamsBad : public ::testing::TestWithParam<BadCase> {};

TEST_P(FlowParamsBad, AreRefusedAndNamed) {
  const auto params = ParseFlowParams(GetParam().call, GetParam().query, kNow);
  EXPECT_EQ(params.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(params.status().message()), HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, FlowParamsBad,
    ::testing::Values(
        BadCase{"Unknown", FlowCall::kList, {{"agent", "x"}}, "unknown parameter agent; there are agentId, agentName"},
        BadCase{"UnknownWhereThereAreNone", FlowCall::kSources, {{"limit", "1"}}, "there are none here"},
        BadCase{"Empty", FlowCall::kList, {{"agentName", ""}}, "agentName=: expected a value"},
        BadCase{"Verdict", FlowCall::kList, {{"verdict", "deny"}}, "verdict=deny: expected one of allow, drop"},
        BadCase{"Direction", FlowCall::kList, {{"direction", "out"}}, "direction=out"},
        BadCase{"Event", FlowCall::kList, {{"event", "begin"}}, "event=begin"},
        BadCase{"Port", FlowCall::kList, {{"port", "65536"}}, "port=65536: expected a port"},
        BadCase{"PortName", FlowCall::kList, {{"port", "https"}}, "port=https"},
        BadCase{"Network", FlowCall::kList, {{"dst", "10.0.0.0/33"}}, "dst=10.0.0.0/33"},
        BadCase{"NetworkName", FlowCall::kList, {{"src", "example"}}, "src=example"},
        BadCase{"Time", FlowCall::kList, {{"from", "yesterday"}}, "from=yesterday"},
        BadCase{"TimeInfinite", FlowCall::kList, {{"from", "infinite-future"}}, "from="},
        BadCase{"TimeTwice", FlowCall::kList, {{"from", "-1h"}, {"from", "-2h"}}, "it once"},
        BadCase{"TimeAhead", FlowCall::kList, {{"from", "--1h"}}, "from=--1h"},
        BadCase{"FromAfterTo", FlowCall::kList, {{"from", "-1h"}, {"to", "-2h"}}, "from is after to"},
        BadCase{"LimitZero", FlowCall::kList, {{"limit", "0"}}, "1 to 1000"},
        BadCase{"LimitOver", FlowCall::kList, {{"limit", "1001"}}, "1 to 1000"},
        BadCase{"LimitNegative", FlowCall::kList, {{"limit", "-1"}}, "limit=-1"},
        BadCase{"Order", FlowCall::kList, {{"order", "up"}}, "order=up: expected one of asc, desc"},
        BadCase{"Format", FlowCall::kList, {{"format", "xml"}}, "csv, json, ndjson"},
        BadCase{"Cursor", FlowCall::kList, {{"cursor", "%%%"}}, "cursor="},
        BadCase{"CursorOfNothing", FlowCall::kList, {{"cursor", "MTIzLw"}}, "cursor="},
        BadCase{"CursorHuge", FlowCall::kList, {{"cursor", std::string(300, 'A')}}, "cursor="},
        BadCase{"StreamHasNoTime", FlowCall::kStream, {{"from", "-1h"}}, "unknown parameter from"},
        BadCase{"TimelineHasNoRule", FlowCall::kTimeline, {{"rule", "x"}}, "unknown parameter rule"},
        BadCase{"TopBy", FlowCall::kTop, {{"by", "color"}}, "agent, dst, port, rule"},
        BadCase{"LongValue", FlowCall::kList, {{"host", std::string(5000, 'h')}}, "at most 4096 bytes"}),
    [](const auto& test) { return test.param.name; });

TEST(FlowParams, TakeABoundedNumberOfValues) {
  QueryPairs query;
  for (int i = 0; i < 101; ++i) query.emplace_back("agentName", "a");
  EXPECT_THAT(std::string(ParseFlowParams(FlowCall::kList, query, kNow).status().message()), HasSubstr("at most 100"));
}

}  // namespace
}  // namespace lattice::control
