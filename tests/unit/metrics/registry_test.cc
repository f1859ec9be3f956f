#include "userspace/metrics/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

#include "tests/testing/command.h"

namespace lattice::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Registry, WritesHelpTypeAndSamplesInTheOrderOfDeclaration) {
  Registry registry;
  const FamilyId records = registry.Declare(Type::kCounter, "lattice_records_total", "Records written.");
  const FamilyId entries = registry.Declare(Type::kGauge, "lattice_entries", "Flows in the table.", {"iface"});
  registry.AddGauge(entries, {"wg0"}).Set(1.5);
  registry.AddCounter(records).Increment(7);
  EXPECT_EQ(registry.Render(),
            "# HELP lattice_records_total Records written.\n"
            "# TYPE lattice_records_total counter\n"
            "lattice_records_total 7\n"
            "# HELP lattice_entries Flows in the table.\n"
            "# TYPE lattice_entries gauge\n"
            "lattice_entries{iface=\"wg0\"} 1.5\n");
}

TEST(Registry, CallsCollectorsAtEachScrape) {
  Registry registry;
  const FamilyId packets = registry.Declare(Type::kCounter, "packets_total", "Packets.", {"direction"});
  uint64_t kernel_counter = 1;
  registry.AddCollector([&](Collection& out) { out.Count(packets, {"egress"}, kernel_counter); });
  EXPECT_THAT(registry.Render(), HasSubstr("packets_total{direction=\"egress\"} 1\n"));
  kernel_counter = std::numeric_limits<uint64_t>::max();
  EXPECT_THAT(registry.Render(), HasSubstr("packets_total{direction=\"egress\"} 18446744073709551615\n"));
}

TEST(Registry, LeavesOutAFamilyWithoutSamples) {
  Registry registry;
  registry.Declare(Type::kGauge, "lattice_nothing", "Never set.");
  EXPECT_EQ(registry.Render(), "");
}

TEST(Registry, WritesTheSameSeriesOnce) {
  Registry registry;
  const FamilyId errors = registry.Declare(Type::kCounter, "errors_total", "Errors.", {"errno"});
  const FamilyId state = registry.Declare(Type::kGauge, "state", "State.");
  registry.AddCounter(errors, {"EBUSY"}).Increment(2);
  registry.AddCollector([&](Collection& out) {
    out.Count(errors, {"EBUSY"}, 3);
    out.Set(state, {}, 1);
    out.Set(state, {}, 0);
  });
  EXPECT_THAT(registry.Render(), HasSubstr("errors_total{errno=\"EBUSY\"} 5\n"));
  EXPECT_THAT(registry.Render(), HasSubstr("\nstate 0\n"));
}

TEST(Registry, EscapesLabelValuesAndHelp) {
  Registry registry;
  const FamilyId hits = registry.Declare(Type::kCounter, "hits_total", "A \"line\"\nand \\ more.", {"rule"});
  registry.AddCollector([&](Collection& out) { out.Count(hits, {"a\"b\\c\nd"}, 1); });
  EXPECT_EQ(registry.Render(),
            "# HELP hits_total A \"line\"\\nand \\\\ more.\n"
            "# TYPE hits_total counter\n"
            "hits_total{rule=\"a\\\"b\\\\c\\nd\"} 1\n");
}

TEST(Registry, PutsSeriesOverTheLimitIntoOther) {
  Registry registry;
  const FamilyId hits = registry.Declare(Type::kCounter, "hits_total", "Hits.", {"rule", "hook"}, 3);
  registry.AddCollector([&](Collection& out) {
    for (const char* rule : {"a", "b", "c", "d"}) out.Count(hits, {rule, "tc"}, 10);
    out.Count(hits, {"a", "tc"}, 1);  // known, so it is not over the limit
  });
  const std::string text = registry.Render();
  EXPECT_THAT(text, HasSubstr("hits_total{rule=\"a\",hook=\"tc\"} 11\n"));
  EXPECT_THAT(text, HasSubstr("hits_total{rule=\"b\",hook=\"tc\"} 10\n"));
  EXPECT_THAT(text, HasSubstr("hits_total{rule=\"other\",hook=\"other\"} 20\n"));
  EXPECT_THAT(text, Not(HasSubstr("rule=\"c\"")));
}

struct NumberCase {
  double value;
  const char* want;
};

TEST(Registry, WritesNumbersAsShortAsTheyAreExact) {
  Registry registry;
  Gauge& gauge = registry.AddGauge(registry.Declare(Type::kGauge, "number", "A number."));
  for (const NumberCase& c :
       {NumberCase{0, "0"}, NumberCase{-1, "-1"}, NumberCase{0.1, "0.1"}, NumberCase{1e21, "1e+21"},
        NumberCase{1.0 / 3, "0.33333333333333331"}, NumberCase{4.9e-324, "4.94065645841247e-324"},
        NumberCase{HUGE_VAL, "+Inf"}, NumberCase{-HUGE_VAL, "-Inf"}, NumberCase{NAN, "NaN"}}) {
    gauge.Set(c.value);
    EXPECT_THAT(registry.Render(), HasSubstr(absl::StrCat("\nnumber ", c.want, "\n")));
  }
}

TEST(Histogram, CountsCumulativelyWithItsBoundsInside) {
  Registry registry;
  const FamilyId apply = registry.Declare(Type::kHistogram, "apply_seconds", "Time to apply.", {"iface"});
  Histogram& histogram = registry.AddHistogram(apply, {0.005, 0.25}, {"wg0"});
  for (double seconds : {0.001, 0.005, 0.1, 3.0}) histogram.Observe(seconds);
  EXPECT_EQ(registry.Render(),
            "# HELP apply_seconds Time to apply.\n"
            "# TYPE apply_seconds histogram\n"
            "apply_seconds_bucket{iface=\"wg0\",le=\"0.005\"} 2\n"
            "apply_seconds_bucket{iface=\"wg0\",le=\"0.25\"} 3\n"
            "apply_seconds_bucket{iface=\"wg0\",le=\"+Inf\"} 4\n"
            "apply_seconds_sum{iface=\"wg0\"} 3.106\n"
            "apply_seconds_count{iface=\"wg0\"} 4\n");
}

TEST(Registry, TakesUpdatesFromOtherThreadsWhileItRenders) {
  Registry registry;
  Counter& counter = registry.AddCounter(registry.Declare(Type::kCounter, "events_total", "Events."));
  Histogram& histogram = registry.AddHistogram(registry.Declare(Type::kHistogram, "seconds", "Time."), {1});
  std::thread other([&] {
    for (int i = 0; i < 10'000; ++i) {
      counter.Increment();
      histogram.Observe(2);
    }
  });
  for (int i = 0; i < 50; ++i) registry.Render();
  other.join();
  EXPECT_THAT(registry.Render(), HasSubstr("events_total 10000\n"));
  EXPECT_THAT(registry.Render(), HasSubstr("seconds_count 10000\n"));
}

TEST(RegistryDeathTest, RefusesWhatWouldNotBeAValidOrBoundedExposition) {
  Registry registry;
  const FamilyId one = registry.Declare(Type::kCounter, "one_total", "One.", {"iface"});
  EXPECT_DEATH(registry.Declare(Type::kCounter, "one_total", "Again."), "declared twice");
  EXPECT_DEATH(registry.Declare(Type::kGauge, "1st", "Bad name."), "1st");
  EXPECT_DEATH(registry.Declare(Type::kGauge, "a-b", "Bad name."), "a-b");
  EXPECT_DEATH(registry.Declare(Type::kCounter, "one", "No suffix."), "_total");
  EXPECT_DEATH(registry.Declare(Type::kGauge, "flows", "Flows.", {"dst_ip"}), "not bounded");
  EXPECT_DEATH(registry.Declare(Type::kGauge, "flows", "Flows.", {"agent"}), "not bounded");
  EXPECT_DEATH(registry.AddGauge(one, {"wg0"}), "is a counter");
  EXPECT_DEATH(registry.AddCounter(one, {}), "one_total");
  registry.AddCounter(one, {"wg0"});
  EXPECT_DEATH(registry.AddCounter(one, {"wg0"}), "added twice");
}

TEST(Registry, PassesPromtool) {
  Registry registry;
  registry.AddCounter(registry.Declare(Type::kCounter, "lattice_dp_audit_records_written_total", "Records."))
      .Increment();
  const FamilyId hits =
      registry.Declare(Type::kCounter, "lattice_dp_rule_hits_total", "Packets by the rule that judged them.", {"rule"});
  const FamilyId apply = registry.Declare(Type::kHistogram, "lattice_dp_policy_apply_duration_seconds",
                                          "Time from the text of a policy to its publication.");
  registry.AddHistogram(apply, {0.001, 0.01, 0.1}).Observe(0.02);
  const FamilyId connected = registry.Declare(Type::kGauge, "lattice_dp_nats_connected", "1 while connected to NATS.");
  registry.AddGauge(connected).Set(1);
  registry.AddCollector([&](Collection& out) { out.Count(hits, {"0.0.0.0/0:443 \"quoted\\\" \n"}, 1); });
  const std::string text = registry.Render();
  const auto result = lattice::testing::RunCommand({"promtool", "check", "metrics"}, {.input = text});
  EXPECT_EQ(result.exit_code, 0) << result << text;
  EXPECT_EQ(result.err, "");
}

}  // namespace
}  // namespace lattice::metrics
