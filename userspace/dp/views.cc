#include "userspace/dp/views.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/base/version.h"
#include "userspace/dp/health.h"
#include "userspace/dp/hook_json.h"
#include "userspace/dp/traffic_json.h"
#include "userspace/flow/names.h"

namespace lattice::dp {
namespace {

using Json = nlohmann::ordered_json;

// Names of rules and interfaces may hold any byte: what is not UTF-8 is replaced, never thrown at.
std::string Print(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string Rfc3339(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

const char* Default(bool deny) {
  return deny ? "deny" : "allow";
}

std::string StateWord(const DaemonState& state, bool all_attached) {
  if (state.detached) return "detached";
  if (!all_attached) return "not enforcing";
  return state.options.datapath.mode == LAT_MODE_AUDIT ? "auditing" : "enforcing";
}

Json PolicySummary(const DaemonState& state, uint64_t refused) {
  const policy::RuleSet& rules = state.policy.rules;
  const datapath::Receipt& receipt = state.datapath->receipt();
  return {{"source", state.policy.source},
          {"egressRules", rules.egress.size()},
          {"ingressRules", rules.ingress.size()},
          {"egressDefault", Default(rules.egress_default_deny)},
          {"ingressDefault", Default(rules.ingress_default_deny)},
          {"refused", refused},
          {"generation", receipt.generation},
          {"hash", receipt.hash},
          {"prefixes", receipt.prefixes},
          {"bytes", receipt.bytes},
          {"lookup", receipt.lookup},
          {"applyMs", receipt.apply_ms},
          {"applied", Rfc3339(state.policy_applied)}};
}

Json TableJson(const datapath::TableUse& use) {
  return {{"entries", use.entries}, {"capacity", use.capacity}};
}

Json AuditJson(const DaemonState& state) {
  const audit::AuditFileCounters& counters = state.audit_counters();
  Json lost = {{"denied_table", state.recorder->lost().denied_table.load()},
               {"untracked", state.recorder->lost().untracked.load()}};
  for (const absl::string_view stage : audit::LossCounters::kStages) lost[std::string(stage)] = counters.lost.Of(stage);
  return {{"path", state.options.audit.path},
          {"node", state.options.audit.node},
          {"agent", state.options.audit.agent_id},
          {"written", counters.written.load()},
          {"bytes", counters.written_bytes.load()},
          {"failing", state.disk_failing},
          {"lost", std::move(lost)}};
}

Json NatsJson(const DaemonState& state) {
  if (state.options.nats.urls.empty()) return nullptr;
  const audit::PublisherCounters& counters = state.publisher->counters();
  return {{"connected", state.sink->is_connected()}, {"server", state.sink->server()},
          {"error", state.sink->last_error()},       {"reconnects", state.sink->reconnects()},
          {"published", counters.published.load()},  {"failed", counters.failed.load()},
          {"spool", counters.spool_records.load()}};
}

Json RuleJson(const policy::Rule& rule, bool ingress, const std::vector<datapath::RuleHits>& hits, size_t index) {
  const uint64_t count = index < hits.size() ? hits[index].hits : 0;
  return {{"direction", ingress ? "ingress" : "egress"},
          {"action", rule.deny ? "deny" : "allow"},
          {"rule", policy::PrintRule(rule)},
          {"name", policy::RuleName(rule, ingress)},
          {"hits", count}};
}

Json CheckLine(const char* name, bool ok, std::string detail, std::string remedy) {
  return {{"name", name}, {"ok", ok}, {"detail", std::move(detail)}, {"remedy", ok ? "" : std::move(remedy)}};
}

}  // namespace

std::string StatusJson(const DaemonState& state, uint64_t policies_refused) {
  bool all_attached = true;
  Json hooks = Json::array();
  for (const datapath::HookStatus& hook : state.datapath->Hooks()) {
    all_attached = all_attached && hook.attached;
    hooks.push_back(HookJson(hook));
  }
  Json json = {{"state", StateWord(state, all_attached)},
               {"problems", ReadinessProblems(state, RealClock().MonotonicNs())},
               {"pid", getpid()},
               {"version", Version()},
               {"revision", Revision()},
               {"started", Rfc3339(state.started)},
               {"iface", state.options.iface()},
               {"mode", std::string(flow::ModeName(state.options.datapath.mode))},
               {"hooks", std::move(hooks)},
               {"policy", PolicySummary(state, policies_refused)},
               {"audit", AuditJson(state)},
               {"nats", NatsJson(state)},
               {"metrics", state.metrics_address},
               {"metricsProblem", state.metrics_problem},
               {"cgroups", state.options.datapath.cgroups}};
  json["pins"] = state.datapath->pin_folder();
  json["adopted"] = state.datapath->adopted();
  const auto stats = state.datapath->ReadStats();
  if (!stats.ok()) {
    json["statsError"] = std::string(stats.status().message());
    return Print(json);
  }
  json["traffic"] = TrafficJson(*stats, !state.options.datapath.cgroups.empty());
  json["denied"] = DeniedTrafficJson(*stats);
  json["tables"] = {
      {"flows4", TableJson(stats->flows4)}, {"flows6", TableJson(stats->flows6)}, {"denied", TableJson(stats->denied)}};
  return Print(json);
}

absl::StatusOr<std::string> PolicyJson(const DaemonState& state) {
  const policy::RuleSet& rules = state.policy.rules;
  LATTICE_ASSIGN_OR_RETURN(const datapath::Stats stats, state.datapath->ReadStats());
  Json list = Json::array();
  for (const policy::Rule& rule : rules.egress) list.push_back(RuleJson(rule, false, stats.rules, list.size()));
  for (const policy::Rule& rule : rules.ingress) list.push_back(RuleJson(rule, true, stats.rules, list.size()));
  Json json = PolicySummary(state, 0);
  json.erase("refused");
  json["text"] = policy::Print(rules);
  json["rules"] = std::move(list);
  return Print(json);
}

std::string DoctorJson(const DaemonState& state) {
  Json checks = Json::array();
  for (const datapath::HookStatus& hook : state.datapath->Hooks()) {
    checks.push_back({{"name", absl::StrCat("daemon.hook.", datapath::HookName(hook.hook))},
                      {"ok", hook.attached},
                      {"detail", absl::StrCat(hook.target, ": ", hook.attached ? "in place" : hook.detail)},
                      {"remedy", hook.attached ? "" : "see the log of latticed-dp"}});
  }
  const Reasons stuck = LivenessProblems(state, RealClock().MonotonicNs());
  checks.push_back(CheckLine("daemon.recorder", stuck.empty(), stuck.empty() ? "takes records" : stuck[0],
                             "look at the disk of the audit file, then restart latticed-dp"));
  checks.push_back(CheckLine("daemon.audit", !state.disk_failing, state.options.audit.path,
                             "free space, or repair the file system; latticed-dp goes on by itself"));
  if (!state.options.nats.urls.empty()) {
    const bool connected = state.sink->is_connected();
    const std::string error = state.sink->last_error();
    const bool publishing = connected && error.empty();
    checks.push_back(CheckLine("daemon.nats", publishing, publishing ? state.sink->server() : error,
                               "records wait in the audit file; repair the server or the credentials"));
  }
  return Print({{"checks", std::move(checks)},
                {"cgroups", state.options.datapath.cgroups},
                {"maxFlows", state.options.datapath.max_flows}});
}

std::string CheckJson(const CheckReport& report) {
  return Print({{"egressRules", report.egress_rules},
                {"ingressRules", report.ingress_rules},
                {"hash", report.hash},
                {"prefixes", report.prefixes},
                {"bytes", report.bytes},
                {"lookup", report.lookup},
                {"warnings", report.warnings}});
}

std::string ReceiptJson(const datapath::Receipt& receipt, const std::string& source,
                        const std::vector<std::string>& warnings) {
  return Print({{"generation", receipt.generation},
                {"hash", receipt.hash},
                {"rules", receipt.rules},
                {"prefixes", receipt.prefixes},
                {"bytes", receipt.bytes},
                {"lookup", receipt.lookup},
                {"applyMs", receipt.apply_ms},
                {"source", source},
                {"warnings", warnings}});
}

std::string RemovedJson(const std::vector<std::string>& removed) {
  return Print({{"removed", removed}});
}

}  // namespace lattice::dp
