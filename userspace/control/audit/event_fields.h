// Which key of the message is which member of a FlowEvent: one table for the decoder, the API's JSON and its CSV.
#ifndef USERSPACE_CONTROL_AUDIT_EVENT_FIELDS_H_
#define USERSPACE_CONTROL_AUDIT_EVENT_FIELDS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "userspace/control/audit/flow_event.h"

namespace lattice::control {

enum class FieldKind { kText, kNumber, kTime };

struct EventField {
  absl::string_view key;
  FieldKind kind;
  std::variant<std::string FlowEvent::*, int64_t FlowEvent::*> member;
  bool always = false;   // in the API's JSON even when it is empty or 0: upstream's keys
  size_t max_bytes = 0;  // of a text

  std::string FlowEvent::*text() const { return std::get<std::string FlowEvent::*>(member); }
  int64_t FlowEvent::*number() const { return std::get<int64_t FlowEvent::*>(member); }
};

// In the order of the output.
absl::Span<const EventField> EventFields();
// Null for a key that is not kept.
const EventField* FindEventField(absl::string_view key);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_EVENT_FIELDS_H_
