// Two engines against each other through a wire that harms packets: the stream that goes in comes out.
#include <cstdlib>
#include <string>

#include "gtest/gtest.h"
#include "tests/testing/netstack_network.h"
#include "tests/testing/seed.h"

namespace lattice::testing {
namespace {

using netstack::CloseReason;
using netstack::Congestion;
using netstack::kMillisecond;
using netstack::kSecond;

struct Case {
  std::string name;
  Wire wire;
  uint64_t up = 1 << 20, down = 1 << 20;
  bool v6 = false;
  Congestion congestion = Congestion::kBbr;
};

std::string CaseName(const ::testing::TestParamInfo<Case>& info) {
  return info.param.name;
}

class Transfer : public ::testing::TestWithParam<Case> {};

TEST_P(Transfer, WhatGoesInComesOut) {
  const Case& c = GetParam();
  netstack::Options options;
  options.congestion = c.congestion;
  SimNetwork network(c.wire, TestSeed(), options, options, c.v6);
  network.b().Listen(80, {.send_bytes = c.down, .seed = 2, .peer_seed = 1});
  Stream* up = network.a().Connect({network.b().address(), 80}, {.send_bytes = c.up, .seed = 1, .peer_seed = 2});
  const bool done =
      network.Run([&] { return up->ended && network.b().streams().size() == 1 && network.b().streams()[0]->ended; },
                  3600 * kSecond);
  ASSERT_EQ(network.b().streams().size(), 1u);
  const Stream& down = *network.b().streams()[0];
  EXPECT_TRUE(done) << up->sent << " sent, " << up->received << " of " << c.down << " received; peer " << down.sent
                    << " sent, " << down.received << " of " << c.up << " received";
  EXPECT_EQ(up->received, c.down);
  EXPECT_EQ(down.received, c.up);
  EXPECT_FALSE(up->mismatch);
  EXPECT_FALSE(down.mismatch);
  EXPECT_EQ(up->reason, CloseReason::kFinished);
  EXPECT_EQ(down.reason, CloseReason::kFinished);
  network.RunFor(200 * kSecond);
  for (SimHost* host : {&network.a(), &network.b()}) {
    EXPECT_EQ(host->stack().connections(), 0u);
    EXPECT_EQ(host->stack().buffered_bytes(), 0u);
    EXPECT_EQ(host->stack().time_wait(), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Wires, Transfer,
    ::testing::Values(
        Case{.name = "OneByte", .up = 1, .down = 1}, Case{.name = "Nothing", .up = 0, .down = 0}, Case{.name = "Clean"},
        Case{.name = "CleanV6", .v6 = true}, Case{.name = "CleanCubic", .congestion = Congestion::kCubic},
        Case{.name = "LargeOneWay",
             .wire = {.bits_per_second = 1'000'000'000, .queue_bytes = 4 << 20},
             .up = 64 << 20,
             .down = 0},
        Case{.name = "Loss1", .wire = {.loss = 0.01}, .up = 8 << 20},
        Case{.name = "Loss1Cubic", .wire = {.loss = 0.01}, .congestion = Congestion::kCubic},
        Case{.name = "Loss10V6", .wire = {.loss = 0.1}, .v6 = true},
        Case{.name = "Loss10Cubic", .wire = {.loss = 0.1}, .congestion = Congestion::kCubic},
        Case{.name = "Loss30", .wire = {.loss = 0.3}, .up = 100'000, .down = 100'000},
        Case{.name = "Duplicates", .wire = {.duplicate = 0.2}}, Case{.name = "Reordering", .wire = {.reorder = 0.3}},
        Case{.name = "ReorderingCubic", .wire = {.reorder = 0.3}, .congestion = Congestion::kCubic},
        Case{.name = "Corruption", .wire = {.corrupt = 0.02}},
        Case{.name = "CorruptionV6", .wire = {.corrupt = 0.02}, .v6 = true},
        Case{.name = "Narrow", .wire = {.bits_per_second = 2'000'000, .queue_bytes = 20'000}},
        Case{.name = "NarrowCubic",
             .wire = {.bits_per_second = 2'000'000, .queue_bytes = 20'000},
             .congestion = Congestion::kCubic},
        Case{.name = "All",
             .wire = {.bits_per_second = 50'000'000, .loss = 0.02, .duplicate = 0.02, .corrupt = 0.02, .reorder = 0.05},
             .up = 4 << 20},
        Case{.name = "AllCubicV6",
             .wire = {.bits_per_second = 50'000'000, .loss = 0.02, .duplicate = 0.02, .corrupt = 0.02, .reorder = 0.05},
             .v6 = true,
             .congestion = Congestion::kCubic}),
    CaseName);

}  // namespace
}  // namespace lattice::testing
