#include "userspace/flow/from_kernel.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/testing/fake_clock.h"
#include "tests/testing/flow_records.h"

namespace lattice::flow {
namespace {

TEST(FromKernel, OfAnEgressFlowTheRemoteSideIsTheDestination) {
  const FlowRecord record = testing::EndRecord();
  EXPECT_EQ(record.direction, LAT_EGRESS);
  EXPECT_EQ(record.src.ToString(), "192.0.2.7");
  EXPECT_EQ(record.src_port, 40000);
  EXPECT_EQ(record.dst.ToString(), "198.51.100.9");
  EXPECT_EQ(record.dst_port, 443);
  EXPECT_EQ(record.local(), record.src);
  EXPECT_EQ(record.remote_port(), 443);
}

TEST(FromKernel, OfAnIngressFlowTheRemoteSideIsTheSource) {
  lat_record raw = testing::KernelEnd();
  raw.direction = LAT_INGRESS;
  const FlowRecord record = FromKernel(raw, testing::TestContext());
  EXPECT_EQ(record.src.ToString(), "198.51.100.9");
  EXPECT_EQ(record.src_port, 443);
  EXPECT_EQ(record.dst.ToString(), "192.0.2.7");
  EXPECT_EQ(record.dst_port, 40000);
  EXPECT_EQ(record.local(), record.dst);
}

TEST(FromKernel, CountersKeepTheirDirectionWhoeverBegan) {
  lat_record raw = testing::KernelEnd();
  for (const lat_direction direction : {LAT_EGRESS, LAT_INGRESS}) {
    raw.direction = direction;
    const FlowRecord record = FromKernel(raw, testing::TestContext());
    EXPECT_EQ(record.bytes_out, 1'200u);
    EXPECT_EQ(record.bytes_in, 45'000u);
    EXPECT_EQ(record.packets_out, 12u);
    EXPECT_EQ(record.packets_in, 10u);
    EXPECT_EQ(record.wire_packets_out, 12u);
    EXPECT_EQ(record.wire_packets_in, 30u);
  }
}

TEST(FromKernel, KernelTimesBecomeWallTimes) {
  const FlowRecord record = testing::EndRecord();
  EXPECT_EQ(absl::ToUnixNanos(record.start), 1'770'000'005'000'000'000);
  EXPECT_EQ(absl::ToUnixNanos(record.ts), 1'770'000'006'500'000'000);
  EXPECT_EQ(record.monotonic_ns, 6'500'000'000u);
  EXPECT_EQ(record.start_monotonic_ns, 5'000'000'000u);
}

TEST(FromKernel, DurationIsFromTheFirstToTheLastPacket) {
  lat_record raw = testing::KernelEnd();
  EXPECT_EQ(FromKernel(raw, testing::TestContext()).duration_ms, 1'500u);
  raw.idle_ns = 400'000'000;
  EXPECT_EQ(FromKernel(raw, testing::TestContext()).duration_ms, 1'100u);
}

TEST(FromKernel, DurationIsNeverNegativeWhereJiffiesReachBackBeforeTheStart) {
  lat_record raw = testing::KernelEnd();
  for (const uint64_t idle_ns : {uint64_t{1'500'000'001}, uint64_t{7'000'000'000}, UINT64_MAX}) {
    raw.idle_ns = idle_ns;
    EXPECT_EQ(FromKernel(raw, testing::TestContext()).duration_ms, 0u) << idle_ns;
  }
}

TEST(FromKernel, TheRuleIsNamedBySlot) {
  EXPECT_EQ(testing::StartRecord().rule, "web");
  EXPECT_EQ(testing::DeniedRecord().rule, "");
  Context without_names = testing::TestContext();
  without_names.rule_name = nullptr;
  EXPECT_EQ(FromKernel(testing::KernelStart(), without_names).rule, "");
}

TEST(FromKernel, ModeTellsWhetherADropHappened) {
  Context context = testing::TestContext();
  context.mode = LAT_MODE_AUDIT;
  lat_record raw = testing::KernelDenied();
  raw.verdict = LAT_AUDIT;
  EXPECT_EQ(FromKernel(raw, context).mode, LAT_MODE_AUDIT);
  raw.verdict = LAT_DENY;  // audit mode too drops what it can't judge
  EXPECT_EQ(FromKernel(raw, context).mode, LAT_MODE_ENFORCE);
  EXPECT_EQ(FromKernel(testing::KernelStart(), context).mode, LAT_MODE_AUDIT);
}

TEST(FromKernel, CgroupScopeNamesNoInterface) {
  Context context = testing::TestContext();
  context.cgroup_path = [](uint64_t id) { return id == 4711 ? absl::string_view("/agents/a") : absl::string_view(); };
  lat_record raw = testing::KernelStart();
  raw.scope = LAT_SCOPE_CGROUP;
  raw.cgroup_id = 4711;
  const FlowRecord record = FromKernel(raw, context);
  EXPECT_EQ(record.iface, "");
  EXPECT_EQ(record.cgroup_id, 4711u);
  EXPECT_EQ(record.cgroup, "/agents/a");
}

TEST(PolicyRecord, CarriesGenerationAndHash) {
  testing::FakeClock clock;
  const FlowRecord record = PolicyRecord(testing::TestContext(), clock, 9, "abc");
  EXPECT_EQ(record.event, Event::kPolicy);
  EXPECT_FALSE(record.is_flow());
  EXPECT_EQ(record.policy_generation, 9u);
  EXPECT_EQ(record.policy_hash, "abc");
  EXPECT_EQ(record.agent_id, "agent-1");
  EXPECT_EQ(record.ts, clock.Now());
}

TEST(LossRecord, CarriesStageCountAndTime) {
  testing::FakeClock clock;
  const absl::Time from = clock.Now() - absl::Seconds(3);
  const FlowRecord record = LossRecord(testing::TestContext(), clock, kStageDeniedTable, 12, from, clock.Now());
  EXPECT_EQ(record.event, Event::kLoss);
  EXPECT_EQ(record.stage, "denied_table");
  EXPECT_EQ(record.lost_count, 12u);
  EXPECT_EQ(record.lost_from, from);
  EXPECT_EQ(record.lost_to, clock.Now());
}

TEST(MeasureClockOffset, TakesKernelTimesToTheWall) {
  testing::FakeClock clock(absl::FromUnixSeconds(1'000));
  EXPECT_EQ(MeasureClockOffset(clock), 999'000'000'000);
}

}  // namespace
}  // namespace lattice::flow
