// What `lattice audit query | tail | export` ask for and how a record looks to people.
#include <gmock/gmock.h>

#include <string>

#include "tools/lattice/args.h"
#include "tools/lattice/event_line.h"
#include "tools/lattice/flow_query.h"

namespace lattice::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string QueryOf(const std::vector<std::string>& words, FlowQuery::Range range = FlowQuery::Range::kFromTo) {
  Args args("x", "");
  const FlowQuery query(args, range);
  const absl::Status parsed = args.Parse(words);
  return parsed.ok() ? query.ToString() : parsed.ToString();
}

TEST(FlowQuery, AsksForTheLastHourUnlessTold) {
  EXPECT_EQ(QueryOf({}), "from=-1h");
  EXPECT_EQ(QueryOf({"--from", ""}), "");
  EXPECT_EQ(QueryOf({}, FlowQuery::Range::kNone), "");
}

TEST(FlowQuery, HasTheNamesOfTheApi) {
  EXPECT_EQ(QueryOf({"--agent=a", "--verdict=drop", "--protocol=tcp", "--port=443", "--dst=10.0.0.0/8",
                     "--src=2001:db8::/32", "--direction=egress", "--event=end", "--reason=no_rule", "--rule=r",
                     "--host=h", "--node=n", "--trace-id=t", "--to=-5m"}),
            "from=-1h&to=-5m&agentName=a&verdict=drop&protocol=tcp&port=443&dst=10.0.0.0%2F8&src=2001%3Adb8%3A%3A%2F32&"
            "direction=egress&event=end&reason=no_rule&rule=r&host=h&node=n&traceId=t");
}

TEST(FlowQuery, CommasMeanAnyOfThem) {
  EXPECT_EQ(QueryOf({"--port=80,443", "--from="}), "port=80&port=443");
  EXPECT_EQ(QueryOf({"--agent=,a,,b,", "--from="}), "agentName=a&agentName=b");
}

TEST(FlowQuery, AValueCanNotBecomeAnotherParameter) {
  const std::string query = QueryOf({"--host=x&limit=1#y z+%", "--from=2026-05-18T00:00:00+02:00"});
  EXPECT_THAT(query, Not(HasSubstr("&limit=1")));
  EXPECT_EQ(query, "from=2026-05-18T00%3A00%3A00%2B02%3A00&host=x%26limit%3D1%23y%20z%2B%25");
}

TEST(FlowQuery, ATailHasNoRange) {
  EXPECT_THAT(QueryOf({"--from=-1h"}, FlowQuery::Range::kNone), HasSubstr("no flag --from"));
}

std::string Line(const std::string& json) {
  const absl::StatusOr<std::string> line = EventLine(json);
  return line.ok() ? *line : line.status().ToString();
}

TEST(EventLine, ShowsAFlowThatEnded) {
  EXPECT_EQ(Line(R"({"eventId":"n/b/1","ts":"2026-11-24T19:07:10.120133054Z","agentId":"agent-001","event":"end",
                     "verdict":"allow","reason":"allow_rule","rule":"10.42.0.10/32","protocol":"tcp",
                     "srcIp":"10.42.0.1","srcPort":5000,"dstIp":"10.42.0.10","dstPort":443,"bytes":1229})"),
            "2026-11-24 19:07:10.120  agent-001    allow end     tcp 10.42.0.1:5000 -> 10.42.0.10:443  1.2 KiB  "
            "10.42.0.10/32\n");
}

TEST(EventLine, SaysWhyOfADenialOnly) {
  const std::string rest = R"(,"eventId":"e","protocol":"udp","srcIp":"10.42.0.1","dstIp":"192.0.2.7","dstPort":53})";
  EXPECT_THAT(Line(R"({"event":"denied","verdict":"drop","reason":"no_rule")" + rest), HasSubstr(" no_rule\n"));
  EXPECT_THAT(Line(R"({"event":"start","verdict":"allow","reason":"allow_rule")" + rest), Not(HasSubstr("allow_rule")));
}

TEST(EventLine, NamesEveryKind) {
  for (const char* kind : {"start", "update", "end", "denied", "flow"}) {
    EXPECT_THAT(Line(std::string(R"({"eventId":"e","dstIp":"192.0.2.7","event":")") + kind + "\"}"),
                HasSubstr(kind + std::string(" ")));
  }
  EXPECT_THAT(Line(R"({"eventId":"e","event":"policy","policyGeneration":7})"),
              HasSubstr("policy generation 7 in force"));
  EXPECT_THAT(Line(R"({"eventId":"e","event":"loss","count":12,"stage":"denied_table"})"),
              HasSubstr("12 records are lost: denied_table"));
}

TEST(EventLine, PutsAnAddressWithColonsInBrackets) {
  const std::string line = Line(R"({"eventId":"e","event":"start","protocol":"tcp","srcIp":"2001:db8::1","srcPort":5000,
                                    "dstIp":"2001:db8::2","dstPort":443})");
  EXPECT_THAT(line, HasSubstr("[2001:db8::1]:5000 -> [2001:db8::2]:443"));
  EXPECT_THAT(
      Line(R"({"eventId":"e","event":"start","protocol":"icmpv6","srcIp":"2001:db8::1","dstIp":"2001:db8::2"})"),
      HasSubstr("2001:db8::1 -> 2001:db8::2 "));
}

TEST(EventLine, WhatAnAgentWroteDoesNotSteerTheTerminal) {
  const std::string line =
      Line(R"({"eventId":"e","event":"denied","verdict":"drop","ts":"\u001b[2J","agentId":"a\nb\rc",
                                    "rule":"\u001b]0;x\u0007\u007f","reason":"\t","protocol":"\u0000",
                                    "dstIp":"\u001b[31m","srcIp":"\b"})");
  for (const char c : line.substr(0, line.size() - 1)) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << line;
  EXPECT_THAT(line, Not(HasSubstr("\x7f")));
  EXPECT_THAT(line, HasSubstr("a?b?c"));
  // One byte of a C1 control in UTF-8, which some terminals obey as they do ESC [.
  EXPECT_EQ(Printable("a\xc2\x9b"
                      "31mb"),
            "a?31mb");
  EXPECT_EQ(Printable("Zürich … 北京"), "Zürich … 北京");
  EXPECT_EQ(Printable("\x1b[0m"), "?[0m");
}

TEST(EventLine, WrongTypesAreAsIfMissing) {
  EXPECT_TRUE(EventLine(R"({"eventId":1,"event":[],"ts":7,"dstPort":"x","bytes":-1,"count":null})").ok());
  EXPECT_TRUE(EventLine(R"({"eventId":"e","event":"loss","count":"many","stage":{}})").ok());
  EXPECT_TRUE(EventLine(R"({"eventId":"e"})").ok());
}

TEST(EventLine, RefusesWhatIsNoRecord) {
  for (const char* text : {"", "{", "[]", "7", "null", "{}", R"({"event":"end"})", "\xff"}) {
    EXPECT_FALSE(EventLine(text).ok()) << text;
  }
}

}  // namespace
}  // namespace lattice::cli
