// A FlowEvent as the API gives it: the message's keys and `id`, or a line of CSV. Any thread.
#ifndef USERSPACE_CONTROL_AUDIT_EVENT_JSON_H_
#define USERSPACE_CONTROL_AUDIT_EVENT_JSON_H_

#include <string>

#include "absl/strings/string_view.h"
#include "userspace/control/audit/flow_event.h"

namespace lattice::control {

// Appends {"id":…}. Empty texts and zeros are left out, except upstream's keys. Bad UTF-8 becomes U+FFFD.
void AppendEventJson(const FlowEvent& event, std::string& out);

// The names of the columns: "id" and the message's keys, with a line end.
std::string CsvHeader();
// RFC 4180, a line. A cell that a spreadsheet would take for a formula (it begins with = + - @, a tab or a line end)
// gets an apostrophe in front.
void AppendEventCsv(const FlowEvent& event, std::string& out);

// `text` as a JSON string with its quotes.
void AppendJsonText(absl::string_view text, std::string& out);
// RFC 3339, nanoseconds, UTC; empty for 0.
std::string TimeText(int64_t ns);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_EVENT_JSON_H_
