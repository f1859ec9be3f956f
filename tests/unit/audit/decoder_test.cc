#include "userspace/audit/decoder.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/flow_records.h"
#include "tests/testing/seed.h"
#include "userspace/audit/chain.h"
#include "userspace/audit/encoder.h"

namespace lattice::audit {
namespace {

std::string GoodLine() {
  flow::FlowRecord record = testing::EndRecord();
  record.node = "node-1";
  record.boot = "0123456789ab";
  record.seq = 42;
  std::string line;
  Encoder().AppendLine(record, line);
  return line;
}

TEST(DecodeLine, GivesBackEveryRecordThatWasEncoded) {
  std::mt19937_64 random(testing::TestSeed());
  Encoder encoder;
  HashChain chain;
  for (int i = 0; i < 20'000; ++i) {
    const flow::FlowRecord record = testing::RandomRecord(random);
    std::string line;
    encoder.AppendLine(record, line);
    chain.Seal(line, 0);
    const absl::StatusOr<DecodedLine> decoded = DecodeLine(line);
    ASSERT_TRUE(decoded.ok()) << decoded.status() << "\n" << line;
    ASSERT_EQ(decoded->record, record) << line;
    ASSERT_EQ(decoded->h, chain.head());
  }
}

TEST(DecodeLine, BadUtf8ComesBackAsReplacementCharacters) {
  flow::FlowRecord record = testing::EndRecord();
  record.boot = record.node = "n";
  record.host =
      "a\xff"
      "b";
  std::string line;
  Encoder().AppendLine(record, line);
  EXPECT_EQ(DecodeLine(line)->record.host,
            "a\xef\xbf\xbd"
            "b");
}

TEST(DecodeLine, AWouldBeDenialComesBackAsOne) {
  lat_record raw = testing::KernelDenied();
  raw.verdict = LAT_AUDIT;
  flow::FlowRecord record = flow::FromKernel(raw, testing::TestContext());
  record.boot = record.node = "n";
  std::string line;
  Encoder().AppendLine(record, line);
  EXPECT_EQ(DecodeLine(line)->record.verdict, LAT_AUDIT);
}

TEST(DecodeLine, SkipsKeysOfNewerWriters) {
  const std::string line = absl::StrReplaceAll(
      GoodLine(), {{"\"seq\":42,", "\"seq\":42,\"new\":{\"seq\":[1,{\"seq\":2}],\"x\":null},\"other\":-1.5e3,"}});
  const absl::StatusOr<DecodedLine> decoded = DecodeLine(line);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->record.seq, 42u);
}

TEST(DecodeLine, KeysMayComeInAnyOrder) {
  std::string line = GoodLine();
  line = absl::StrReplaceAll(
      line, {{"{\"identity\":\"agent-1\",", "{"}, {"\"monotonicNs\":", "\"identity\":\"agent-1\",\"monotonicNs\":"}});
  ASSERT_TRUE(DecodeLine(line).ok());
  EXPECT_EQ(DecodeLine(line)->record.agent_id, "agent-1");
}

struct BadCase {
  const char* name;
  const char* from;  // in the good line
  const char* to;
  const char* error;  // part of it
};

class DecodeBadLine : public ::testing::TestWithParam<BadCase> {};

TEST_P(DecodeBadLine, IsRefusedWithItsReason) {
  const BadCase& bad = GetParam();
  const std::string good = GoodLine();
  ASSERT_TRUE(DecodeLine(good).ok());
  ASSERT_TRUE(absl::StrContains(good, bad.from)) << bad.from;
  const std::string line = absl::StrReplaceAll(good, {{bad.from, bad.to}});
  const absl::StatusOr<DecodedLine> decoded = DecodeLine(line);
  EXPECT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument) << line;
  EXPECT_TRUE(absl::StrContains(decoded.status().message(), bad.error)) << decoded.status();
}

INSTANTIATE_TEST_SUITE_P(
    Cases, DecodeBadLine,
    ::testing::Values(
        BadCase{"NumberAsString", "\"dst_port\":443", "\"dst_port\":\"443\"", "\"dst_port\": expected a number"},
        BadCase{"NumberAsFraction", "\"dst_port\":443", "\"dst_port\":443.0", "\"dst_port\": expected a number"},
        BadCase{"NumberAsExponent", "\"dst_port\":443", "\"dst_port\":4e2", "\"dst_port\": expected a number"},
        BadCase{"NegativeNumber", "\"bytesOut\":1200", "\"bytesOut\":-1", "\"bytesOut\": expected a number"},
        BadCase{"PortAboveSixteenBits", "\"srcPort\":40000", "\"srcPort\":65536",
                "\"srcPort\": expected at most 65535"},
        BadCase{"GenerationAboveThirtyTwoBits", "\"policyGeneration\":7", "\"policyGeneration\":4294967296", "at most"},
        BadCase{"NumberAboveSixtyFourBits", "\"bytesIn\":45000", "\"bytesIn\":18446744073709551616", "\"bytesIn\""},
        BadCase{"StringAsNumber", "\"rule\":\"web\"", "\"rule\":7", "\"rule\": expected a string"},
        BadCase{"StringAsNull", "\"iface\":\"wg0\"", "\"iface\":null", "\"iface\": expected a string"},
        BadCase{"StringAsObject", "\"iface\":\"wg0\"", "\"iface\":{}", "\"iface\": expected a string"},
        BadCase{"StringAsArray", "\"iface\":\"wg0\"", "\"iface\":[\"wg0\"]", "\"iface\": expected a string"},
        BadCase{"StringAsBoolean", "\"iface\":\"wg0\"", "\"iface\":true", "\"iface\": expected a string"},
        BadCase{"MissingKey", "\"seq\":42,", "", "\"seq\": missing"},
        BadCase{"MissingUpstreamKey", "\"identity\":\"agent-1\",", "", "\"identity\": missing"},
        BadCase{"DuplicateKey", "\"seq\":42,", "\"seq\":42,\"seq\":42,", "\"seq\" is there twice"},
        BadCase{"NewerVersion", "\"v\":1", "\"v\":2", "\"v\": this program reads version 1"},
        BadCase{"SeqOtherThanInEventId", "\"seq\":42", "\"seq\":43", "\"eventId\": node and seq say otherwise"},
        BadCase{"NodeOtherThanInEventId", "\"node\":\"node-1\"", "\"node\":\"n\"", "\"eventId\""},
        BadCase{"EventIdWithoutBoot", "node-1/0123456789ab/42", "node-1/42", "\"eventId\""},
        BadCase{"UnknownEvent", "\"event\":\"end\"", "\"event\":\"finish\"", "\"event\": \"finish\""},
        BadCase{"UnknownVerdict", "\"verdict\":\"allow\"", "\"verdict\":\"deny\"", "\"verdict\": \"deny\""},
        BadCase{"UnknownReason", "\"allow_rule\"", "\"unknown\"", "\"reason\": \"unknown\""},
        BadCase{"UnknownEndReason", "\"fin\"", "\"FIN\"", "\"endReason\": \"FIN\""},
        BadCase{"UnknownDirection", "\"egress\"", "\"out\"", "\"direction\": \"out\""},
        BadCase{"UnknownScope", "\"scope\":\"iface\"", "\"scope\":\"\"", "\"scope\""},
        BadCase{"UnknownMode", "\"enforce\"", "\"off\"", "\"mode\": \"off\""},
        BadCase{"UnknownProtocol", "\"tcp\"", "\"256\"", "\"protocol\": \"256\""},
        BadCase{"NoAddress", "192.0.2.7", "192.0.2", "\"src_ip\": expected an IP address"},
        BadCase{"EmptyAddressInAFlow", "198.51.100.9", "", "\"dst_ip\": expected an IP address"},
        BadCase{"TimeWithOffset", "06.500000000Z", "06.500000000+00:00", "\"ts\": expected RFC 3339"},
        BadCase{"TimeWithoutNanoseconds", "06.500000000Z", "06Z", "\"ts\": expected RFC 3339"},
        BadCase{"TimeWithLetters", "06.500000000Z", "06.50000000xZ", "\"ts\": expected RFC 3339"},
        BadCase{"TimeOnFebruary30", "2026-02-02T02:40:06", "2026-02-30T02:40:06", "\"ts\": expected RFC 3339"},
        BadCase{"TimeAtHour24", "2026-02-02T02:40:06", "2026-02-02T24:40:06", "\"ts\": expected RFC 3339"},
        BadCase{"TimeBeyondNanoseconds", "2026-02-02T02:40:06", "2263-02-02T02:40:06", "\"ts\": expected RFC 3339"},
        BadCase{"FlowIdWithoutStart", "0123456789ab-12a05f200-", "0123456789ab-", "\"flowId\": expected"},
        BadCase{"TwoObjects", "{\"identity\"", "{}{\"identity\"", "not JSON"},
        BadCase{"Array", "{\"identity\"", "[{\"identity\"", "not an object"},
        BadCase{"CutShort", "6500000000}", "65", "not JSON"},
        BadCase{"TrailingComma", "6500000000}", "6500000000,}", "not JSON"},
        BadCase{"TrailingText", "6500000000}", "6500000000}x", "not JSON"},
        BadCase{"BadUtf8", "agent-1", "agent-\xff", "not JSON"},
        BadCase{"RawControlByte", "agent-1", "agent-\x01", "not JSON"},
        BadCase{"LoneSurrogate", "agent-1", "\\ud800", "not JSON"},
        BadCase{"HashTooShort", "6500000000}", "6500000000,\"h\":\"00\"}", "\"h\": expected 64"}),
    [](const ::testing::TestParamInfo<BadCase>& bad) { return std::string(bad.param.name); });

class DecodeBadLoss : public ::testing::TestWithParam<BadCase> {};

TEST_P(DecodeBadLoss, IsRefusedWithItsReason) {
  const BadCase& bad = GetParam();
  const testing::FakeClock clock;
  flow::FlowRecord record =
      flow::LossRecord(testing::TestContext(), clock, flow::kStageDisk, 3, clock.Now(), clock.Now());
  record.node = record.boot = "n";
  record.lost_first_seq = 4;
  record.lost_last_seq = 6;
  record.lost_boot = "m";
  std::string line;
  Encoder().AppendLine(record, line);
  ASSERT_TRUE(DecodeLine(line).ok()) << DecodeLine(line).status();
  ASSERT_TRUE(absl::StrContains(line, bad.from)) << bad.from;
  const absl::Status status = DecodeLine(absl::StrReplaceAll(line, {{bad.from, bad.to}})).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), bad.error)) << status;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, DecodeBadLoss,
    ::testing::Values(
        BadCase{.name = "NoStage", .from = "\"stage\":\"disk\",", .to = "", .error = "\"stage\": missing"},
        BadCase{
            .name = "CountAsString", .from = "\"count\":3", .to = "\"count\":\"3\"", .error = "\"count\": expected"},
        BadCase{.name = "NegativeCount", .from = "\"count\":3", .to = "\"count\":-3", .error = "\"count\": expected"},
        BadCase{.name = "NoFrom", .from = "\"from\":", .to = "\"since\":", .error = "\"from\": missing"},
        BadCase{.name = "ToAsNumber", .from = "\"to\":", .to = "\"to\":1,\"until\":", .error = "\"to\": expected"},
        // The encoder would leave the others out: what is read must be what is written.
        BadCase{
            .name = "LastNumberWithoutFirst", .from = "\"firstSeq\":4,", .to = "", .error = "\"firstSeq\": missing"},
        BadCase{.name = "FirstNumberZero", .from = "\"firstSeq\":4", .to = "\"firstSeq\":0", .error = "\"firstSeq\""},
        BadCase{.name = "BootWithoutNumbers",
                .from = "\"firstSeq\":4,\"lastSeq\":6,",
                .to = "",
                .error = "\"firstSeq\": missing"},
        BadCase{.name = "BootAsNumber", .from = "\"lostBoot\":\"m\"", .to = "\"lostBoot\":1", .error = "\"lostBoot\""}),
    [](const ::testing::TestParamInfo<BadCase>& bad) { return std::string(bad.param.name); });

TEST(DecodeLine, RefusesWhatIsNoObject) {
  for (const char* text : {"", " ", "null", "7", "\"x\"", "[]", "{", "}", "nul", "\xff"}) {
    EXPECT_EQ(DecodeLine(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(DecodeLine, RefusesALineThatIsTooLongUnread) {
  std::string line = GoodLine();
  line.insert(line.size() - 1, std::string(kMaxLineBytes, ' '));
  EXPECT_TRUE(absl::StrContains(DecodeLine(line).status().message(), "at most 65536"));
}

TEST(DecodeLine, SurvivesDeepNesting) {
  const std::string deep = "{\"x\":" + std::string(30'000, '[') + std::string(30'000, ']') + "}";
  EXPECT_FALSE(DecodeLine(deep).ok());
}

TEST(DecodeLine, SurvivesEveryCutAndEveryFlippedBit) {
  const std::string good = GoodLine();
  for (size_t i = 0; i < good.size(); ++i) {
    EXPECT_FALSE(DecodeLine(absl::string_view(good).substr(0, i)).ok()) << i;
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = good;
      flipped[i] = static_cast<char>(flipped[i] ^ 1 << bit);
      (void)DecodeLine(flipped);  // many are other valid records; none may crash
    }
  }
}

}  // namespace
}  // namespace lattice::audit
