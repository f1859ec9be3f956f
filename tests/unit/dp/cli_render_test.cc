// What `lattice dp` prints: numbers, tables, and the daemon's JSON as text.
#include "tools/lattice/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/lattice/format.h"

namespace lattice::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Format, BytesHaveThreeOrFourDigitsAndAUnit) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1024), "1.0 KiB");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes(64 << 20), "64.0 MiB");
  EXPECT_EQ(HumanBytes((1 << 20) - 1), "1.0 MiB") << "never 1024.0 KiB";
  EXPECT_EQ(HumanBytes(UINT64_MAX), "16.0 EiB");
  EXPECT_EQ(HumanRate(2048), "2.0 KiB/s");
  EXPECT_EQ(HumanRate(-1), "0 B/s");
}

TEST(Format, CountsAndTimesAreReadAtAGlance) {
  EXPECT_EQ(HumanCount(0), "0");
  EXPECT_EQ(HumanCount(999), "999");
  EXPECT_EQ(HumanCount(1000), "1,000");
  EXPECT_EQ(HumanCount(1234567), "1,234,567");
  EXPECT_EQ(HumanMs(12), "12 ms");
  EXPECT_EQ(HumanMs(3400), "3.4 s");
  EXPECT_EQ(HumanMs(59'999), "59.9 s");
  EXPECT_EQ(HumanMs(312'000), "5m 12s");
  EXPECT_EQ(HumanMs(2 * 3'600'000 + 180'000), "2h 3m");
  EXPECT_EQ(HumanMs(97 * 3'600'000), "4d 1h");
}

TEST(Format, ATableAlignsItsColumns) {
  Table table({"NAME", ">COUNT", "NOTE"});
  EXPECT_TRUE(table.empty());
  table.Row({"a", "1", ""});
  table.Row({"longer", "12345", "x"});
  EXPECT_EQ(table.ToString(),
            "NAME    COUNT  NOTE\n"
            "a           1\n"
            "longer  12345  x\n");
}

constexpr char kStatus[] = R"({"state":"enforcing","problems":["nats is away"],"pid":7,"version":"1.2","started":"T",
  "iface":"wg0","mode":"enforce",
  "hooks":[{"hook":"tc_egress","target":"wg0","kind":"tcx","attached":true,"enforcing":true,"position":1,"chainLength":2,
            "foreignBefore":[{"id":5,"name":"spy"}],"detail":""},
           {"hook":"tc_ingress","target":"wg0","kind":"tcx","attached":false,"enforcing":false,"position":-1,
            "chainLength":0,"foreignBefore":[],"detail":"no interface named wg0"}],
  "policy":{"generation":3,"hash":"abcdef0123456789","source":"flags","egressRules":2,"ingressRules":0,
            "egressDefault":"deny","ingressDefault":"allow","bytes":2097152,"refused":1},
  "audit":{"path":"/a.jsonl","written":1234,"bytes":2048,"failing":true,"lost":{"disk":9,"untracked":0}},
  "nats":{"connected":false,"server":"","error":"refused","published":5,"spool":6},
  "tables":{"flows4":{"entries":10,"capacity":65536},"flows6":{"entries":0,"capacity":65536},
            "denied":{"entries":1,"capacity":16384}},
  "traffic":[{"hook":"tc_egress","verdict":"deny","packets":3,"wirePackets":4,"bytes":5000}],
  "denied":[{"hook":"tc_egress","reason":"no_rule","packets":3}]})";

TEST(Render, StatusTellsWhatHoldsAndWhatDoesNot) {
  const auto text = RenderStatus(kStatus);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text,
              AllOf(HasSubstr("wg0  enforcing"), HasSubstr("pid 7"), HasSubstr("PROBLEM   nats is away"),
                    HasSubstr("generation 3"), HasSubstr("2.0 MiB"), HasSubstr("foreign program before ours: 5 spy"),
                    HasSubstr("MISSING"), HasSubstr("no interface named wg0")));
  EXPECT_THAT(*text, AllOf(HasSubstr("1,234 written"), HasSubstr("NOT WRITABLE NOW"), HasSubstr("LOST at disk: 9"),
                           Not(HasSubstr("LOST at untracked")), HasSubstr("NOT connected: refused"),
                           HasSubstr("10 of 65,536"), HasSubstr("no_rule"), HasSubstr("4.9 KiB")));
  EXPECT_FALSE(*IsEnforcing(kStatus)) << "one hook is missing";
}

TEST(Render, OneIsNotMany) {
  const auto status = RenderStatus(R"({"policy":{"source":"f","egressRules":1,"ingressRules":2,"refused":0}})");
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_THAT(*status, AllOf(HasSubstr("1 egress rule (default"), HasSubstr("2 ingress rules (default"),
                             Not(HasSubstr("refused"))));
  EXPECT_THAT(*RenderStatus(kStatus), HasSubstr("refused since the start: 1"));
  EXPECT_THAT(*RenderCheck(R"({"egressRules":1,"ingressRules":0,"prefixes":1})"),
              HasSubstr("good: 1 egress rule, 0 ingress rules, 1 prefix in"));
  EXPECT_THAT(*RenderReceipt(R"({"rules":1,"prefixes":2})"), HasSubstr("1 rule, 2 prefixes in"));
}

TEST(Render, StatusFromPinsSaysThatNobodyRecords) {
  const auto text = RenderStatus(
      R"({"state":"enforced by pins","iface":"wg0","mode":"enforce","policy":{"generation":2,"hash":"abc","rules":4},
          "hooks":[{"hook":"tc_egress","attached":true,"enforcing":true}]})");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, AllOf(HasSubstr("no daemon"), HasSubstr("generation 2, 4 rules")));
}

TEST(Render, InAuditModeAttachedIsEnough) {
  EXPECT_TRUE(*IsEnforcing(R"({"mode":"audit","hooks":[{"attached":true,"enforcing":false}]})"));
  EXPECT_FALSE(*IsEnforcing(R"({"mode":"enforce","hooks":[{"attached":true,"enforcing":false}]})"));
  EXPECT_FALSE(*IsEnforcing(R"({"mode":"enforce","hooks":[]})")) << "nothing is not enforcement";
}

using RenderFunction = absl::StatusOr<std::string> (*)(absl::string_view);

struct BadAnswer {
  const char* name;
  RenderFunction render = RenderStatus;
  const char* json;
};

class RenderBadAnswer : public ::testing::TestWithParam<BadAnswer> {};

TEST_P(RenderBadAnswer, IsAnErrorNotACrash) {
  const absl::Status status = GetParam().render(GetParam().json).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  EXPECT_THAT(status.message(), HasSubstr("another version"));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, RenderBadAnswer,
    ::testing::Values(
        BadAnswer{.name = "Nothing", .json = ""}, BadAnswer{.name = "NoJson", .json = "nonsense"},
        BadAnswer{.name = "NoObject", .json = "[]"}, BadAnswer{.name = "Null", .json = "null"},
        BadAnswer{.name = "TextAsNumber", .json = R"({"hooks":[{"hook":5}]})"},
        BadAnswer{.name = "NumberAsText", .json = R"({"pid":"seven"})"},
        BadAnswer{.name = "CountWithFraction", .json = R"({"pid":7.5})"},
        BadAnswer{.name = "CountBeyondSixtyFourBits", .json = R"({"pid":1e300})"},
        BadAnswer{.name = "CountBelowZero", .json = R"({"pid":-1})"},
        BadAnswer{.name = "LossBeyondSixtyFourBits", .json = R"({"audit":{"lost":{"disk":1e300}}})"},
        BadAnswer{.name = "LossAsText", .json = R"({"audit":{"lost":{"disk":"x"}}})"},
        BadAnswer{.name = "PositionBeyondSixtyFourBits", .json = R"({"hooks":[{"position":1e300}]})"},
        BadAnswer{.name = "HookIsNoObject", .json = R"({"hooks":[1]})"},
        BadAnswer{.name = "ProblemIsNoText", .json = R"({"problems":[1]})"},
        BadAnswer{.name = "FlowOfNumbers", .render = RenderFlows, .json = R"({"flows":[{"protocol":1}]})"},
        BadAnswer{.name = "AgeBeyondSixtyFourBits", .render = RenderFlows, .json = R"({"flows":[{"ageMs":-1e300}]})"},
        BadAnswer{.name = "PortAsText", .render = RenderDenied, .json = R"({"denied":[{"localPort":"x"}]})"},
        BadAnswer{.name = "WarningIsNoText", .render = RenderCheck, .json = R"({"warnings":[{}]})"},
        BadAnswer{.name = "TimeAsText", .render = RenderReceipt, .json = R"({"applyMs":"x"})"},
        BadAnswer{.name = "HitsBelowZero", .render = RenderRuleHits, .json = R"({"rules":[{"hits":-1}]})"},
        BadAnswer{.name = "PolicyIsNoText", .render = PolicyText, .json = R"({"text":1})"},
        BadAnswer{.name = "MissedAsText", .render = RenderRecord, .json = R"({"missed":"x"})"}),
    [](const auto& c) { return c.param.name; });

TEST(Render, TheHighestPositionOfAHookIsAPosition) {
  const auto text = RenderStatus(R"({"hooks":[{"hook":"a","position":9223372036854775807,"chainLength":1}]})");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr("9223372036854775808 of 1"));
}

TEST(Render, FlowsShowBothEndsRuleAndSizes) {
  const auto text = RenderFlows(
      R"({"flows":[{"direction":"egress","scope":"cgroup","protocol":"tcp","local":"10.42.0.1","localPort":4000,"remote":"2001:db8::2",
          "remotePort":443,"verdict":"allow","reason":"allow_rule","rule":"https","bytesOut":2048,"bytesIn":10,
          "ageMs":61000,"idleMs":5},
         {"direction":"ingress","protocol":"icmp","local":"10.42.0.1","remote":"10.42.0.2","remotePort":0,
          "verdict":"allow","reason":"default_allow","rule":""}],"more":true})");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, AllOf(HasSubstr("SCOPE"), HasSubstr("cgroup  tcp"), HasSubstr("10.42.0.1:4000"),
                           HasSubstr("[2001:db8::2]:443"), HasSubstr("https"), HasSubstr("2.0 KiB"), HasSubstr("1m 1s"),
                           HasSubstr("(default_allow)"), HasSubstr("--limit")));
}

TEST(Render, DeniedAttemptsOfTheTwoScopesAreToldApart) {
  const auto text = RenderDenied(
      R"({"denied":[{"scope":"iface","protocol":"udp","local":"10.42.0.1","remote":"10.42.0.2","verdict":"drop"},
                    {"scope":"cgroup","protocol":"udp","local":"10.42.0.1","remote":"10.42.0.2","verdict":"drop"}]})");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, AllOf(HasSubstr("iface   udp"), HasSubstr("cgroup  udp")));
}

TEST(Render, TopIsSortedByRateOnceThereIsOne) {
  const std::string before = R"({"top":[{"group":"old","bytesOut":1000000,"bytesIn":0},{"group":"new","bytesOut":0}],
                                 "flows":2,"monotonicNs":1000000000})";
  const std::string now = R"({"top":[{"group":"old","bytesOut":1000000,"bytesIn":0},{"group":"new","bytesOut":4096}],
                              "flows":2,"monotonicNs":3000000000})";
  const auto first = RenderTop(now, "", 10);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_LT(first->find("old"), first->find("new"));
  const auto second = RenderTop(now, before, 10);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_LT(second->find("new"), second->find("old"));
  EXPECT_THAT(*second, HasSubstr("2.0 KiB/s"));
  EXPECT_THAT(*RenderTop(now, before, 1), Not(HasSubstr("old")));
}

TEST(Render, AReceiptTellsHowLongItHolds) {
  const auto text = RenderReceipt(R"({"generation":9,"rules":2,"prefixes":3,"bytes":2097152,"lookup":"flat",
                                      "applyMs":1.25,"hash":"ff","warnings":["host bits"]})");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, AllOf(HasSubstr("generation 9"), HasSubstr("1.2 ms"), HasSubstr("warning: host bits"),
                           HasSubstr("--policy-file")));
}

TEST(Render, AFollowedRecordIsOneLine) {
  const auto line = RenderRecord(
      R"({"identity":"a","src_ip":"10.42.0.1","dst_ip":"10.42.0.10","dst_port":7001,"protocol":"udp","verdict":"drop",)"
      R"("v":1,"eventId":"n:wg0/b/3","seq":3,"node":"n:wg0","event":"denied","ts":"2026-01-31T12:00:00.000000001Z",)"
      R"("direction":"egress","reason":"no_rule","rule":"","srcPort":31000,"iface":"wg0","scope":"iface",)"
      R"("mode":"enforce","bytesOut":174,"bytesIn":0,"packetsOut":3,"packetsIn":0,"wirePacketsOut":3,"wirePacketsIn":0,)"
      R"("start":"2026-01-31T12:00:00.000000001Z","durationMs":0,"policyGeneration":1,"flowId":"b-1-2","monotonicNs":1,)"
      R"("h":"8b1f28c5798f480adcd55b363e2cb09a1f15f19e8c11a31b03c6002e5adb98b1"})");
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_THAT(*line, AllOf(HasSubstr("10.42.0.1:31000 > 10.42.0.10:7001"),
                           HasSubstr("out 3 packets, 174 B in 0 packets, 0 B\n")));
  EXPECT_THAT(*RenderRecord(R"({"missed":12})"), HasSubstr("12 records missed"));
  EXPECT_FALSE(RenderRecord("{}").ok());
}

}  // namespace
}  // namespace lattice::cli
