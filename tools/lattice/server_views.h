// The control plane's answers for people. Pure functions: Internal when the answer is not what this version knows.
#ifndef TOOLS_LATTICE_SERVER_VIEWS_H_
#define TOOLS_LATTICE_SERVER_VIEWS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lattice::cli {

absl::StatusOr<std::string> TokenText(absl::string_view data);
absl::StatusOr<std::string> TokensTable(absl::string_view data);
absl::StatusOr<std::string> AgentsTable(absl::string_view data);
// One rule a line after a comment: a policy file.
absl::StatusOr<std::string> PolicyRules(absl::string_view data);
// A text of the object `data`; Internal when there is none.
absl::StatusOr<std::string> DataText(absl::string_view data, const std::string& key);

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_SERVER_VIEWS_H_
