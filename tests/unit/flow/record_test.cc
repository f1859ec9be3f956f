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

TEST(EventId, RefusesOtherForms) {
  std::string node, boot;
  uint64_t seq = 0;
  for (const char* text : {"", "/", "//", "node/1", "node/boot/", "node/boot/x", "node/boot/-1", "node/boot/1 ",
                           "node/boot/18446744073709551616"}) {
    EXPECT_FALSE(ParseEventId(text, &node, &boot, &seq)) << text;
  }
}

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
  for (const char* text : {"", "-", "b-1", "b--1", "b-g-1", "b-1-", "b-10000000000000000-1"}) {
    EXPECT_FALSE(ParseFlowId(text, &start)) << text;
  }
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
