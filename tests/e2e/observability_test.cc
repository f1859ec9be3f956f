// What operators and their tools see: Prometheus, promtool, bpftool, `lattice dp`.
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "tests/e2e/overlay_test.h"
#include "userspace/base/file.h"

namespace lattice::testing {
namespace {

class ObservabilityTest : public OverlayTest {
 protected:
  // A daemon with some of everything behind it: allowed, denied, both families, fragments.
  void StartBusyDp() {
    Http(peer(), 80);
    UdpEcho(peer(), "10.42.0.10", 7000);
    // Nobody listens there, but the metrics of publishing exist only where something is to be published.
    ASSERT_NO_FATAL_FAILURE(StartDp(
        {"--egress-allow=10.42.0.10/32,fd42::10", "--egress-deny=203.0.113.0/24", "--nats-url=nats://127.0.0.1:4222"}));
    EXPECT_EQ(Curl(node(), "http://10.42.0.10/").out, "hello\n");
    EXPECT_EQ(Curl(node(), "http://[fd42::10]/").out, "hello\n");
    EXPECT_TRUE(UdpEchoes(node(), {"10.42.0.10", 7000}, 4000));
    EXPECT_EQ(Curl(node(), "http://203.0.113.1/", 1).exit_code, 28);
    EXPECT_FALSE(Ping(node(), "fd42::20").ok());
  }
};

TEST_F(ObservabilityTest, EveryDocumentedMetricIsThereAndPromtoolHasNothingToSay) {
  ASSERT_NO_FATAL_FAILURE(StartBusyDp());
  ASSERT_TRUE(dp_->WaitForRecord([](const AuditRecord& r) { return r["event"] == "start"; }).has_value());
  const std::string text = dp_->ScrapeText();
  const CommandResult check = RunCommand({"promtool", "check", "metrics"}, {.input = text});
  EXPECT_TRUE(check.ok()) << check;
  EXPECT_EQ(check.out + check.err, "");

  const MetricsText metrics = MetricsText::Parse(text);
  for (const char* name : {"lattice_dp_packets_total",
                           "lattice_dp_wire_packets_total",
                           "lattice_dp_bytes_total",
                           "lattice_dp_denied_packets_total",
                           "lattice_dp_flows_started_total",
                           "lattice_dp_flows_ended_total",
                           "lattice_dp_flow_table_entries",
                           "lattice_dp_flow_table_capacity",
                           "lattice_dp_map_update_errors_total",
                           "lattice_dp_rule_hits_total",
                           "lattice_dp_policy_generation",
                           "lattice_dp_policy_info",
                           "lattice_dp_policy_apply_duration_seconds",
                           "lattice_dp_policy_apply_failures_total",
                           "lattice_dp_enforcing",
                           "lattice_dp_foreign_programs",
                           "lattice_dp_mode",
                           "lattice_dp_audit_lost_total",
                           "lattice_dp_audit_records_written_total",
                           "lattice_dp_nats_connected",
                           "lattice_dp_nats_published_total",
                           "lattice_dp_spool_records",
                           "lattice_build_info"}) {
    EXPECT_TRUE(metrics.Has(name) || metrics.Has(absl::StrCat(name, "_count"))) << name;
  }
  EXPECT_EQ(metrics.Sum("lattice_dp_enforcing", {{"iface", "wg0"}}), 2) << "one for each direction";
  EXPECT_GT(metrics.Sum("lattice_dp_denied_packets_total", {{"direction", "egress"}, {"reason", "deny_rule"}}), 0);
  EXPECT_GT(metrics.Sum("lattice_dp_denied_packets_total", {{"direction", "egress"}, {"reason", "no_rule"}}), 0);
  EXPECT_GT(metrics.Sum("lattice_dp_rule_hits_total", {{"rule", "10.42.0.10/32"}}), 0);
  EXPECT_EQ(metrics.Sum("lattice_dp_policy_generation"), 1);
  EXPECT_EQ(metrics.Sum("lattice_dp_audit_lost_total"), 0);
  EXPECT_EQ(Curl(node(), "http://127.0.0.1:9478/healthz").exit_code, 0);
  EXPECT_EQ(Curl(node(), "http://127.0.0.1:9478/readyz").exit_code, 0);
}

TEST_F(ObservabilityTest, PrometheusScrapesIt) {
  ASSERT_NO_FATAL_FAILURE(StartBusyDp());
  const std::string config = dp_->File("prometheus.yml");
  ASSERT_TRUE(WriteFileAtomically(config,
                                  "global: {scrape_interval: 1s}\n"
                                  "scrape_configs:\n"
                                  "  - job_name: lattice\n"
                                  "    static_configs: [{targets: ['127.0.0.1:9478']}]\n",
                                  0644)
                  .ok());
  auto prometheus =
      ChildProcess::Start({.argv = {"prometheus", "--config.file=" + config, "--storage.tsdb.path=" + dp_->File("tsdb"),
                                    "--web.listen-address=127.0.0.1:9090"},
                           .netns = node().path()});
  ASSERT_TRUE(prometheus.ok()) << prometheus.status();
  std::string answer;
  const auto has_samples = [&] {
    answer = Curl(node(), "http://127.0.0.1:9090/api/v1/query?query=lattice_dp_enforcing").out;
    const nlohmann::json parsed = nlohmann::json::parse(answer, nullptr, /*allow_exceptions=*/false);
    return parsed.is_object() && parsed.value("status", "") == "success" && parsed["data"]["result"].size() == 2;
  };
  EXPECT_TRUE(WaitUntil(has_samples, absl::Seconds(30))) << answer << (*prometheus)->err();
}

TEST_F(ObservabilityTest, BpftoolReadsEveryPinnedMapInWords) {
  ASSERT_NO_FATAL_FAILURE(StartBusyDp());
  std::map<std::string, std::string> dumps;
  for (const std::string& name : FolderEntries(dp_->pin_folder())) {
    if (name.rfind("link_", 0) == 0) continue;
    // A ring has no keys: the kernel refuses every walk through it, so it can only be shown.
    const std::string verb = name.find("_ring") == std::string::npos ? "dump" : "show";
    const CommandResult dump = RunCommand({"bpftool", "map", verb, "pinned", dp_->pin_folder() + "/" + name});
    EXPECT_TRUE(dump.ok()) << dump;
    EXPECT_THAT(dump.out, ::testing::Not(::testing::HasSubstr("anon"))) << name;
    dumps[name] = dump.out;
  }
  for (const char* name :
       {"info", "flows4", "flows6", "denied", "fragments", "policy", "lpm4", "lpm6", "rules", "rule_hits", "hook_stats",
        "reason_stats", "events", "map_errors", "flow_ring", "denied_ring"}) {
    EXPECT_EQ(dumps.count(name), 1u) << name;
  }
  EXPECT_THAT(dumps["info"], ::testing::HasSubstr("LAT_MODE_ENFORCE"));
  EXPECT_THAT(dumps["info"], ::testing::HasSubstr("generation"));
  EXPECT_THAT(dumps["flows4"], ::testing::HasSubstr("LAT_REASON_ALLOW_RULE"));
  EXPECT_THAT(dumps["flows4"], ::testing::HasSubstr("started_by"));
  EXPECT_THAT(dumps["flows6"], ::testing::HasSubstr("LAT_ALLOW"));
  EXPECT_THAT(dumps["denied"], ::testing::HasSubstr("LAT_DENY"));
  EXPECT_THAT(dumps["rules"], ::testing::HasSubstr("203.0.113.0/24"));
}

TEST_F(ObservabilityTest, TheCommandLineShowsStatusPolicyFlowsAndDenials) {
  ASSERT_NO_FATAL_FAILURE(StartBusyDp());
  const CommandResult status = dp_->Cli({"status"});
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(status.out, ::testing::HasSubstr("wg0"));
  const CommandResult policy = dp_->Cli({"policy", "show"});
  EXPECT_TRUE(policy.ok()) << policy;
  EXPECT_THAT(policy.out, ::testing::HasSubstr("10.42.0.10/32"));
  EXPECT_THAT(policy.out, ::testing::HasSubstr("deny 203.0.113.0/24"));
  const CommandResult flows = dp_->Cli({"flows"});
  EXPECT_TRUE(flows.ok()) << flows;
  EXPECT_THAT(flows.out, ::testing::HasSubstr("10.42.0.10"));
  const CommandResult denied = dp_->Cli({"flows", "--denied"});
  EXPECT_TRUE(denied.ok()) << denied;
  EXPECT_THAT(denied.out, ::testing::HasSubstr("203.0.113.1"));
  const CommandResult doctor = dp_->Cli({"doctor"});
  // Nobody serves at the --nats-url of this test; that is all there is to find.
  EXPECT_EQ(doctor.exit_code, 1) << doctor;
  EXPECT_THAT(doctor.out, ::testing::HasSubstr("LOOK  daemon.nats"));
  EXPECT_THAT(doctor.out, ::testing::HasSubstr("ok    daemon.recorder"));
}

}  // namespace
}  // namespace lattice::testing
