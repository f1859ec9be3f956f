#include "userspace/flow/record.h"

#include <gtest/gtest.h>

#include "tests/testing/flow_records.h"

namespace lattice::flow {
namespace {

TEST(EventId, ComesApartAgainAlsoWithSlashesInTheNode) {
  std::string node, boot;
  uint64_t seq = 0;
  ASSERT_TRUE(ParseEventId(EventId("rack/7/node", "0123456789ab", 18446744073709551615u), &node, &boot, &seq));
  EXPECT_EQ(node, "rack/7/node");
  EXPECT_EQ(boot, "0123456789ab");
  EXPECT_EQ(seq, 18446744073709551615u);
}

struct BadId {
  const char* name;
  const char* text;
};
const auto kBadIdName = [](const ::testing::TestParamInfo<BadId>& bad) { return std::string(bad.param.name); };

class BadEventId : public ::testing::TestWithParam<BadId> {};

TEST_P(BadEventId, IsRefused) {
  std::string node, boot;
  uint64_t seq = 0;
  EXPECT_FALSE(ParseEventId(GetParam().text, &node, &boot, &seq));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadEventId,
    ::testing::Values(BadId{.name = "Nothing", .text = ""}, BadId{.name = "OneSlash", .text = "/"},
                      BadId{.name = "TwoSlashes", .text = "//"}, BadId{.name = "NoBoot", .text = "node/1"},
                      BadId{.name = "NoNumber", .text = "node/boot/"}, BadId{.name = "Word", .text = "node/boot/x"},
                      BadId{.name = "NegativeNumber", .text = "node/boot/-1"},
                      BadId{.name = "Plus", .text = "node/boot/+1"},
                      BadId{.name = "BlankAfterIt", .text = "node/boot/1 "},
                      BadId{.name = "Hexadecimal", .text = "node/boot/0x1"},
                      BadId{.name = "AboveSixtyFourBits", .text = "node/boot/18446744073709551616"}),
    kBadIdName);

class BadFlowId : public ::testing::TestWithParam<BadId> {};

TEST_P(BadFlowId, IsRefused) {
  uint64_t start = 0;
  EXPECT_FALSE(ParseFlowId(GetParam().text, &start));
}

INSTANTIATE_TEST_SUITE_P(Cases, BadFlowId,
                         ::testing::Values(BadId{.name = "Nothing", .text = ""}, BadId{.name = "OneDash", .text = "-"},
                                           BadId{.name = "NoAddresses", .text = "b-1"},
                                           BadId{.name = "NoStart", .text = "b--1"},
                                           BadId{.name = "StartThatIsNoHex", .text = "b-g-1"},
                                           BadId{.name = "StartWithPrefix", .text = "b-0x1-1"},
                                           BadId{.name = "AddressesEmpty", .text = "b-1-"},
                                           BadId{.name = "AddressesThatAreNoHex", .text = "b-1-g"},
                                           BadId{.name = "BlankAfterIt", .text = "b-1-1 "},
                                           BadId{.name = "StartAboveSixtyFourBits", .text = "b-10000000000000000-1"},
                                           BadId{.name = "AddressesAboveThirtyTwoBits", .text = "b-1-100000000"}),
                         kBadIdName);

TEST(FlowId, IsTheSameForAllRecordsOfAFlow) {
  FlowRecord start = testing::StartRecord(), end = testing::EndRecord();
  start.boot = end.boot = "0123456789ab";
  EXPECT_EQ(FlowId(start), FlowId(end));
  EXPECT_NE(FlowId(start), FlowId(testing::StartRecord(1)));
}

TEST(FlowId, TellsTheStartOfTheFlow) {
  FlowRecord record = testing::StartRecord();
  record.boot = "b";
  record.start_monotonic_ns = 0xfedcba9876543210u;
  uint64_t start = 0;
  ASSERT_TRUE(ParseFlowId(FlowId(record), &start));
  EXPECT_EQ(start, record.start_monotonic_ns);
}

TEST(FlowId, NeverChangesItsForm) {
  FlowRecord record = testing::StartRecord();
  record.boot = "0123456789ab";
  EXPECT_EQ(FlowId(record), "0123456789ab-12a05f200-dd65317d");
}

TEST(FlowId, DiffersByEveryPartOfTheIdentity) {
  const FlowRecord record = testing::StartRecord();
  const auto changed = [&](auto change) {
    FlowRecord other = record;
    change(other);
    return AddressHash(other) != AddressHash(record);
  };
  EXPECT_TRUE(changed([](FlowRecord& r) { r.src = r.dst; }));
  EXPECT_TRUE(changed([](FlowRecord& r) { r.dst = IpAddress(); }));
  EXPECT_TRUE(changed([](FlowRecord& r) { ++r.src_port; }));
  EXPECT_TRUE(changed([](FlowRecord& r) { ++r.dst_port; }));
  EXPECT_TRUE(changed([](FlowRecord& r) { ++r.protocol; }));
  EXPECT_TRUE(changed([](FlowRecord& r) { r.scope = LAT_SCOPE_CGROUP; }));
}

TEST(RecordIdentity, OfAKernelRecordIsThatOfItsFlowRecord) {
  for (const lat_record& raw : {testing::KernelStart(), testing::KernelEnd(), testing::KernelDenied()}) {
    lat_record ingress = raw;
    ingress.direction = LAT_INGRESS;
    for (const lat_record& record : {raw, ingress}) {
      EXPECT_EQ(RecordIdentity::Of(record), RecordIdentity::Of(FromKernel(record, testing::TestContext())));
    }
  }
}

TEST(RecordIdentity, DiffersByTimeEventAndAddresses) {
  const RecordIdentity identity = RecordIdentity::Of(testing::KernelStart());
  EXPECT_FALSE(identity == RecordIdentity::Of(testing::KernelEnd()));
  EXPECT_FALSE(identity == RecordIdentity::Of(testing::KernelStart(1)));
  lat_record later = testing::KernelStart();
  ++later.time_ns;
  EXPECT_FALSE(identity == RecordIdentity::Of(later));
}

}  // namespace
}  // namespace lattice::flow
