#include "userspace/dp/loss_ledger.h"

#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/flow/record.h"

namespace lattice::dp {

namespace {

std::string Line(uint64_t denied_table, uint64_t untracked) {
  return absl::StrCat(denied_table, " ", untracked, "\n");
}

}  // namespace

absl::Status LossLedger::Load(bool adopted, absl::Time now) {
  told_at_ = now;
  if (!adopted) {
    if (unlink(path_.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, absl::StrCat("removing ", path_));
    return absl::OkStatus();
  }
  const auto text = ReadFile(path_);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  if (!text.ok()) return text.status();
  const std::vector<absl::string_view> fields = absl::StrSplit(*text, absl::ByAnyChar(" \n"));
  uint64_t denied_table = 0;
  uint64_t untracked = 0;
  // Exactly what Told() writes: the beginning of a longer number is a number too.
  if (fields.size() < 2 || !absl::SimpleAtoi(fields[0], &denied_table) || !absl::SimpleAtoi(fields[1], &untracked) ||
      *text != Line(denied_table, untracked)) {
    return absl::DataLossError(
        absl::StrCat(path_, " is not two numbers: remove it, then losses since the pins were made are told again"));
  }
  counts_.denied_table = denied_table;
  counts_.untracked = untracked;
  return absl::OkStatus();
}

std::vector<LossLedger::Loss> LossLedger::Compare(uint64_t denied_table, uint64_t untracked, absl::Time now) {
  std::vector<Loss> losses;
  const auto compare = [&](absl::string_view stage, uint64_t seen, uint64_t told) {
    if (seen > told) losses.push_back({stage, seen - told, told_at_, now});
  };
  compare(flow::kStageDeniedTable, denied_table, counts_.denied_table);
  compare(flow::kStageUntracked, untracked, counts_.untracked);
  seen_denied_table_ = denied_table;
  seen_untracked_ = untracked;
  seen_at_ = now;
  if (losses.empty()) told_at_ = now;
  return losses;
}

absl::Status LossLedger::Told() {
  counts_.denied_table = seen_denied_table_;
  counts_.untracked = seen_untracked_;
  told_at_ = seen_at_;
  return WriteFileAtomically(path_, Line(seen_denied_table_, seen_untracked_), 0640);
}

}  // namespace lattice::dp
