#include "userspace/audit/decoder.h"

#include <deque>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "userspace/audit/chain.h"
#include "userspace/audit/json_reader.h"
#include "userspace/flow/names.h"

namespace lattice::audit {
namespace {

enum Key {
  kIdentity,
  kSrcIp,
  kDstIp,
  kDstPort,
  kProtocol,
  kVerdict,
  kV,
  kEventId,
  kSeq,
  kNode,
  kEvent,
  kTs,
  kDirection,
  kReason,
  kRule,
  kSrcPort,
  kTraceId,
  kIface,
  kScope,
  kMode,
  kBytesOut,
  kBytesIn,
  kPacketsOut,
  kPacketsIn,
  kWirePacketsOut,
  kWirePacketsIn,
  kStart,
  kDurationMs,
  kEndReason,
  kPolicyGeneration,
  kFlowId,
  kHost,
  kCgroupId,
  kCgroup,
  kPid,
  kComm,
  kPolicyHash,
  kStage,
  kCount,
  kFrom,
  kTo,
  kFirstSeq,
  kLastSeq,
  kLostBoot,
  kMonotonicNs,
  kH,
  kKeys,
};

constexpr absl::string_view kKeyNames[] = {
    "identity",
    "src_ip",
    "dst_ip",
    "dst_port",
    "protocol",
    "verdict",
    "v",
    "eventId",
    "seq",
    "node",
    "event",
    "ts",
    "direction",
    "reason",
    "rule",
    "srcPort",
    "traceId",
    "iface",
    "scope",
    "mode",
    "bytesOut",
    "bytesIn",
    "packetsOut",
    "packetsIn",
    "wirePacketsOut",
    "wirePacketsIn",
    "start",
    "durationMs",
    "endReason",
    "policyGeneration",
    "flowId",
    "host",
    "cgroupId",
    "cgroup",
    "pid",
    "comm",
    "policyHash",
    "stage",
    "count",
    "from",
    "to",
    "firstSeq",
    "lastSeq",
    "lostBoot",
    "monotonicNs",
    "h",
};
static_assert(std::size(kKeyNames) == kKeys);

const absl::flat_hash_map<absl::string_view, Key>& KeysByName() {
  static const auto* const keys = [] {
    auto* map = new absl::flat_hash_map<absl::string_view, Key>;
    for (int key = 0; key < kKeys; ++key) (*map)[kKeyNames[key]] = static_cast<Key>(key);
    return map;
  }();
  return *keys;
}

absl::Status Bad(absl::string_view key, absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat("\"", key, "\": ", text));
}

struct Value {
  bool there = false;
  JsonType type = JsonType::kOther;
  uint64_t number = 0;
  absl::string_view text;
};

// "2026-01-31T12:00:00.123456789Z" and nothing else.
bool ParseTime(absl::string_view text, absl::Time* time) {
  constexpr absl::string_view kForm = "dddd-dd-ddTdd:dd:dd.dddddddddZ";
  if (text.size() != kForm.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kForm[i] == 'd' ? !digit : text[i] != kForm[i]) return false;
  }
  const auto number = [&](size_t from, size_t digits) {
    int value = 0;
    for (size_t i = from; i < from + digits; ++i) value = value * 10 + (text[i] - '0');
    return value;
  };
  const int fields[6] = {number(0, 4), number(5, 2), number(8, 2), number(11, 2), number(14, 2), number(17, 2)};
  const absl::CivilSecond civil(fields[0], fields[1], fields[2], fields[3], fields[4], fields[5]);
  // CivilSecond carries February 30th over to March: then the fields differ.
  if (civil.month() != fields[1] || civil.day() != fields[2] || civil.hour() != fields[3] ||
      civil.minute() != fields[4] || civil.second() != fields[5]) {
    return false;
  }
  const int64_t seconds = civil - absl::CivilSecond(1970, 1, 1, 0, 0, 0);
  // What int64 nanoseconds reach; the encoder prints no other.
  if (seconds <= std::numeric_limits<int64_t>::min() / 1'000'000'000 ||
      seconds >= std::numeric_limits<int64_t>::max() / 1'000'000'000) {
    return false;
  }
  *time = absl::FromUnixSeconds(seconds) + absl::Nanoseconds(number(20, 9));
  return true;
}

// Takes values out by key; remembers the first thing that was wrong.
class Fields {
 public:
  explicit Fields(const Value* values) : values_(values) {}
  const absl::Status& status() const { return status_; }

  bool Has(Key key) const { return values_[key].there; }

  absl::string_view View(Key key) {
    if (values_[key].type == JsonType::kText) return values_[key].text;
    Fail(key, Has(key) ? "expected a string" : "missing");
    return "";
  }
  std::string Text(Key key) { return std::string(View(key)); }
  std::string TextIfKnown(Key key) { return Has(key) ? Text(key) : ""; }

  template <typename T>
  T Number(Key key, T most = std::numeric_limits<T>::max()) {
    if (values_[key].type != JsonType::kNumber) {
      Fail(key, Has(key) ? "expected a number without sign and fraction" : "missing");
    } else if (values_[key].number > most) {
      Fail(key, absl::StrCat("expected at most ", most));
    } else {
      return static_cast<T>(values_[key].number);
    }
    return 0;
  }
  template <typename T>
  T NumberIfKnown(Key key) {
    return Has(key) ? Number<T>(key) : T{0};
  }

  template <typename E, typename Parse>
  E Word(Key key, Parse parse, E otherwise) {
    const absl::string_view text = View(key);
    if (const std::optional<E> value = parse(text)) return *value;
    Fail(key, absl::StrCat("\"", text, "\" is not one of its words"));
    return otherwise;
  }
  absl::Time Time(Key key) {
    absl::Time time;
    if (!ParseTime(View(key), &time)) Fail(key, "expected RFC 3339 in UTC with nanoseconds");
    return time;
  }
  IpAddress Ip(Key key) {
    absl::StatusOr<IpAddress> address = IpAddress::Parse(View(key));
    if (address.ok()) return *address;
    Fail(key, "expected an IP address");
    return IpAddress();
  }

  void Fail(Key key, absl::string_view text) {
    if (status_.ok()) status_ = Bad(kKeyNames[key], text);
  }

 private:
  const Value* values_;
  absl::Status status_;
};

void TakeIdentification(Fields& fields, flow::FlowRecord& record) {
  if (fields.Number<uint32_t>(kV) != uint32_t{flow::kRecordVersion}) {
    fields.Fail(kV, absl::StrCat("this program reads version ", flow::kRecordVersion));
  }
  const absl::string_view node = fields.View(kNode);
  record.seq = fields.Number<uint64_t>(kSeq);
  uint64_t seq = 0;
  if (!flow::ParseEventId(fields.View(kEventId), &record.node, &record.boot, &seq)) {
    fields.Fail(kEventId, "expected <node>/<boot>/<seq>");
  } else if (record.node != node || record.seq != seq) {
    fields.Fail(kEventId, "node and seq say otherwise");
  }
  record.event = fields.Word(kEvent, flow::ParseEvent, flow::Event::kLoss);
  record.ts = fields.Time(kTs);
  record.monotonic_ns = fields.Number<uint64_t>(kMonotonicNs);
  record.agent_id = fields.Text(kIdentity);
  record.trace_id = fields.TextIfKnown(kTraceId);
  record.iface = fields.Text(kIface);
  record.scope = fields.Word(kScope, flow::ParseScope, LAT_SCOPE_IFACE);
  record.mode = fields.Word(kMode, flow::ParseMode, LAT_MODE_ENFORCE);
}

void TakeFlow(Fields& fields, flow::FlowRecord& record) {
  record.direction = fields.Word(kDirection, flow::ParseDirection, LAT_EGRESS);
  const auto verdict = [&](absl::string_view text) { return flow::ParseVerdict(text, record.mode); };
  record.verdict = fields.Word(kVerdict, verdict, LAT_DENY);
  record.reason = fields.Word(kReason, flow::ParseReason, flow::Reason::kNone);
  if (fields.Has(kEndReason)) {
    record.end_reason = fields.Word(kEndReason, flow::ParseEndReason, flow::EndReason::kNone);
  }
  record.rule = fields.Text(kRule);
  record.src = fields.Ip(kSrcIp);
  record.dst = fields.Ip(kDstIp);
  record.src_port = fields.Number<uint16_t>(kSrcPort);
  record.dst_port = fields.Number<uint16_t>(kDstPort);
  record.protocol = fields.Word(kProtocol, flow::ParseProtocol, uint8_t{0});
  record.bytes_out = fields.Number<uint64_t>(kBytesOut);
  record.bytes_in = fields.Number<uint64_t>(kBytesIn);
  record.packets_out = fields.Number<uint64_t>(kPacketsOut);
  record.packets_in = fields.Number<uint64_t>(kPacketsIn);
  record.wire_packets_out = fields.Number<uint64_t>(kWirePacketsOut);
  record.wire_packets_in = fields.Number<uint64_t>(kWirePacketsIn);
  record.start = fields.Time(kStart);
  record.duration_ms = fields.Number<uint64_t>(kDurationMs);
  record.policy_generation = fields.Number<uint32_t>(kPolicyGeneration);
  if (!flow::ParseFlowId(fields.View(kFlowId), &record.start_monotonic_ns)) {
    fields.Fail(kFlowId, "expected <boot>-<hex>-<hex>");
  }
  record.host = fields.TextIfKnown(kHost);
  record.cgroup_id = fields.NumberIfKnown<uint64_t>(kCgroupId);
  record.cgroup = fields.TextIfKnown(kCgroup);
  record.pid = fields.NumberIfKnown<uint32_t>(kPid);
  record.comm = fields.TextIfKnown(kComm);
}

void TakeLoss(Fields& fields, flow::FlowRecord& record) {
  record.stage = fields.Text(kStage);
  record.lost_count = fields.Number<uint64_t>(kCount);
  record.lost_from = fields.Time(kFrom);
  record.lost_to = fields.Time(kTo);
  record.lost_first_seq = fields.NumberIfKnown<uint64_t>(kFirstSeq);
  record.lost_last_seq = fields.NumberIfKnown<uint64_t>(kLastSeq);
  record.lost_boot = fields.TextIfKnown(kLostBoot);
  // They tell nothing without it, and the encoder leaves them out then.
  if (record.lost_first_seq == 0 && (fields.Has(kLastSeq) || fields.Has(kLostBoot))) {
    fields.Fail(kFirstSeq, "missing or 0, and lastSeq or lostBoot is there");
  }
}

absl::StatusOr<DecodedLine> Take(Fields fields) {
  DecodedLine line;
  flow::FlowRecord& record = line.record;
  TakeIdentification(fields, record);
  if (!fields.status().ok()) return fields.status();
  if (record.is_flow()) {
    TakeFlow(fields, record);
  } else if (record.event == flow::Event::kPolicy) {
    record.policy_generation = fields.Number<uint32_t>(kPolicyGeneration);
    record.policy_hash = fields.Text(kPolicyHash);
  } else {
    TakeLoss(fields, record);
  }
  if (fields.Has(kH)) {
    line.h = fields.Text(kH);
    if (!IsHashHex(line.h)) fields.Fail(kH, "expected 64 lower-case hex digits");
  }
  if (!fields.status().ok()) return fields.status();
  return line;
}

}  // namespace

absl::StatusOr<DecodedLine> DecodeLine(absl::string_view line) {
  if (line.size() > kMaxLineBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a line of ", line.size(), " bytes, at most ", kMaxLineBytes));
  }
  Value values[kKeys];
  std::deque<std::string> unescaped;
  absl::string_view twice;
  const JsonEnd end = ReadJsonObject(line, unescaped, [&](const JsonMember& member) {
    const auto found = KeysByName().find(member.key);
    if (found == KeysByName().end()) return true;
    Value& value = values[found->second];
    if (value.there) twice = member.key;
    value = {true, member.type, member.number, member.text};
    return twice.empty();
  });
  switch (end.kind) {
    case JsonEnd::kDone:
      return Take(Fields(values));
    case JsonEnd::kNoObject:
      return absl::InvalidArgumentError("not an object");
    case JsonEnd::kStopped:
      return absl::InvalidArgumentError(absl::StrCat("\"", twice, "\" is there twice"));
    case JsonEnd::kTooDeep:
      return absl::InvalidArgumentError("nested too deep");
    case JsonEnd::kMalformed:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat("not JSON at byte ", end.at));
}

}  // namespace lattice::audit
