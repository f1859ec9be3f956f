// The daemon's JSON answers as text for people. Pure functions: what the JSON lacks is left out, and what
// is no such JSON is an Internal error.
#ifndef TOOLS_LATTICE_RENDER_H_
#define TOOLS_LATTICE_RENDER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lattice::cli {

absl::StatusOr<std::string> RenderStatus(absl::string_view json);
absl::StatusOr<std::string> InterfaceOfStatus(absl::string_view status_json);
absl::StatusOr<int64_t> PidOfStatus(absl::string_view status_json);
// False while something wanted is not in place.
absl::StatusOr<bool> IsEnforcing(absl::string_view status_json);

absl::StatusOr<std::string> RenderRuleHits(absl::string_view policy_json);
absl::StatusOr<std::string> PolicyText(absl::string_view policy_json);
absl::StatusOr<std::string> RenderCheck(absl::string_view check_json);
absl::StatusOr<std::string> RenderReceipt(absl::string_view receipt_json);

absl::StatusOr<std::string> RenderFlows(absl::string_view flows_json);
absl::StatusOr<std::string> RenderDenied(absl::string_view denied_json);
// One line of `flows --follow`, a record of the audit file.
absl::StatusOr<std::string> RenderRecord(absl::string_view line);

// `before` is the answer before, empty the first time: then there are no rates and the order is by totals.
absl::StatusOr<std::string> RenderTop(absl::string_view json, absl::string_view before, size_t rows);

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_RENDER_H_
