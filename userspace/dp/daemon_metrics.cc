#include "userspace/dp/daemon_metrics.h"

#include <glog/logging.h>

#include <algorithm>
#include <map>
#include <utility>

#include "userspace/base/version.h"
#include "userspace/flow/names.h"

namespace lattice::dp {
namespace {

using metrics::Type;

// Rules over this many share the series "other"; `lattice dp policy show` has them all.
constexpr size_t kMaxRuleSeries = 2000;

constexpr const char* kMapNames[LAT_MAP_COUNT] = {"flows4", "flows6", "denied", "fragments", "audited"};
constexpr const char* kErrnoNames[LAT_ERRNO_COUNT] = {"E2BIG", "ENOMEM", "EBUSY", "EEXIST", "other"};

lat_direction DirectionOf(int hook) {
  return static_cast<lat_direction>(hook % 2);
}

}  // namespace

DaemonMetrics::DaemonMetrics(const DaemonState& state) : state_(state) {
  Declare();
  registry_.AddCollector([this](metrics::Collection& out) { Collect(out); });
}

void DaemonMetrics::Declare() {
  const std::vector<std::string> traffic = {"iface", "direction", "verdict"};
  packets_ = registry_.Declare(Type::kCounter, "lattice_dp_packets_total", "Packets as the hooks saw them.", traffic);
  wire_packets_ = registry_.Declare(Type::kCounter, "lattice_dp_wire_packets_total",
                                    "Packets on the wire: a GSO packet counts as its segments.", traffic);
  bytes_ = registry_.Declare(Type::kCounter, "lattice_dp_bytes_total",
                             "Bytes on the wire from the IP header on, headers of GSO segments included.", traffic);
  denied_packets_ = registry_.Declare(Type::kCounter, "lattice_dp_denied_packets_total",
                                      "Packets denied, or in audit mode let pass and recorded as denied, by reason.",
                                      {"iface", "direction", "reason"});
  flows_started_ = registry_.Declare(Type::kCounter, "lattice_dp_flows_started_total", "Flows that began.");
  flows_ended_ = registry_.Declare(Type::kCounter, "lattice_dp_flows_ended_total", "Flows that ended.", {"reason"});
  table_entries_ =
      registry_.Declare(Type::kGauge, "lattice_dp_flow_table_entries",
                        "Entries of the flow table of an address family, as of the last sweep.", {"family"});
  table_capacity_ = registry_.Declare(Type::kGauge, "lattice_dp_flow_table_capacity",
                                      "Entries the flow table of an address family can hold.", {"family"});
  map_errors_ = registry_.Declare(Type::kCounter, "lattice_dp_map_update_errors_total",
                                  "Failed updates of kernel tables.", {"map", "errno"});
  rule_hits_ = registry_.Declare(Type::kCounter, "lattice_dp_rule_hits_total",
                                 "Flows and denied packets that a rule decided; rules of the current policy.", {"rule"},
                                 kMaxRuleSeries);
  generation_ = registry_.Declare(Type::kGauge, "lattice_dp_policy_generation", "Generation of the policy in force.");
  policy_info_ = registry_.Declare(Type::kGauge, "lattice_dp_policy_info",
                                   "1; the label is the SHA-256 of the policy in force.", {"hash"});
  apply_seconds_ = &registry_.AddHistogram(
      registry_.Declare(Type::kHistogram, "lattice_dp_policy_apply_duration_seconds",
                        "Time from the order to replace the policy until the old tables are gone."),
      {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5});
  apply_failures_ = &registry_.AddCounter(registry_.Declare(Type::kCounter, "lattice_dp_policy_apply_failures_total",
                                                            "Policies refused; the one before stayed in force."));
  enforcing_ = registry_.Declare(Type::kGauge, "lattice_dp_enforcing",
                                 "1 if the kernel has our program at the hook, in enforce mode, with a policy.",
                                 {"iface", "hook"});
  foreign_ = registry_.Declare(Type::kGauge, "lattice_dp_foreign_programs",
                               "Programs of others in front of ours at the hook; what they pass for good we never see.",
                               {"iface", "hook"});
  mode_ = registry_.Declare(Type::kGauge, "lattice_dp_mode", "1; the label is --mode: audit drops nothing.", {"mode"});
  audit_lost_ =
      registry_.Declare(Type::kCounter, "lattice_dp_audit_lost_total",
                        "Records that do not exist one by one; a loss record in the stream tells of each.", {"stage"});
  audit_written_ =
      registry_.Declare(Type::kCounter, "lattice_dp_audit_records_written_total", "Records written to the audit file.");
  audit_failing_ =
      registry_.Declare(Type::kGauge, "lattice_dp_audit_failing", "1 while the audit file can't be written.");
  audit_errors_ = registry_.Declare(
      Type::kCounter, "lattice_dp_audit_errors_total",
      "Failures on the way of records: sync and write of the audit file are tried again, damage of it is told in a "
      "loss record, a sweep of the kernel's tables is tried again, ring_malformed is a ring record that is none.",
      {"kind"});
  DeclareNats();
  const metrics::FamilyId build =
      registry_.Declare(Type::kGauge, "lattice_build_info", "1; the labels are the build.", {"version", "revision"});
  registry_.AddGauge(build, {Version(), Revision()}).Set(1);
}

void DaemonMetrics::DeclareNats() {
  nats_connected_ = registry_.Declare(Type::kGauge, "lattice_dp_nats_connected",
                                      "1 if connected to NATS; no series without --nats-url.");
  nats_published_ = registry_.Declare(
      Type::kCounter, "lattice_dp_nats_published_total",
      "Records handed to NATS: ok reached the server, failed is sent again, undecodable is a damaged line.",
      {"result"});
  spool_ = registry_.Declare(Type::kGauge, "lattice_dp_spool_records",
                             "Records in the audit file that are not yet published; no series without --nats-url.");
  nats_acked_ = registry_.Declare(Type::kCounter, "lattice_dp_nats_acked_total",
                                  "Messages JetStream acknowledged: stored now, or a duplicate that was stored before.",
                                  {"result"});
  nats_in_flight_ = registry_.Declare(Type::kGauge, "lattice_dp_nats_in_flight",
                                      "Messages on their way that JetStream has not acknowledged.");
  nats_window_full_ = registry_.Declare(Type::kCounter, "lattice_dp_nats_window_full_total",
                                        "Times publishing waited because so many messages were in flight.");
  nats_replays_ = registry_.Declare(
      Type::kCounter, "lattice_dp_nats_replays_total",
      "Times the stream had lost what it had acknowledged, and records were published again from the audit file.");
  nats_no_stream_ = registry_.Declare(
      Type::kCounter, "lattice_dp_nats_no_stream_total",
      "Times there was no stream LATTICE_AUDIT, which latticed makes; records wait in the audit file.");
}

void DaemonMetrics::Collect(metrics::Collection& out) const {
  CollectHooks(out);
  CollectRecords(out);
  out.Set(generation_, {}, state_.datapath->receipt().generation);
  out.Set(policy_info_, {state_.datapath->receipt().hash}, 1);
  const auto stats = state_.datapath->ReadStats();
  if (!stats.ok()) {
    LOG(ERROR) << "a scrape lacks the kernel's counters: " << stats.status().message();
    return;
  }
  CollectTraffic(*stats, out);
  CollectFlows(*stats, out);
}

// Several cgroups share a hook name: it enforces if all of them do.
void DaemonMetrics::CollectHooks(metrics::Collection& out) const {
  out.Set(mode_, {std::string(flow::ModeName(state_.options.datapath.mode))}, 1);
  std::map<metrics::LabelValues, bool> enforcing;
  std::map<metrics::LabelValues, size_t> foreign;
  for (const datapath::HookStatus& hook : state_.datapath->Hooks()) {
    const bool on_interface = hook.hook == LAT_HOOK_TC_EGRESS || hook.hook == LAT_HOOK_TC_INGRESS;
    const metrics::LabelValues labels = {on_interface ? state_.options.iface() : "*",
                                         std::string(datapath::HookName(hook.hook))};
    auto [it, first] = enforcing.try_emplace(labels, true);
    it->second = it->second && hook.enforcing && !state_.detached;
    foreign[labels] += hook.foreign_before.size();
  }
  for (const auto& [labels, on] : enforcing) out.Set(enforcing_, labels, on ? 1 : 0);
  for (const auto& [labels, count] : foreign) out.Set(foreign_, labels, static_cast<double>(count));
}

void DaemonMetrics::CollectTraffic(const datapath::Stats& stats, metrics::Collection& out) const {
  const int hooks = state_.options.datapath.cgroups.empty() ? LAT_HOOK_CGROUP_EGRESS : LAT_HOOK_COUNT;
  for (int hook = 0; hook < hooks; ++hook) {
    const std::string iface = hook < LAT_HOOK_CGROUP_EGRESS ? state_.options.iface() : "*";
    const std::string direction(flow::DirectionName(DirectionOf(hook)));
    const datapath::HookCounters& counters = stats.hooks[hook];
    for (int verdict = 0; verdict < LAT_VERDICT_COUNT; ++verdict) {
      const metrics::LabelValues labels = {iface, direction,
                                           std::string(flow::VerdictLabel(static_cast<lat_verdict>(verdict)))};
      out.Count(packets_, labels, counters.verdict[verdict].packets);
      out.Count(wire_packets_, labels, counters.verdict[verdict].wire_packets);
      out.Count(bytes_, labels, counters.verdict[verdict].bytes);
    }
    for (int reason = 0; reason < LAT_REASON_COUNT; ++reason) {
      const auto kernel = static_cast<lat_reason>(reason);
      if (!flow::IsDenial(flow::FromKernelReason(kernel))) continue;
      out.Count(denied_packets_, {iface, direction, std::string(flow::ReasonName(kernel))},
                counters.reason_packets[reason]);
    }
  }
}

void DaemonMetrics::CollectFlows(const datapath::Stats& stats, metrics::Collection& out) const {
  out.Count(flows_started_, {}, stats.events[LAT_COUNT_FLOWS_STARTED]);
  for (int reason = LAT_END_NONE + 1; reason < LAT_END_COUNT; ++reason) {
    out.Count(flows_ended_, {std::string(flow::EndReasonName(static_cast<lat_end_reason>(reason)))},
              stats.events[LAT_COUNT_FLOWS_ENDED + reason]);
  }
  const std::pair<const char*, const datapath::TableUse*> tables[] = {{"ipv4", &stats.flows4}, {"ipv6", &stats.flows6}};
  for (const auto& [family, use] : tables) {
    out.Set(table_entries_, {family}, use->entries);
    out.Set(table_capacity_, {family}, use->capacity);
  }
  for (int map = 0; map < LAT_MAP_COUNT; ++map) {
    for (int error = 0; error < LAT_ERRNO_COUNT; ++error) {
      out.Count(map_errors_, {kMapNames[map], kErrnoNames[error]}, stats.map_errors[map][error]);
    }
  }
  for (const datapath::RuleHits& rule : stats.rules) {
    out.Count(rule_hits_, {rule.name.empty() ? rule.text : rule.name}, rule.hits);
  }
}

void DaemonMetrics::CollectRecords(metrics::Collection& out) const {
  const audit::AuditFileCounters& audit = state_.audit_counters();
  out.Count(audit_written_, {}, audit.written);
  for (const absl::string_view stage : audit::LossCounters::kStages) {
    out.Count(audit_lost_, {std::string(stage)}, audit.lost.Of(stage));
  }
  out.Count(audit_lost_, {std::string(flow::kStageDeniedTable)}, state_.recorder->lost().denied_table);
  out.Count(audit_lost_, {std::string(flow::kStageUntracked)}, state_.recorder->lost().untracked);
  out.Set(audit_failing_, {}, state_.disk_failing ? 1 : 0);
  out.Count(audit_errors_, {"sync"}, audit.sync_failures);
  out.Count(audit_errors_, {"write"}, audit.write_failures);
  out.Count(audit_errors_, {"damage"}, audit.damages);
  out.Count(audit_errors_, {"sweep"}, state_.recorder->counters().sweep_failures);
  out.Count(audit_errors_, {"ring_malformed"}, state_.recorder->counters().ring_malformed);
  if (!state_.options.nats.urls.empty()) CollectNats(out);
}

void DaemonMetrics::CollectNats(metrics::Collection& out) const {
  out.Set(nats_connected_, {}, state_.sink->is_connected() ? 1 : 0);
  const audit::PublisherCounters& published = state_.publisher->counters();
  out.Count(nats_published_, {"ok"}, published.published);
  out.Count(nats_published_, {"failed"}, published.failed);
  out.Count(nats_published_, {"undecodable"}, published.undecodable);
  out.Set(spool_, {}, static_cast<double>(published.spool_records));
  if (!state_.options.nats_jetstream) return;
  out.Count(nats_replays_, {}, published.replays);
  static const nats::JetStreamCounters kNone;
  const nats::JetStreamCounters* const counters = state_.sink->jetstream_counters();
  const nats::JetStreamCounters& stream = counters == nullptr ? kNone : *counters;
  const uint64_t duplicates = stream.duplicates;
  const uint64_t acked = stream.acked;
  out.Count(nats_acked_, {"stored"}, acked - std::min(duplicates, acked));
  out.Count(nats_acked_, {"duplicate"}, duplicates);
  out.Set(nats_in_flight_, {}, static_cast<double>(stream.in_flight));
  out.Count(nats_window_full_, {}, stream.window_full);
  out.Count(nats_no_stream_, {}, stream.no_stream);
}

}  // namespace lattice::dp
