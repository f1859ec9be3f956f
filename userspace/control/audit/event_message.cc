#include "userspace/control/audit/event_message.h"

#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "glog/logging.h"
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

absl::StatusOr<int64_t> ParseTimeNs(absl::string_view key, const std::string& text) {
  if (const std::optional<int64_t> plain = ParsePlainTime(text)) return *plain;
  absl::Time time;
  std::string error;
  // ParseTime() has words for infinity, and takes times that nanoseconds do not reach.
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return Bad(key, error);
  if (time < absl::UnixEpoch() || time > absl::FromUnixNanos(INT64_MAX)) return Bad(key, "out of range");
  return absl::ToUnixNanos(time);
}

// Receives the parser's events and fills the event from the keys of the one object. Values inside of nested ones
// are skipped. Returning false ends the parse; status() says why.
class MessageHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit MessageHandler(FlowEvent& event) : event_(event) {}

  bool null() override { return Other(); }
  bool boolean(bool) override { return Other(); }
  bool number_integer(number_integer_t) override {
    return depth_ != 1 || field_ == nullptr ? Other() : Fail("negative");
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ != 1) return Other();
    if (key_ == "v") {
      version_ = value;
      return true;
    }
    if (field_ == nullptr) return true;
    if (field_->kind != FieldKind::kNumber) return Fail("expected a text");
    if (value > static_cast<uint64_t>(INT64_MAX)) return Fail("out of range");
    event_.*(field_->number()) = static_cast<int64_t>(value);
    return true;
  }
  bool number_float(number_float_t, const string_t&) override { return Other(); }
  bool string(string_t& value) override {
    if (depth_ != 1 || field_ == nullptr) return Other();
    if (field_->kind == FieldKind::kNumber) return Fail("expected a number");
    if (field_->kind == FieldKind::kTime) {
      const absl::StatusOr<int64_t> time = ParseTimeNs(key_, value);
      if (!time.ok()) {
        status_ = time.status();
        return false;
      }
      event_.*(field_->number()) = *time;
      return true;
    }
    if (value.size() > field_->max_bytes) return Fail(absl::StrCat("has more than ", field_->max_bytes, " bytes"));
    event_.*(field_->text()) = std::move(value);
    return true;
  }
  bool binary(binary_t&) override { return Other(); }
  bool start_object(size_t) override { return Open(); }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override {
    if (depth_ == 0) status_ = absl::InvalidArgumentError("the message is no JSON object");
    return depth_ > 0 && Open();
  }
  bool end_array() override { return Close(); }
  bool key(string_t& key) override {
    if (depth_ != 1) return true;
    key_ = std::move(key);
    field_ = FindEventField(key_);
    const uint64_t bit = BitOf(field_, key_);
    if ((seen_ & bit) != 0) return Fail("twice");
    seen_ |= bit;
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    status_ = absl::InvalidArgumentError(error.what());
    return false;
  }

  const absl::Status& status() const { return status_; }
  uint64_t version() const { return version_; }
  bool seen(absl::string_view key) const { return (seen_ & BitOf(FindEventField(key), key)) != 0; }

 private:
  static constexpr int kMaxDepth = 16;

  // Of a key that is kept, or "v"; 0 for the others, which may come as often as they like.
  static uint64_t BitOf(const EventField* field, absl::string_view key) {
    if (field == nullptr) return key == "v" ? uint64_t{1} << 63 : 0;
    DCHECK_LT(EventFields().size(), 63u);
    return uint64_t{1} << (field - EventFields().data());
  }

  bool Fail(absl::string_view text) {
    status_ = Bad(key_, text);
    return false;
  }
  // A value of a type that no field has.
  bool Other() {
    if (depth_ == 0) status_ = absl::InvalidArgumentError("the message is no JSON object");
    if (depth_ == 1 && (field_ != nullptr || key_ == "v")) return Fail("of the wrong type");
    return depth_ > 0;
  }
  bool Open() {
    if (depth_ == 1 && field_ != nullptr) return Fail("of the wrong type");
    if (++depth_ <= kMaxDepth) return true;
    status_ = absl::InvalidArgumentError("nested too deep");
    return false;
  }
  bool Close() {
    --depth_;
    return true;
  }

  FlowEvent& event_;
  int depth_ = 0;
  std::string key_;
  const EventField* field_ = nullptr;
  uint64_t version_ = 0;
  uint64_t seen_ = 0;
  absl::Status status_;
};

absl::Status Parse(absl::string_view message, MessageHandler& handler) {
  try {
    if (nlohmann::json::sax_parse(message.begin(), message.end(), &handler)) return absl::OkStatus();
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
  return handler.status().ok() ? absl::InvalidArgumentError("malformed JSON") : handler.status();
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
  MessageHandler handler(event);
  if (absl::Status parsed = Parse(message, handler); !parsed.ok()) return parsed;
  if (handler.version() > static_cast<uint64_t>(flow::kRecordVersion)) {
    return absl::FailedPreconditionError(
        absl::StrCat("\"v\": ", handler.version(), " is newer than this latticed knows: update it"));
  }
  for (absl::string_view key : {"agentId", "ts"}) {
    if (!handler.seen(key)) return Bad(key, "missing");
  }
  if (handler.seen("eventId")) {
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
