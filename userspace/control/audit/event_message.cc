#include "userspace/control/audit/event_message.h"

#include <exception>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "userspace/control/audit/event_fields.h"
#include "userspace/flow/record.h"

namespace lattice::control {
namespace {

constexpr absl::string_view kOlderAgentsEvent = "flow";

absl::Status Bad(absl::string_view key, absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat("\"", key, "\": ", text));
}

absl::StatusOr<int64_t> ParseTimeNs(absl::string_view key, const std::string& text) {
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
    if ((field_ != nullptr || key_ == "v") && !seen_.insert(key_).second) return Fail("twice");
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    status_ = absl::InvalidArgumentError(error.what());
    return false;
  }

  const absl::Status& status() const { return status_; }
  uint64_t version() const { return version_; }
  bool seen(absl::string_view key) const { return seen_.contains(key); }

 private:
  static constexpr int kMaxDepth = 16;

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
  absl::flat_hash_set<std::string> seen_;
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
