// What comes on lattice.audit.flow: our messages, older agents', and everything that is neither.
#include "userspace/control/audit/event_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "userspace/audit/encoder.h"
#include "userspace/control/audit/event_json.h"
#include "userspace/flow/record.h"

namespace lattice::control {
namespace {

using ::testing::HasSubstr;

constexpr StreamPlace kPlace = {.seq = 7, .time_ns = 1'800'000'000'000'000'000};

flow::FlowRecord Record() {
  flow::FlowRecord record;
  record.node = "node-1:wg0";
  record.boot = "b00t";
  record.seq = 12;
  record.event = flow::Event::kEnd;
  record.ts = absl::FromUnixNanos(kPlace.time_ns - 1);
  record.agent_id = "agent-001";
  record.iface = "wg0";
  record.verdict = LAT_ALLOW;
  record.reason = flow::FromKernelReason(LAT_REASON_ALLOW_RULE);
  record.end_reason = flow::EndReason::kIdle;
  record.rule = "10.42.0.10/32";
  record.src = *IpAddress::Parse("10.42.0.1");
  record.dst = *IpAddress::Parse("10.42.0.10");
  record.src_port = 50000;
  record.dst_port = 443;
  record.protocol = 6;
  record.bytes_out = 100;
  record.bytes_in = 23;
  record.packets_out = 3;
  record.packets_in = 2;
  record.start = record.ts - absl::Seconds(3);
  record.duration_ms = 3000;
  record.host = "db.internal";
  record.pid = 4711;
  record.comm = "curl";
  record.policy_generation = 2;
  return record;
}

std::string Message(const flow::FlowRecord& record) {
  std::string message;
  audit::Encoder().AppendMessage(record, message);
  return message;
}

TEST(EventMessage, OfOurWriterKeepsEveryField) {
  const absl::StatusOr<FlowEvent> event = DecodeMessage(Message(Record()), kPlace);
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->event_id, "node-1:wg0/b00t/12");
  EXPECT_EQ(event->node, "node-1:wg0");
  EXPECT_EQ(event->boot, "b00t");
  EXPECT_EQ(event->seq, 12);
  EXPECT_EQ(event->ts_ns, kPlace.time_ns - 1);
  EXPECT_EQ(event->start_ns, kPlace.time_ns - 1 - 3'000'000'000);
  EXPECT_EQ(event->agent_id, "agent-001");
  EXPECT_EQ(event->direction, "egress");
  EXPECT_EQ(event->dst_ip, "10.42.0.10");
  EXPECT_EQ(event->dst_port, 443);
  EXPECT_EQ(event->bytes, 123);
  EXPECT_EQ(event->event, "end");
  EXPECT_EQ(event->verdict, "allow");
  EXPECT_EQ(event->reason, "allow_rule");
  EXPECT_EQ(event->rule, "10.42.0.10/32");
  EXPECT_EQ(event->src_ip, "10.42.0.1");
  EXPECT_EQ(event->src_port, 50000);
  EXPECT_EQ(event->protocol, "tcp");
  EXPECT_EQ(event->bytes_out, 100);
  EXPECT_EQ(event->bytes_in, 23);
  EXPECT_EQ(event->packets_out, 3);
  EXPECT_EQ(event->duration_ms, 3000);
  EXPECT_EQ(event->end_reason, "idle");
  EXPECT_EQ(event->host, "db.internal");
  EXPECT_EQ(event->pid, 4711);
  EXPECT_EQ(event->comm, "curl");
  EXPECT_EQ(event->flow_id, flow::FlowId(Record()));
}

// The API gives back what came in, but for what is not kept and the row's own id.
TEST(EventMessage, GoesThroughTheApisJsonUnchanged) {
  FlowEvent event = *DecodeMessage(Message(Record()), kPlace);
  event.id = "row";
  std::string json;
  AppendEventJson(event, json);
  FlowEvent again = *DecodeMessage(json, kPlace);
  again.id = "row";
  EXPECT_EQ(again, event);
}

TEST(EventMessage, OfALossNamesWhatIsMissing) {
  flow::FlowRecord record = Record();
  record.event = flow::Event::kLoss;
  record.stage = "disk";
  record.lost_count = 5;
  record.lost_from = record.lost_to = record.ts;
  record.lost_first_seq = 3;
  record.lost_last_seq = 7;
  record.lost_boot = "earlier";
  const absl::StatusOr<FlowEvent> event = DecodeMessage(Message(record), kPlace);
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->event, "loss");
  EXPECT_EQ(event->stage, "disk");
  EXPECT_EQ(event->lost_count, 5);
  EXPECT_EQ(event->lost_first_seq, 3);
  EXPECT_EQ(event->lost_last_seq, 7);
  EXPECT_EQ(event->lost_boot, "earlier");
}

TEST(EventMessage, OfAnOlderAgentIsKnownByItsPlaceInTheStream) {
  const absl::StatusOr<FlowEvent> event = DecodeMessage(
      R"({"agentId":"old","traceId":"t","direction":"egress","dstIp":"192.0.2.1","dstPort":443,"bytes":9,)"
      R"("ts":"2026-05-18T00:00:00.5Z","somethingElse":{"deep":[1,2,{"x":null}]},"bytesSent":"nine"})",
      kPlace);
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->event_id, "stream/1800000000000000000/7");
  EXPECT_EQ(event->event, "flow");
  EXPECT_EQ(event->seq, 0);
  EXPECT_EQ(event->dst_port, 443);
  EXPECT_EQ(event->ts_ns,
            absl::ToUnixNanos(absl::FromCivil(absl::CivilSecond(2026, 5, 18), absl::UTCTimeZone())) + 500'000'000);
}

struct BadCase {
  const char* name;
  std::string message;
  absl::StatusCode code;
  const char* says;
};
void PrintTo(const BadCase& c, std::ostream* out) {
  *out << c.name;
}

// Our message with one thing replaced.
std::string With(const char* from, const std::string& to) {
  const std::string message = Message(Record());
  const std::string changed = absl::StrReplaceAll(message, {{from, to}});
  EXPECT_NE(changed, message) << from;
  return changed;
}

class EventMessageBad : public ::testing::TestWithParam<BadCase> {};

TEST_P(EventMessageBad, IsRefusedAndSaysWhy) {
  const absl::StatusOr<FlowEvent> event = DecodeMessage(GetParam().message, kPlace);
  EXPECT_EQ(event.status().code(), GetParam().code) << event.status();
  EXPECT_THAT(std::string(event.status().message()), HasSubstr(GetParam().says));
}

constexpr auto kMalformed = absl::StatusCode::kInvalidArgument;
INSTANTIATE_TEST_SUITE_P(
    Cases, EventMessageBad,
    ::testing::Values(
        BadCase{"Empty", "", kMalformed, "parse error"}, BadCase{"NoJson", "hello", kMalformed, "parse error"},
        BadCase{"HalfAnObject", R"({"agentId":"a")", kMalformed, "parse error"},
        BadCase{"TwoObjects", "{}{}", kMalformed, "parse error"}, BadCase{"Array", "[1]", kMalformed, "no JSON object"},
        BadCase{"Number", "7", kMalformed, "no JSON object"}, BadCase{"Null", "null", kMalformed, "no JSON object"},
        BadCase{"BadUtf8", "{\"agentId\":\"\xff\"}", kMalformed, "UTF-8"},
        BadCase{"DeepNesting", absl::StrCat("{\"x\":", std::string(5000, '['), "}"), kMalformed, "nested too deep"},
        BadCase{"NoAgent", R"({"ts":"2026-05-18T00:00:00Z"})", kMalformed, "\"agentId\": missing"},
        BadCase{"NoTime", R"({"agentId":"a"})", kMalformed, "\"ts\": missing"},
        BadCase{"TextForNumber", With("\"dstPort\":443", "\"dstPort\":\"443\""), kMalformed, "\"dstPort\""},
        BadCase{"NumberForText", With("\"agentId\":\"agent-001\"", "\"agentId\":1"), kMalformed, "\"agentId\""},
        BadCase{"ObjectForText", With("\"agentId\":\"agent-001\"", "\"agentId\":{}"), kMalformed, "\"agentId\""},
        BadCase{"NullForText", With("\"agentId\":\"agent-001\"", "\"agentId\":null"), kMalformed, "\"agentId\""},
        BadCase{"NegativeBytes", With("\"bytes\":123", "\"bytes\":-1"), kMalformed, "\"bytes\""},
        BadCase{"FractionalBytes", With("\"bytes\":123", "\"bytes\":1.5"), kMalformed, "\"bytes\""},
        BadCase{"HugeBytes", With("\"bytes\":123", "\"bytes\":9223372036854775808"), kMalformed, "\"bytes\""},
        BadCase{"PortOverItsRange", With("\"dstPort\":443", "\"dstPort\":65536"), kMalformed, "\"dstPort\""},
        BadCase{"TheSameKeyTwice", With("\"bytes\":123", "\"bytes\":123,\"bytes\":124"), kMalformed, "twice"},
        BadCase{"NoTimeAtAll", With("\"ts\":\"", "\"ts\":\"yesterday "), kMalformed, "\"ts\""},
        BadCase{"InfiniteTime", R"({"agentId":"a","ts":"infinite-future"})", kMalformed, "\"ts\""},
        BadCase{"TimeBefore1970", R"({"agentId":"a","ts":"1969-12-31T23:59:59Z"})", kMalformed, "\"ts\""},
        BadCase{"LongAgent", With("agent-001", std::string(200, 'a')), kMalformed, "\"agentId\""},
        BadCase{"IdOfAnotherNode", With("\"node\":\"node-1", "\"node\":\"node-2"), kMalformed, "another node"},
        BadCase{"IdOfAnotherSeq", With("\"seq\":12", "\"seq\":13"), kMalformed, "another seq"},
        BadCase{"IdWithoutForm", With("\"eventId\":\"node-1:wg0/b00t/12\"", "\"eventId\":\"x\""), kMalformed,
                "eventId"},
        BadCase{"IdWithAZeroInFront", With("/12\"", "/012\""), kMalformed, "eventId"},
        BadCase{"SeqZero", absl::StrReplaceAll(Message(Record()), {{"/12\"", "/0\""}, {"\"seq\":12", "\"seq\":0"}}),
                kMalformed, "eventId"},
        BadCase{"NewerVersion", With("\"v\":1", "\"v\":2"), absl::StatusCode::kFailedPrecondition, "update it"},
        BadCase{"TooLarge", std::string(kMaxMessageBytes + 1, ' '), absl::StatusCode::kResourceExhausted, "bytes"},
        BadCase{"TwoDaysAhead", R"({"agentId":"a","ts":"2027-01-17T08:00:01Z"})", absl::StatusCode::kOutOfRange,
                "ahead"}),
    [](const auto& test) { return test.param.name; });

TEST(EventMessage, ADayAheadIsStillTaken) {
  const int64_t almost = kPlace.time_ns + kMaxAheadNs;
  EXPECT_TRUE(DecodeMessage(absl::StrCat(R"({"agentId":"a","ts":")", TimeText(almost), "\"}"), kPlace).ok());
}

}  // namespace
}  // namespace lattice::control
