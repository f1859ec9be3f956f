#include "userspace/dp/flow_views.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "userspace/base/ip.h"
#include "userspace/base/status.h"
#include "userspace/datapath/jiffies.h"
#include "userspace/flow/names.h"

namespace lattice::dp {
namespace {

using Json = nlohmann::ordered_json;

std::string Print(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

int64_t IdleMs(uint64_t last_seen_jiffies, KernelTime now, uint64_t ns_per_jiffy) {
  if (last_seen_jiffies >= now.jiffies) return 0;
  return static_cast<int64_t>((now.jiffies - last_seen_jiffies) * ns_per_jiffy / 1'000'000);
}

int64_t AgeMs(uint64_t start_ns, KernelTime now) {
  return start_ns >= now.monotonic_ns ? 0 : static_cast<int64_t>((now.monotonic_ns - start_ns) / 1'000'000);
}

std::string Word(absl::string_view view) {
  return std::string(view);
}

Json FlowJson(const datapath::Datapath& datapath, const lat_flow6_key& key, const lat_flow& flow, KernelTime now,
              uint64_t ns_per_jiffy) {
  const lat_verdict verdict = flow.verdict[flow.started_by];
  return {{"direction", Word(flow::DirectionName(flow.started_by))},
          {"scope", Word(flow::ScopeName(static_cast<lat_scope>(key.scope)))},
          {"protocol", flow::ProtocolName(key.proto)},
          {"local", IpAddress::FromBytes(key.local).ToString()},
          {"localPort", key.local_port},
          {"remote", IpAddress::FromBytes(key.remote).ToString()},
          {"remotePort", key.remote_port},
          {"verdict", Word(flow::VerdictLabel(verdict))},
          {"reason", Word(flow::ReasonName(flow.reason))},
          {"rule", datapath.RuleName(flow.rule, flow.generation)},
          {"bytesOut", flow.bytes[LAT_EGRESS]},
          {"bytesIn", flow.bytes[LAT_INGRESS]},
          {"packetsOut", flow.packets[LAT_EGRESS] + flow.gso_extra[LAT_EGRESS]},
          {"packetsIn", flow.packets[LAT_INGRESS] + flow.gso_extra[LAT_INGRESS]},
          {"ageMs", AgeMs(flow.start_ns, now)},
          {"idleMs", IdleMs(flow.last_seen_jiffies, now, ns_per_jiffy)},
          {"policyGeneration", flow.generation}};
}

struct Sum {
  uint64_t flows = 0;
  uint64_t bytes_out = 0;
  uint64_t bytes_in = 0;
  uint64_t packets = 0;
  int64_t idle_ms = INT64_MAX;

  uint64_t bytes() const { return bytes_out + bytes_in; }
};

std::string Endpoint(const IpAddress& address, uint16_t port) {
  if (port == 0) return address.ToString();
  return address.is_v4() ? absl::StrCat(address.ToString(), ":", port)
                         : absl::StrCat("[", address.ToString(), "]:", port);
}

std::string GroupOf(const datapath::Datapath& datapath, TopBy by, const lat_flow6_key& key, const lat_flow& flow) {
  const IpAddress remote = IpAddress::FromBytes(key.remote);
  const std::string protocol = flow::ProtocolName(key.proto);
  switch (by) {
    case TopBy::kFlow:
      return absl::StrCat(protocol, " ", Endpoint(IpAddress::FromBytes(key.local), key.local_port),
                          flow.started_by == LAT_EGRESS ? " > " : " < ", Endpoint(remote, key.remote_port));
    case TopBy::kService:
      // The port of the side that was called.
      return flow.started_by == LAT_EGRESS ? absl::StrCat(protocol, " ", Endpoint(remote, key.remote_port))
                                           : absl::StrCat(protocol, " local port ", key.local_port);
    case TopBy::kRemote:
      return remote.ToString();
    case TopBy::kRule:
      break;
  }
  const std::string rule = datapath.RuleName(flow.rule, flow.generation);
  return rule.empty() ? "(no rule)" : rule;
}

}  // namespace

absl::StatusOr<std::string> FlowsJson(const datapath::Datapath& datapath, KernelTime now, size_t limit) {
  LATTICE_ASSIGN_OR_RETURN(const uint64_t ns_per_jiffy, datapath::NsPerJiffy());
  Json flows = Json::array();
  bool more = false;
  LATTICE_RETURN_IF_ERROR(datapath.ForEachFlow([&](const lat_flow6_key& key, const lat_flow& flow) {
    more = flows.size() == limit;
    if (!more) flows.push_back(FlowJson(datapath, key, flow, now, ns_per_jiffy));
    return !more;
  }));
  return Print({{"flows", std::move(flows)}, {"more", more}});
}

absl::StatusOr<std::string> DeniedJson(const datapath::Datapath& datapath, KernelTime now, size_t limit) {
  LATTICE_ASSIGN_OR_RETURN(const uint64_t ns_per_jiffy, datapath::NsPerJiffy());
  Json denied = Json::array();
  bool more = false;
  LATTICE_RETURN_IF_ERROR(datapath.ForEachDenied([&](const lat_denied_key& key, const lat_denied& entry) {
    more = denied.size() == limit;
    if (more) return false;
    const bool egress = key.direction == LAT_EGRESS;
    denied.push_back({{"direction", Word(flow::DirectionName(static_cast<lat_direction>(key.direction)))},
                      {"scope", Word(flow::ScopeName(static_cast<lat_scope>(key.scope)))},
                      {"protocol", flow::ProtocolName(key.proto)},
                      {"local", IpAddress::FromBytes(key.local).ToString()},
                      {"localPort", egress ? entry.other_port : key.port},
                      {"remote", IpAddress::FromBytes(key.remote).ToString()},
                      {"remotePort", egress ? key.port : entry.other_port},
                      {"verdict", Word(flow::VerdictLabel(entry.verdict))},
                      {"reason", Word(flow::ReasonName(static_cast<lat_reason>(key.reason)))},
                      {"rule", datapath.RuleName(entry.rule, entry.generation)},
                      {"packets", entry.packets},
                      {"bytes", entry.bytes},
                      {"ageMs", AgeMs(entry.first_ns, now)},
                      {"idleMs", IdleMs(entry.last_seen_jiffies, now, ns_per_jiffy)},
                      {"policyGeneration", entry.generation}});
    return true;
  }));
  return Print({{"denied", std::move(denied)}, {"more", more}});
}

absl::StatusOr<TopBy> ParseTopBy(absl::string_view text) {
  if (text == "flow") return TopBy::kFlow;
  if (text == "service") return TopBy::kService;
  if (text == "remote") return TopBy::kRemote;
  if (text == "rule") return TopBy::kRule;
  return absl::InvalidArgumentError(absl::StrCat("by=", text, ": expected one of: flow, service, remote, rule"));
}

absl::StatusOr<std::string> TopJson(const datapath::Datapath& datapath, TopBy by, KernelTime now, size_t limit) {
  LATTICE_ASSIGN_OR_RETURN(const uint64_t ns_per_jiffy, datapath::NsPerJiffy());
  absl::flat_hash_map<std::string, Sum> sums;
  uint64_t flows = 0;
  LATTICE_RETURN_IF_ERROR(datapath.ForEachFlow([&](const lat_flow6_key& key, const lat_flow& flow) {
    ++flows;
    Sum& sum = sums[GroupOf(datapath, by, key, flow)];
    ++sum.flows;
    sum.bytes_out += flow.bytes[LAT_EGRESS];
    sum.bytes_in += flow.bytes[LAT_INGRESS];
    for (int direction : {LAT_EGRESS, LAT_INGRESS}) sum.packets += flow.packets[direction] + flow.gso_extra[direction];
    sum.idle_ms = std::min(sum.idle_ms, IdleMs(flow.last_seen_jiffies, now, ns_per_jiffy));
    return true;
  }));
  std::vector<std::pair<std::string, Sum>> sorted(sums.begin(), sums.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.second.bytes() != b.second.bytes() ? a.second.bytes() > b.second.bytes() : a.first < b.first;
  });
  if (sorted.size() > limit) sorted.resize(limit);
  Json top = Json::array();
  for (const auto& [group, sum] : sorted) {
    top.push_back({{"group", group},
                   {"flows", sum.flows},
                   {"bytesOut", sum.bytes_out},
                   {"bytesIn", sum.bytes_in},
                   {"packets", sum.packets},
                   {"idleMs", sum.idle_ms}});
  }
  return Print({{"top", std::move(top)}, {"flows", flows}, {"monotonicNs", now.monotonic_ns}});
}

}  // namespace lattice::dp
