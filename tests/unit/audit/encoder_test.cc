#include "userspace/audit/encoder.h"

#include <gtest/gtest.h>

#include <iostream>
#include <random>
#include <string>

#include "tests/testing/fake_clock.h"
#include "tests/testing/flow_records.h"
#include "tests/testing/seed.h"
#include "userspace/audit/json_text.h"

namespace lattice::audit {
namespace {

flow::FlowRecord Numbered(flow::FlowRecord record) {
  record.node = "node-1";
  record.boot = "0123456789ab";
  record.seq = 42;
  return record;
}

std::string Line(const flow::FlowRecord& record) {
  std::string out;
  Encoder().AppendLine(record, out);
  return out;
}

std::string Message(const flow::FlowRecord& record) {
  std::string out;
  Encoder().AppendMessage(record, out);
  return out;
}

std::string Escaped(absl::string_view text) {
  std::string out(kMaxEscapedPerByte * text.size() + 1, '#');
  char* end = PutEscaped(out.data(), text);
  out.resize(static_cast<size_t>(end - out.data()));
  return out;
}

std::string IpText(const IpAddress& address) {
  char out[kMaxIpText];
  return std::string(out, PutIp(out, address));
}

TEST(EncodeLine, PutsUpstreamsKeysFirst) {
  EXPECT_EQ(Line(Numbered(testing::EndRecord())),
            R"({"identity":"agent-1","src_ip":"192.0.2.7","dst_ip":"198.51.100.9","dst_port":443,"protocol":"tcp",)"
            R"("verdict":"allow","v":1,"eventId":"node-1/0123456789ab/42","seq":42,"node":"node-1","event":"end",)"
            R"("ts":"2026-02-02T02:40:06.500000000Z","direction":"egress","reason":"allow_rule","rule":"web",)"
            R"("srcPort":40000,"iface":"wg0","scope":"iface","mode":"enforce","bytesOut":1200,"bytesIn":45000,)"
            R"("packetsOut":12,"packetsIn":10,"wirePacketsOut":12,"wirePacketsIn":30,)"
            R"("start":"2026-02-02T02:40:05.000000000Z","durationMs":1500,"endReason":"fin","policyGeneration":7,)"
            R"("flowId":"0123456789ab-12a05f200-dd65317d","monotonicNs":6500000000})");
}

TEST(EncodeMessage, PutsUpstreamsKeysFirstWithNumbersAsNumbers) {
  EXPECT_EQ(Message(Numbered(testing::EndRecord())),
            R"({"agentId":"agent-1","traceId":"","direction":"egress","dstIp":"198.51.100.9","dstPort":443,)"
            R"("bytes":46200,"ts":"2026-02-02T02:40:06.500000000Z","v":1,"eventId":"node-1/0123456789ab/42","seq":42,)"
            R"("node":"node-1","event":"end","verdict":"allow","reason":"allow_rule","rule":"web",)"
            R"("srcIp":"192.0.2.7","srcPort":40000,"protocol":"tcp","iface":"wg0","scope":"iface","mode":"enforce",)"
            R"("bytesOut":1200,"bytesIn":45000,"packetsOut":12,"packetsIn":10,"wirePacketsOut":12,)"
            R"("wirePacketsIn":30,"start":"2026-02-02T02:40:05.000000000Z","durationMs":1500,"endReason":"fin",)"
            R"("policyGeneration":7,"flowId":"0123456789ab-12a05f200-dd65317d","monotonicNs":6500000000})");
}

TEST(EncodeLine, ADenialIsADropWithItsReason) {
  const std::string line = Line(Numbered(testing::DeniedRecord()));
  EXPECT_NE(line.find(R"("dst_ip":"203.0.113.5","dst_port":53,"protocol":"udp","verdict":"drop")"), std::string::npos);
  EXPECT_NE(line.find(R"("event":"denied")"), std::string::npos);
  EXPECT_NE(line.find(R"("reason":"no_rule","rule":"")"), std::string::npos);
}

TEST(EncodeLine, AFailedConnectionIsAllowedAndNamesTheNetwork) {
  flow::FlowRecord record = testing::EndRecord();
  record.reason = flow::Reason::kConnectRefused;
  record.end_reason = flow::EndReason::kFailed;
  const std::string line = Line(record);
  EXPECT_NE(line.find(R"("verdict":"allow")"), std::string::npos);
  EXPECT_NE(line.find(R"("reason":"connect_refused")"), std::string::npos);
  EXPECT_NE(line.find(R"("endReason":"failed")"), std::string::npos);
}

TEST(EncodeLine, KnownFactsAreAddedAndUnknownOnesLeftOut) {
  flow::FlowRecord record = testing::EndRecord();
  for (const char* key : {"traceId", "host", "cgroup", "pid", "comm"}) {
    EXPECT_EQ(Line(record).find(key), std::string::npos) << key;
  }
  record.trace_id = "t-1";
  record.host = "api.example.com";
  record.cgroup_id = 4711;
  record.cgroup = "/agents/a";
  record.pid = 99;
  record.comm = "curl";
  const std::string line = Line(record);
  EXPECT_NE(line.find(R"("traceId":"t-1")"), std::string::npos);
  EXPECT_NE(line.find(R"("host":"api.example.com","cgroupId":4711,"cgroup":"/agents/a","pid":99,"comm":"curl")"),
            std::string::npos);
}

TEST(EncodeLine, APolicyRecordHasUpstreamsKeysEmpty) {
  testing::FakeClock clock;
  const flow::FlowRecord record = Numbered(flow::PolicyRecord(testing::TestContext(), clock, 9, "abc"));
  EXPECT_EQ(Line(record),
            R"({"identity":"agent-1","src_ip":"","dst_ip":"","dst_port":0,"protocol":"","verdict":"","v":1,)"
            R"("eventId":"node-1/0123456789ab/42","seq":42,"node":"node-1","event":"policy",)"
            R"("ts":"2026-02-02T02:40:00.000000000Z","iface":"wg0","scope":"iface","mode":"enforce",)"
            R"("policyGeneration":9,"policyHash":"abc","monotonicNs":1000000000})");
  EXPECT_EQ(Message(record).substr(0, 83),
            R"({"agentId":"agent-1","traceId":"","direction":"","dstIp":"","dstPort":0,"bytes":0,")");
}

TEST(EncodeLine, ALossRecordNamesStageCountAndNumbers) {
  testing::FakeClock clock;
  flow::FlowRecord record =
      flow::LossRecord(testing::TestContext(), clock, flow::kStageSpoolCap, 5, clock.Now(), clock.Now());
  EXPECT_EQ(Line(record).find("firstSeq"), std::string::npos);
  record.lost_first_seq = 3;
  record.lost_last_seq = 7;
  record.lost_boot = "fedcba987654";
  EXPECT_NE(
      Line(record).find(R"("stage":"spool_cap","count":5,"from":"2026-02-02T02:40:00.000000000Z",)"
                        R"("to":"2026-02-02T02:40:00.000000000Z","firstSeq":3,"lastSeq":7,"lostBoot":"fedcba987654")"),
      std::string::npos);
}

TEST(EncodeLine, IsOneLineWhateverTheStringsHold) {
  flow::FlowRecord record = testing::EndRecord();
  record.host = std::string("a\nb\r\"\\\0\x01", 8) + std::string(5'000, '\x02');
  const std::string line = Line(record);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(line.find('\0'), std::string::npos);
  EXPECT_NE(line.find(R"("host":"a\nb\r\"\\\u0000\u0001\u0002)"), std::string::npos);
}

TEST(PutEscaped, KeepsWellFormedUtf8) {
  for (const char* text : {"", "plain", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xef\xbf\xbf",
                           "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf", "\x7f"}) {
    EXPECT_EQ(Escaped(text), text);
  }
}

TEST(PutEscaped, ReplacesEachByteOfBadUtf8) {
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(Escaped("a\xff"
                    "b"),
            "a" + r + "b");
  EXPECT_EQ(Escaped("\x80"), r);
  EXPECT_EQ(Escaped("\xc0\x80"), r + r);  // overlong
  EXPECT_EQ(Escaped("\xc1\xbf"), r + r);
  EXPECT_EQ(Escaped("\xe0\x9f\xbf"), r + r + r);  // overlong
  EXPECT_EQ(Escaped("\xed\xa0\x80"), r + r + r);  // surrogate
  EXPECT_EQ(Escaped("\xf0\x8f\xbf\xbf"), r + r + r + r);
  EXPECT_EQ(Escaped("\xf4\x90\x80\x80"), r + r + r + r);  // above U+10FFFF
  EXPECT_EQ(Escaped("\xf5\x80\x80\x80"), r + r + r + r);
  EXPECT_EQ(Escaped("\xe2\x82"), r + r);             // cut short
  EXPECT_EQ(Escaped("\xe2\x82\""), r + r + "\\\"");  // a quote is never swallowed
}

TEST(PutIp, IsAsIpAddressPrintsIt) {
  std::mt19937_64 random(testing::TestSeed());
  for (const char* text : {"::", "::1", "1::", "2001:db8::1", "2001:db8:0:1::", "2001:db8:0:1:1:1:1:1",
                           "0:1::", "2001:0:0:1::1", "1:0:0:2:0:0:0:3", "0.0.0.0", "255.255.255.255", "::ffff:0:1"}) {
    const IpAddress address = IpAddress::Parse(text).value();
    EXPECT_EQ(IpText(address), address.ToString());
  }
  for (int i = 0; i < 20'000; ++i) {
    uint8_t bytes[16];
    for (uint8_t& byte : bytes) byte = random() % 2 == 0 ? 0 : static_cast<uint8_t>(random());
    // Deprecated IPv4-compatible addresses ("::192.0.2.1" in inet_ntop) are printed as groups.
    bytes[0] |= 1;
    const IpAddress address = IpAddress::FromBytes(bytes);
    ASSERT_EQ(IpText(address), address.ToString());
  }
}

TEST(PutIp, PrintsEveryAddressSoThatItIsReadAgain) {
  std::mt19937_64 random(testing::TestSeed());
  for (int i = 0; i < 20'000; ++i) {
    uint8_t bytes[16];
    for (uint8_t& byte : bytes) byte = random() % 4 != 0 ? 0 : static_cast<uint8_t>(random());
    const IpAddress address = IpAddress::FromBytes(bytes);
    ASSERT_EQ(IpAddress::Parse(IpText(address)).value(), address);
  }
}

TEST(PutSecond, IsAsAbslPrintsIt) {
  std::mt19937_64 random(testing::TestSeed());
  for (int i = 0; i < 10'000; ++i) {
    const int64_t second = static_cast<int64_t>(random() % 18'446'744'072) - 9'223'372'036;
    char out[19];
    PutSecond(out, second);
    ASSERT_EQ(std::string(out, sizeof(out)),
              absl::FormatTime("%Y-%m-%dT%H:%M:%S", absl::FromUnixSeconds(second), absl::UTCTimeZone()));
  }
}

TEST(EncodeLine, TimesBeforeTheEpochKeepTheirNanoseconds) {
  flow::FlowRecord record = testing::StartRecord();
  record.ts = absl::FromUnixNanos(-1);
  EXPECT_NE(Line(record).find(R"("ts":"1969-12-31T23:59:59.999999999Z")"), std::string::npos);
}

TEST(EncodeLine, OneEncoderGivesTheSameAsANewOneEachTime) {
  std::mt19937_64 random(testing::TestSeed());
  Encoder encoder;
  for (int i = 0; i < 2'000; ++i) {
    const flow::FlowRecord record = testing::RandomRecord(random);
    std::string out;
    encoder.AppendLine(record, out);
    ASSERT_EQ(out, Line(record));
    encoder.AppendMessage(record, out);
    ASSERT_EQ(out, Line(record) + Message(record));
  }
}

}  // namespace
}  // namespace lattice::audit
