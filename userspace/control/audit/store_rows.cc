#include "userspace/control/audit/store_rows.h"

#include <algorithm>
#include <array>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"
#include "userspace/control/audit/store_text.h"

namespace lattice::control {
namespace {

enum class Kind { kId, kText, kCounter, kNumber };

struct Column {
  const char* name;
  std::variant<std::string FlowEvent::*, int64_t FlowEvent::*> member;
  Kind kind;
  size_t max_bytes = 0;  // of a text: indexed ones must fit a page of PostgreSQL's index together with their neighbours
};

// One list for every direction.
constexpr std::array<Column, 43> kColumns = {{
    {"id", &FlowEvent::id, Kind::kText, 36},
    {"trace_id", &FlowEvent::trace_id, Kind::kText, 256},
    {"agent_id", &FlowEvent::agent_id, Kind::kText, 256},
    {"direction", &FlowEvent::direction, Kind::kText, 32},
    {"dst_ip", &FlowEvent::dst_ip, Kind::kText, 128},
    {"dst_port", &FlowEvent::dst_port, Kind::kNumber},
    {"bytes", &FlowEvent::bytes, Kind::kCounter},
    {"ts", &FlowEvent::ts_ns, Kind::kNumber},
    {"event_id", &FlowEvent::event_id, Kind::kId, 512},
    {"node", &FlowEvent::node, Kind::kText, 256},
    {"boot", &FlowEvent::boot, Kind::kText, 128},
    {"seq", &FlowEvent::seq, Kind::kNumber},
    {"event", &FlowEvent::event, Kind::kText, 32},
    {"verdict", &FlowEvent::verdict, Kind::kText, 32},
    {"reason", &FlowEvent::reason, Kind::kText, 64},
    {"rule", &FlowEvent::rule, Kind::kText, 512},
    {"src_ip", &FlowEvent::src_ip, Kind::kText, 128},
    {"src_port", &FlowEvent::src_port, Kind::kNumber},
    {"protocol", &FlowEvent::protocol, Kind::kText, 32},
    {"iface", &FlowEvent::iface, Kind::kText, 64},
    {"scope", &FlowEvent::scope, Kind::kText, 32},
    {"mode", &FlowEvent::mode, Kind::kText, 32},
    {"bytes_out", &FlowEvent::bytes_out, Kind::kCounter},
    {"bytes_in", &FlowEvent::bytes_in, Kind::kCounter},
    {"packets_out", &FlowEvent::packets_out, Kind::kCounter},
    {"packets_in", &FlowEvent::packets_in, Kind::kCounter},
    {"start_ts", &FlowEvent::start_ns, Kind::kNumber},
    {"duration_ms", &FlowEvent::duration_ms, Kind::kNumber},
    {"end_reason", &FlowEvent::end_reason, Kind::kText, 64},
    {"policy_generation", &FlowEvent::policy_generation, Kind::kNumber},
    {"policy_hash", &FlowEvent::policy_hash, Kind::kText, 256},
    {"flow_id", &FlowEvent::flow_id, Kind::kId, 512},
    {"host", &FlowEvent::host, Kind::kText, 512},
    {"cgroup", &FlowEvent::cgroup, Kind::kText, 4096},
    {"pid", &FlowEvent::pid, Kind::kNumber},
    {"comm", &FlowEvent::comm, Kind::kText, 64},
    {"stage", &FlowEvent::stage, Kind::kText, 64},
    {"lost_count", &FlowEvent::lost_count, Kind::kCounter},
    {"lost_from", &FlowEvent::lost_from_ns, Kind::kNumber},
    {"lost_to", &FlowEvent::lost_to_ns, Kind::kNumber},
    {"lost_first_seq", &FlowEvent::lost_first_seq, Kind::kNumber},
    {"lost_last_seq", &FlowEvent::lost_last_seq, Kind::kNumber},
    {"lost_boot", &FlowEvent::lost_boot, Kind::kText, 128},
}};
// created_at, updated_at, dst_key, src_key.
static_assert(kInsertWidth == kColumns.size() + 4);

constexpr int64_t kMaxCounter = int64_t{1} << 47;

}  // namespace

bool IsStorable(const FlowEvent& event) {
  return std::all_of(kColumns.begin(), kColumns.end(), [&](const Column& column) {
    if (const auto* text = std::get_if<std::string FlowEvent::*>(&column.member)) {
      const std::string& value = event.**text;
      return value.size() <= column.max_bytes && IsPlainText(value);
    }
    const int64_t number = event.*std::get<int64_t FlowEvent::*>(column.member);
    return column.kind != Kind::kCounter || (number >= 0 && number <= kMaxCounter);
  });
}

FlowEvent Storable(const FlowEvent& event) {
  FlowEvent clean = event;
  for (const Column& column : kColumns) {
    if (const auto* text = std::get_if<std::string FlowEvent::*>(&column.member)) {
      if (column.kind == Kind::kId) {
        CleanId(clean.**text, column.max_bytes);
      } else {
        CleanText(clean.**text, column.max_bytes);
      }
    } else if (column.kind == Kind::kCounter) {
      int64_t& counter = clean.*std::get<int64_t FlowEvent::*>(column.member);
      counter = std::clamp<int64_t>(counter, 0, kMaxCounter);
    }
  }
  return clean;
}

const std::string& EventColumns() {
  static const auto* const columns = new std::string(
      absl::StrJoin(kColumns, ", ", [](std::string* out, const Column& column) { absl::StrAppend(out, column.name); }));
  return *columns;
}

FlowEvent ReadEvent(sql::Row& row) {
  CHECK_GE(row.size(), kColumns.size());
  FlowEvent event;
  for (size_t i = 0; i < kColumns.size(); ++i) {
    if (const auto* text = std::get_if<std::string FlowEvent::*>(&kColumns[i].member)) {
      event.** text = row[i].TakeText();
    } else {
      event.*std::get<int64_t FlowEvent::*>(kColumns[i].member) = row[i].integer();
    }
  }
  return event;
}

namespace {

std::string InsertStatement(size_t rows) {
  const std::string row = absl::StrCat("(", absl::StrJoin(std::vector<std::string>(kInsertWidth, "?"), ", "), ")");
  return absl::StrCat("INSERT INTO la_flow_events (", EventColumns(),
                      ", created_at, updated_at, dst_key, src_key) VALUES ",
                      absl::StrJoin(std::vector<std::string>(rows, row), ", "), " ON CONFLICT (event_id) DO NOTHING");
}

}  // namespace

const std::string& InsertEvent() {
  static const auto* const statement = new std::string(InsertStatement(1));
  return *statement;
}

const std::string& InsertManyEvents() {
  static const auto* const statement = new std::string(InsertStatement(kInsertRows));
  return *statement;
}

void AppendParams(const FlowEvent& event, absl::string_view id, int64_t now_ns, absl::string_view dst_key,
                  absl::string_view src_key, std::vector<sql::Param>& params) {
  params.emplace_back(id);
  for (size_t i = 1; i < kColumns.size(); ++i) {
    if (const auto* text = std::get_if<std::string FlowEvent::*>(&kColumns[i].member)) {
      params.emplace_back(absl::string_view(event.**text));
    } else {
      params.emplace_back(event.*std::get<int64_t FlowEvent::*>(kColumns[i].member));
    }
  }
  params.insert(params.end(), {now_ns, now_ns, dst_key, src_key});
}

}  // namespace lattice::control
