// A FlowEvent as a row of la_flow_events and back. Pure functions, any thread.
#ifndef USERSPACE_CONTROL_AUDIT_STORE_ROWS_H_
#define USERSPACE_CONTROL_AUDIT_STORE_ROWS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "userspace/control/audit/flow_event.h"
#include "userspace/sql/value.h"

namespace lattice::control {

// The event with texts and numbers that the table can hold; see store_text.h for texts. Counters below 0 are 0, and at
// most 2^47, so that no sum of them leaves 64 bits.
FlowEvent Storable(const FlowEvent& event);
// Whether that is what it is: nearly every event, and cheaper than a copy.
bool IsStorable(const FlowEvent& event);

// "id, trace_id, …": what ReadEvent() reads.
const std::string& EventColumns();
FlowEvent ReadEvent(sql::Row& row);

// The statement that stores one event unless its event_id is there, and its parameters, which borrow from `event` and
// `id` and the keys; the event's own id is not looked at.
const std::string& InsertEvent();
inline constexpr size_t kInsertWidth = 47;
// The same for kInsertRows events: opening and closing the table and all of its indexes costs as much as some rows.
const std::string& InsertManyEvents();
inline constexpr size_t kInsertRows = 20;
void AppendParams(const FlowEvent& event, absl::string_view id, int64_t now_ns, absl::string_view dst_key,
                  absl::string_view src_key, std::vector<sql::Param>& params);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_STORE_ROWS_H_
