// Messages on lattice.audit.flow from anybody: any text is an event within the bounds of the table, which can be said
// as JSON again, or is refused with a reason that latticed keeps it under.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "userspace/control/audit/event_json.h"
#include "userspace/control/audit/event_message.h"

namespace lattice::control {
namespace {

constexpr StreamPlace kPlace{.seq = 7, .time_ns = 1'770'000'000'000'000'000};

void CheckEvent(const FlowEvent& event) {
  CHECK(event.ts_ns >= 0 && event.ts_ns <= kPlace.time_ns + kMaxAheadNs);
  CHECK(event.dst_port >= 0 && event.dst_port <= 65535);
  CHECK(event.src_port >= 0 && event.src_port <= 65535);
  CHECK(event.bytes >= 0 && event.lost_count >= 0 && event.lost_first_seq <= event.lost_last_seq);
  if (event.seq == 0) {
    CHECK_EQ(event.event_id, absl::StrCat("stream/", kPlace.time_ns, "/", kPlace.seq));
  } else {
    CHECK_EQ(event.event_id, absl::StrCat(event.node, "/", event.boot, "/", event.seq));
  }
  std::string text;
  AppendEventJson(event, text);
  CHECK(nlohmann::json::accept(text)) << text;
  // What the API says is a message again, of the same event.
  const auto again = DecodeMessage(text, kPlace);
  if (again.ok() && event.seq != 0) CHECK_EQ(again->event_id, event.event_id);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto event = DecodeMessage({reinterpret_cast<const char*>(data), size}, kPlace);
  if (event.ok()) {
    CheckEvent(*event);
  } else {
    CHECK(absl::IsInvalidArgument(event.status()) || absl::IsFailedPrecondition(event.status()) ||
          absl::IsOutOfRange(event.status()) || absl::IsResourceExhausted(event.status()))
        << event.status();
  }
  return 0;
}

}  // namespace lattice::control
