#include "tools/lattice/audit_log.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lattice::cli {
namespace {

constexpr char kLogFolder[] = "/var/log/lattice";

}  // namespace

absl::StatusOr<std::string> DefaultAuditLog() {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(kLogFolder, error)) {
    const std::filesystem::path path = entry.path() / "audit.jsonl";
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) found.push_back(path.string());
  }
  std::sort(found.begin(), found.end());
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("no audit file in ", kLogFolder, "/*/: name one with --audit-log"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("several audit files: name one with --audit-log: ", absl::StrJoin(found, ", ")));
}

}  // namespace lattice::cli
