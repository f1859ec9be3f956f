#include "userspace/control/audit/event_message.h"

#include <deque>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "userspace/audit/json_reader.h"
#include "userspace/control/audit/event_fields.h"
#include "userspace/flow/record.h"

namespace lattice::control {
namespace {

constexpr absl::string_view kOlderAgentsEvent = "flow";

absl::Status Bad(absl::string_view key, absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat("\"", key, "\": ", text));
}

// The decimal number that `text` is; -1 when it is none.
int64_t Digits(absl::string_view text) {
  int64_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return -1;
    number = number * 10 + (c - '0');
  }
  return number;
}

// "2026-02-02T02:40:00[.123456789]Z", which is what our writers write; nothing for any other form. ParseTime() knows
// them all and takes as long as the rest of the message.
std::optional<int64_t> ParsePlainTime(absl::string_view text) {
  if (text.size() < 20 || text.size() > 30 || text.back() != 'Z' || text[4] != '-' || text[7] != '-' ||
      text[10] != 'T' || text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  const int64_t year = Digits(text.substr(0, 4)), month = Digits(text.substr(5, 2)), day = Digits(text.substr(8, 2));
  const int64_t hour = Digits(text.substr(11, 2)), minute = Digits(text.substr(14, 2));
  const int64_t second = Digits(text.substr(17, 2));
  // Nanoseconds in 64 bits reach to 2262.
  if (year < 1970 || year > 2261 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 ||
      minute > 59 || second < 0 || second > 59) {
    return std::nullopt;
  }
  const absl::CivilDay date(year, month, day);
  if (date.day() != day) return std::nullopt;  // the 30th of February
  int64_t nanos = 0;
  if (text.size() > 20) {
    const absl::string_view fraction = text.substr(20, text.size() - 21);
    if (text[19] != '.' || fraction.empty() || (nanos = Digits(fraction)) < 0) return std::nullopt;
    for (size_t i = fraction.size(); i < 9; ++i) nanos *= 10;
  }
  const int64_t days = date - absl::CivilDay(1970, 1, 1);
  return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1'000'000'000 + nanos;
}

absl::StatusOr<int64_t> ParseTimeNs(absl::string_view key, absl::string_view text) {
  if (const std::optional<int64_t> plain = ParsePlainTime(text)) return *plain;
  absl::Time time;
  std::string error;
  // ParseTime() has words for infinity, and takes times that nanoseconds do not reach.
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return Bad(key, error);
  if (time < absl::UnixEpoch() || time > absl::FromUnixNanos(INT64_MAX)) return Bad(key, "out of range");
  return absl::ToUnixNanos(time);
}

// Fills the event from the members of the one object; Take() returns false at the first that is wrong.
class Members {
 public:
  explicit Members(FlowEvent& event) : event_(event) {}

  bool Take(const audit::JsonMember& member) {
    const EventField* field = FindEventField(member.key);
    const bool is_version = field == nullptr && member.key == "v";
    if (field == nullptr && !is_version) return true;  // those may come as often as they like
    const uint64_t bit = BitOf(field);
    if ((seen_ & bit) != 0) return Fail(member, "twice");
    seen_ |= bit;
    if (is_version || field->kind == FieldKind::kNumber) {
      return TakeNumber(member, is_version ? version_ : event_.*(field->number()));
    }
    if (member.type != audit::JsonType::kText) return Fail(member, "expected a text");
    if (field->kind == FieldKind::kTime) {
      const absl::StatusOr<int64_t> time = ParseTimeNs(member.key, member.text);
      if (time.ok()) event_.*(field->number()) = *time;
      status_ = time.status();
      return time.ok();
    }
    if (member.text.size() > field->max_bytes) {
      return Fail(member, absl::StrCat("has more than ", field->max_bytes, " bytes"));
    }
    (event_.*(field->text())).assign(member.text.data(), member.text.size());
    return true;
  }

  const absl::Status& status() const { return status_; }
  int64_t version() const { return version_; }
  bool seen(absl::string_view key) const { return (seen_ & BitOf(FindEventField(key))) != 0; }

 private:
  // Of a key that is kept; of "v", which has no field, the last.
  static uint64_t BitOf(const EventField* field) {
    DCHECK_LT(EventFields().size(), 63u);
    return uint64_t{1} << (field == nullptr ? 63 : field - EventFields().data());
  }

  bool TakeNumber(const audit::JsonMember& member, int64_t& number) {
    if (member.type == audit::JsonType::kNegative) return Fail(member, "negative");
    if (member.type != audit::JsonType::kNumber) return Fail(member, "expected a number without a fraction");
    if (member.number > static_cast<uint64_t>(INT64_MAX)) return Fail(member, "out of range");
    number = static_cast<int64_t>(member.number);
    return true;
  }
  bool Fail(const audit::JsonMember& member, absl::string_view text) {
    status_ = Bad(member.key, text);
    return false;
  }

  FlowEvent& event_;
  int64_t version_ = 0;
  uint64_t seen_ = 0;
  absl::Status status_;
};

absl::Status Parse(absl::string_view message, Members& members) {
  std::deque<std::string> unescaped;
  const audit::JsonEnd end =
      audit::ReadJsonObject(message, unescaped, [&](const audit::JsonMember& member) { return members.Take(member); });
  switch (end.kind) {
    case audit::JsonEnd::kDone:
      return absl::OkStatus();
    case audit::JsonEnd::kStopped:
      return members.status();
    case audit::JsonEnd::kNoObject:
      return absl::InvalidArgumentError("the message is no JSON object");
    case audit::JsonEnd::kTooDeep:
      return absl::InvalidArgumentError("nested too deep");
    case audit::JsonEnd::kMalformed:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat("parse error: no JSON in UTF-8 at byte ", end.at));
}

// node, boot and seq are in the id; the table's uniqueness is by the id, its gaps by the others.
absl::Status CheckIdentity(FlowEvent& event) {
  std::string node, boot;
  uint64_t seq = 0;
  if (!flow::ParseEventId(event.event_id, &node, &boot, &seq) || seq == 0 || seq > static_cast<uint64_t>(INT64_MAX)) {
    return Bad("eventId", "not of the form node/boot/seq");
  }
  if (node != event.node) return Bad("eventId", "names another node");
  if (static_cast<int64_t>(seq) != event.seq) return Bad("eventId", "names another seq");
  if (boot.size() > 128) return Bad("eventId", "the boot is too long");
  // "…/01" would be a second record of number 1.
  if (flow::EventId(node, boot, seq) != event.event_id) return Bad("eventId", "not written as node/boot/seq is");
  event.boot = std::move(boot);
  return absl::OkStatus();
}

absl::Status CheckRanges(const FlowEvent& event) {
  for (const auto& [key, port] : {std::pair("dstPort", event.dst_port), std::pair("srcPort", event.src_port)}) {
    if (port > 65535) return Bad(key, "over 65535");
  }
  if (event.lost_first_seq > event.lost_last_seq) return Bad("firstSeq", "above lastSeq");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FlowEvent> DecodeMessage(absl::string_view message, const StreamPlace& place) {
  if (message.size() > kMaxMessageBytes) {
    return absl::ResourceExhaustedError(absl::StrCat("the message has more than ", kMaxMessageBytes, " bytes"));
  }
  FlowEvent event;
  Members members(event);
  if (absl::Status parsed = Parse(message, members); !parsed.ok()) return parsed;
  if (members.version() > int64_t{flow::kRecordVersion}) {
    return absl::FailedPreconditionError(
        absl::StrCat("\"v\": ", members.version(), " is newer than this latticed knows: update it"));
  }
  for (absl::string_view key : {"agentId", "ts"}) {
    if (!members.seen(key)) return Bad(key, "missing");
  }
  if (members.seen("eventId")) {
    if (absl::Status identity = CheckIdentity(event); !identity.ok()) return identity;
  } else {
    event.event_id = absl::StrCat("stream/", place.time_ns, "/", place.seq);
    event.event = std::string(kOlderAgentsEvent);
    event.seq = 0;
    event.node.clear();
  }
  if (absl::Status ranges = CheckRanges(event); !ranges.ok()) return ranges;
  if (event.ts_ns > place.time_ns && event.ts_ns - place.time_ns > kMaxAheadNs) {
    return absl::OutOfRangeError("\"ts\": more than a day ahead of the NATS server's clock");
  }
  return event;
}

}  // namespace lattice::control
