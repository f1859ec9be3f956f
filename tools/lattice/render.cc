#include "tools/lattice/render.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "tools/lattice/format.h"
#include "userspace/audit/decoder.h"
#include "userspace/base/plural.h"
#include "userspace/base/status.h"

namespace lattice::cli {
namespace {

using Json = nlohmann::json;

// Calls `render` with the parsed `text`; whatever it misses in there is an error, not an exception.
template <typename Render>
auto WithJson(absl::string_view text, Render render) -> absl::StatusOr<decltype(render(Json()))> {
  try {
    return render(Json::parse(text.begin(), text.end()));
  } catch (const Json::exception& error) {
    return absl::InternalError(
        absl::StrCat("the daemon's answer is not understood, is it of another version? ", error.what()));
  }
}

std::string Text(const Json& json, const char* key) {
  return json.value(key, "");
}

// Null where it is not there; throws where `json` is no object.
const Json* Find(const Json& json, const char* key) {
  const auto& object = json.get_ref<const Json::object_t&>();
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &found->second;
}

// get() would convert a fraction or a sign silently, and what does not fit is undefined: get_ref() throws.
uint64_t Whole(const Json& value) {
  return value.get_ref<const Json::number_unsigned_t&>();
}

uint64_t Count(const Json& json, const char* key) {
  const Json* const value = Find(json, key);
  return value == nullptr ? 0 : Whole(*value);
}

int64_t Signed(const Json& json, const char* key, int64_t otherwise) {
  const Json* const value = Find(json, key);
  return value == nullptr ? otherwise : value->get_ref<const Json::number_integer_t&>();
}

const Json& At(const Json& json, const char* key) {
  static const Json empty = Json::array();
  const auto found = json.find(key);
  return found == json.end() ? empty : *found;
}

std::string Endpoint(const std::string& address, uint64_t port) {
  if (port == 0) return address;
  return absl::StrContains(address, ':') ? absl::StrCat("[", address, "]:", port) : absl::StrCat(address, ":", port);
}

void AppendHooks(const Json& json, std::string* out) {
  Table table({"HOOK", "TARGET", "BY", "STATE", "PLACE", "NOTE"});
  for (const Json& hook : At(json, "hooks")) {
    const bool attached = hook.value("attached", false);
    std::vector<std::string> notes;
    if (!Text(hook, "detail").empty()) notes.push_back(Text(hook, "detail"));
    for (const Json& program : At(hook, "foreignBefore")) {
      notes.push_back(absl::StrCat("foreign program before ours: ", Count(program, "id"), " ", Text(program, "name")));
    }
    const int64_t position = Signed(hook, "position", -1);
    table.Row(
        {Text(hook, "hook"), Text(hook, "target"), Text(hook, "kind"),
         hook.value("enforcing", false) ? "enforcing" : (attached ? "attached" : "MISSING"),
         position < 0 ? "-" : absl::StrCat(static_cast<uint64_t>(position) + 1, " of ", Count(hook, "chainLength")),
         absl::StrJoin(notes, "; ")});
  }
  if (!table.empty()) absl::StrAppend(out, "\n", table.ToString());
}

void AppendPolicy(const Json& json, std::string* out) {
  const Json& policy = At(json, "policy");
  if (!policy.is_object()) return;
  const uint64_t refused = Count(policy, "refused");
  if (!policy.contains("source")) {  // without a daemon only the pins tell
    absl::StrAppend(out, absl::StrFormat("policy    generation %d, %s, hash %s\n", Count(policy, "generation"),
                                         Plural(Count(policy, "rules"), "rule"), Text(policy, "hash").substr(0, 12)));
    return;
  }
  absl::StrAppend(
      out, absl::StrFormat("policy    generation %d, %s (default %s), %s (default %s)\n", Count(policy, "generation"),
                           Plural(Count(policy, "egressRules"), "egress rule"), Text(policy, "egressDefault"),
                           Plural(Count(policy, "ingressRules"), "ingress rule"), Text(policy, "ingressDefault")));
  absl::StrAppend(out, absl::StrFormat("          from %s, hash %s, %s%s\n", Text(policy, "source"),
                                       Text(policy, "hash").substr(0, 12), HumanBytes(Count(policy, "bytes")),
                                       refused == 0 ? "" : absl::StrCat(", refused since the start: ", refused)));
}

void AppendRecords(const Json& json, std::string* out) {
  const Json& audit = At(json, "audit");
  if (audit.is_object()) {
    absl::StrAppend(out, "records   ", Text(audit, "path"), ": ", HumanCount(Count(audit, "written")), " written (",
                    HumanBytes(Count(audit, "bytes")), ")", audit.value("failing", false) ? ", NOT WRITABLE NOW" : "",
                    "\n");
    for (const auto& [stage, count] : At(audit, "lost").items()) {
      if (Whole(count) != 0) absl::StrAppend(out, "          LOST at ", stage, ": ", HumanCount(Whole(count)), "\n");
    }
  }
  const Json& nats = At(json, "nats");
  if (nats.is_object()) {
    const bool connected = nats.value("connected", false);
    const std::string error = Text(nats, "error");
    const std::string trouble = error.empty() ? "" : "; NOT publishing: " + error;
    absl::StrAppend(
        out, "nats      ", connected ? "connected to " + Text(nats, "server") + trouble : "NOT connected: " + error,
        "; ", HumanCount(Count(nats, "published")), " published, ", HumanCount(Count(nats, "spool")), " waiting\n");
  }
}

void AppendTables(const Json& json, std::string* out) {
  const Json& tables = At(json, "tables");
  if (!tables.is_object()) return;
  std::vector<std::string> parts;
  for (const char* name : {"flows4", "flows6", "denied"}) {
    const Json& table = At(tables, name);
    parts.push_back(
        absl::StrCat(name, " ", HumanCount(Count(table, "entries")), " of ", HumanCount(Count(table, "capacity"))));
  }
  absl::StrAppend(out, "tables    ", absl::StrJoin(parts, ", "), "\n");
}

void AppendTraffic(const Json& json, std::string* out) {
  Table traffic({"HOOK", "VERDICT", ">PACKETS", ">ON THE WIRE", ">BYTES"});
  for (const Json& row : At(json, "traffic")) {
    if (Count(row, "packets") == 0) continue;
    traffic.Row({Text(row, "hook"), Text(row, "verdict"), HumanCount(Count(row, "packets")),
                 HumanCount(Count(row, "wirePackets")), HumanBytes(Count(row, "bytes"))});
  }
  if (!traffic.empty()) absl::StrAppend(out, "\n", traffic.ToString());
  Table denied({"HOOK", "DENIED BECAUSE", ">PACKETS"});
  for (const Json& row : At(json, "denied")) {
    denied.Row({Text(row, "hook"), Text(row, "reason"), HumanCount(Count(row, "packets"))});
  }
  if (!denied.empty()) absl::StrAppend(out, "\n", denied.ToString());
}

std::string StatusText(const Json& json) {
  std::string out = absl::StrCat(Text(json, "iface"), "  ", Text(json, "state"));
  if (const uint64_t pid = Count(json, "pid"); pid != 0) {
    absl::StrAppend(&out, " (latticed-dp ", Text(json, "version"), ", pid ", pid, ", since ", Text(json, "started"),
                    ")\n");
  } else {
    absl::StrAppend(&out, " (no daemon: records wait in the kernel)\n");
  }
  for (const Json& problem : At(json, "problems"))
    absl::StrAppend(&out, "PROBLEM   ", problem.get<std::string>(), "\n");
  AppendPolicy(json, &out);
  AppendTables(json, &out);
  AppendRecords(json, &out);
  if (!Text(json, "metrics").empty()) absl::StrAppend(&out, "metrics   http://", Text(json, "metrics"), "/metrics\n");
  if (!Text(json, "metricsProblem").empty())
    absl::StrAppend(&out, "metrics   NOT SERVED: ", Text(json, "metricsProblem"), "\n");
  if (!Text(json, "pins").empty()) absl::StrAppend(&out, "pins      ", Text(json, "pins"), "\n");
  AppendHooks(json, &out);
  AppendTraffic(json, &out);
  return out;
}

std::string Arrow(const Json& row) {
  return Text(row, "direction") == "egress" ? ">" : "<";
}

std::string MoreLine(const Json& json) {
  return json.value("more", false) ? "… and more: --limit shows them\n" : "";
}

struct TopRow {
  Json json;
  double out_rate = 0;
  double in_rate = 0;
};

// Bytes per second since `before`; false without it.
bool AddRates(const Json& now, const Json& before, std::vector<TopRow>* rows) {
  if (before.is_null() || Count(now, "monotonicNs") <= Count(before, "monotonicNs")) return false;
  const double seconds = static_cast<double>(Count(now, "monotonicNs") - Count(before, "monotonicNs")) / 1e9;
  std::map<std::string, const Json*> old;
  for (const Json& row : At(before, "top")) old[Text(row, "group")] = &row;
  for (TopRow& row : *rows) {
    const auto found = old.find(Text(row.json, "group"));
    const auto rate = [&](const char* key) {
      const uint64_t then = found == old.end() ? 0 : Count(*found->second, key);
      const uint64_t total = Count(row.json, key);
      // A flow of the group that ended takes its bytes with it.
      return total <= then ? 0.0 : static_cast<double>(total - then) / seconds;
    };
    row.out_rate = rate("bytesOut");
    row.in_rate = rate("bytesIn");
  }
  std::stable_sort(rows->begin(), rows->end(),
                   [](const TopRow& a, const TopRow& b) { return a.out_rate + a.in_rate > b.out_rate + b.in_rate; });
  return true;
}

std::string TopText(const Json& now, const Json& before, size_t limit) {
  std::vector<TopRow> rows;
  for (const Json& row : At(now, "top")) rows.push_back({row});
  const bool rates = AddRates(now, before, &rows);
  Table table({">OUT", ">IN", ">OUT TOTAL", ">IN TOTAL", ">PACKETS", ">FLOWS", ">IDLE", "WHAT"});
  for (size_t i = 0; i < std::min(limit, rows.size()); ++i) {
    const Json& row = rows[i].json;
    table.Row({rates ? HumanRate(rows[i].out_rate) : "-", rates ? HumanRate(rows[i].in_rate) : "-",
               HumanBytes(Count(row, "bytesOut")), HumanBytes(Count(row, "bytesIn")), HumanCount(Count(row, "packets")),
               HumanCount(Count(row, "flows")), HumanMs(Signed(row, "idleMs", 0)), Text(row, "group")});
  }
  return absl::StrCat(HumanCount(Count(now, "flows")), " live flows\n", table.ToString());
}

}  // namespace

absl::StatusOr<std::string> RenderStatus(absl::string_view json) {
  return WithJson(json, [](const Json& status) { return StatusText(status); });
}

absl::StatusOr<std::string> InterfaceOfStatus(absl::string_view status_json) {
  return WithJson(status_json, [](const Json& status) { return status.at("iface").get<std::string>(); });
}

absl::StatusOr<int64_t> PidOfStatus(absl::string_view status_json) {
  return WithJson(status_json, [](const Json& status) { return status.at("pid").get<int64_t>(); });
}

absl::StatusOr<bool> IsEnforcing(absl::string_view status_json) {
  return WithJson(status_json, [](const Json& status) {
    const Json& hooks = At(status, "hooks");
    const bool audit = Text(status, "mode") == "audit";
    return !hooks.empty() && std::all_of(hooks.begin(), hooks.end(), [&](const Json& hook) {
      return hook.value(audit ? "attached" : "enforcing", false);
    });
  });
}

absl::StatusOr<std::string> RenderRuleHits(absl::string_view policy_json) {
  return WithJson(policy_json, [](const Json& policy) {
    Table table({">HITS", "DIRECTION", "ACTION", "RULE", "NAME"});
    for (const Json& rule : At(policy, "rules")) {
      table.Row({HumanCount(Count(rule, "hits")), Text(rule, "direction"), Text(rule, "action"), Text(rule, "rule"),
                 Text(rule, "name")});
    }
    return table.ToString();
  });
}

absl::StatusOr<std::string> PolicyText(absl::string_view policy_json) {
  return WithJson(policy_json, [](const Json& policy) { return Text(policy, "text"); });
}

absl::StatusOr<std::string> RenderCheck(absl::string_view check_json) {
  return WithJson(check_json, [](const Json& check) {
    std::string out;
    for (const Json& warning : At(check, "warnings"))
      absl::StrAppend(&out, "warning: ", warning.get<std::string>(), "\n");
    absl::StrAppend(&out, absl::StrFormat("good: %s, %s, %s in %s (%s lookup), hash %s\n",
                                          Plural(Count(check, "egressRules"), "egress rule"),
                                          Plural(Count(check, "ingressRules"), "ingress rule"),
                                          Plural(Count(check, "prefixes"), "prefix"), HumanBytes(Count(check, "bytes")),
                                          Text(check, "lookup"), Text(check, "hash")));
    return out;
  });
}

absl::StatusOr<std::string> RenderReceipt(absl::string_view receipt_json) {
  return WithJson(receipt_json, [](const Json& receipt) {
    std::string out;
    for (const Json& warning : At(receipt, "warnings")) {
      absl::StrAppend(&out, "warning: ", warning.get<std::string>(), "\n");
    }
    absl::StrAppend(
        &out, absl::StrFormat("in force: generation %d, %s, %s in %s (%s lookup), %.1f ms, hash %s\n"
                              "until the daemon reloads (SIGHUP) or restarts: then flags and --policy-file count\n",
                              Count(receipt, "generation"), Plural(Count(receipt, "rules"), "rule"),
                              Plural(Count(receipt, "prefixes"), "prefix"), HumanBytes(Count(receipt, "bytes")),
                              Text(receipt, "lookup"), receipt.value("applyMs", 0.0), Text(receipt, "hash")));
    return out;
  });
}

absl::StatusOr<std::string> RenderFlows(absl::string_view flows_json) {
  return WithJson(flows_json, [](const Json& json) {
    Table table({"SCOPE", "PROTO", "LOCAL", "", "REMOTE", "VERDICT", "RULE", ">OUT", ">IN", ">AGE", ">IDLE"});
    for (const Json& flow : At(json, "flows")) {
      const std::string rule = Text(flow, "rule");
      table.Row({Text(flow, "scope"), Text(flow, "protocol"), Endpoint(Text(flow, "local"), Count(flow, "localPort")),
                 Arrow(flow), Endpoint(Text(flow, "remote"), Count(flow, "remotePort")), Text(flow, "verdict"),
                 rule.empty() ? absl::StrCat("(", Text(flow, "reason"), ")") : rule,
                 HumanBytes(Count(flow, "bytesOut")), HumanBytes(Count(flow, "bytesIn")),
                 HumanMs(Signed(flow, "ageMs", 0)), HumanMs(Signed(flow, "idleMs", 0))});
    }
    return table.ToString() + MoreLine(json);
  });
}

absl::StatusOr<std::string> RenderDenied(absl::string_view denied_json) {
  return WithJson(denied_json, [](const Json& json) {
    Table table({"SCOPE", "PROTO", "LOCAL", "", "REMOTE", "VERDICT", "REASON", "RULE", ">PACKETS", ">BYTES",
                 ">FIRST AGO", ">LAST AGO"});
    for (const Json& entry : At(json, "denied")) {
      table.Row(
          {Text(entry, "scope"), Text(entry, "protocol"), Endpoint(Text(entry, "local"), Count(entry, "localPort")),
           Arrow(entry), Endpoint(Text(entry, "remote"), Count(entry, "remotePort")), Text(entry, "verdict"),
           Text(entry, "reason"), Text(entry, "rule"), HumanCount(Count(entry, "packets")),
           HumanBytes(Count(entry, "bytes")), HumanMs(Signed(entry, "ageMs", 0)), HumanMs(Signed(entry, "idleMs", 0))});
    }
    return table.ToString() + MoreLine(json);
  });
}

absl::StatusOr<std::string> RenderRecord(absl::string_view line) {
  if (absl::StartsWith(line, "{\"missed\":")) {
    return WithJson(line, [](const Json& json) {
      return absl::StrCat("… ", HumanCount(Count(json, "missed")),
                          " records missed: reading too slowly (the audit file has them)\n");
    });
  }
  LATTICE_ASSIGN_OR_RETURN(const audit::DecodedLine decoded, audit::DecodeLine(line));
  const flow::FlowRecord& record = decoded.record;
  const std::string time = absl::FormatTime("%H:%M:%E3S", record.ts, absl::LocalTimeZone());
  if (record.event == flow::Event::kPolicy) {
    return absl::StrCat(time, " policy  generation ", record.policy_generation, " hash ",
                        record.policy_hash.substr(0, 12), "\n");
  }
  if (record.event == flow::Event::kLoss) {
    return absl::StrCat(time, " LOSS    ", record.lost_count, " at ", record.stage, "\n");
  }
  const std::string end =
      record.event == flow::Event::kEnd ? absl::StrCat(" ", flow::EndReasonName(record.end_reason)) : "";
  return absl::StrFormat("%s %-7s %s %s %s %s %s (%s%s%s)%s out %s, %s in %s, %s\n", time,
                         flow::EventName(record.event), flow::VerdictLabel(record.verdict),
                         flow::ProtocolName(record.protocol), Endpoint(record.src.ToString(), record.src_port), ">",
                         Endpoint(record.dst.ToString(), record.dst_port), flow::ReasonName(record.reason),
                         record.rule.empty() ? "" : " ", record.rule, end, Plural(record.wire_packets_out, "packet"),
                         HumanBytes(record.bytes_out), Plural(record.wire_packets_in, "packet"),
                         HumanBytes(record.bytes_in));
}

absl::StatusOr<std::string> RenderTop(absl::string_view json, absl::string_view before, size_t rows) {
  return WithJson(json, [&](const Json& now) {
    return TopText(now, before.empty() ? Json() : Json::parse(before.begin(), before.end()), rows);
  });
}

}  // namespace lattice::cli
