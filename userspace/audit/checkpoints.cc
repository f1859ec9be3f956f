#include "userspace/audit/checkpoints.h"

#include <glog/logging.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "userspace/audit/state_json.h"
#include "userspace/base/status.h"

namespace lattice::audit {

std::string EncodeCheckpoint(const Checkpoint& checkpoint) {
  StateObject object = CursorState(checkpoint.cursor);
  object.texts["msgId"] = checkpoint.stored.msg_id;
  object.texts["at"] = absl::FormatTime(absl::RFC3339_full, checkpoint.at, absl::UTCTimeZone());
  object.numbers["sequence"] = checkpoint.stored.sequence;
  object.numbers["stream"] = static_cast<uint64_t>(checkpoint.stored.stream_created_ns);
  return EncodeState(object);
}

absl::StatusOr<Checkpoint> DecodeCheckpoint(absl::string_view text) {
  Checkpoint checkpoint;
  LATTICE_ASSIGN_OR_RETURN(checkpoint.cursor, DecodeCursor(text));
  LATTICE_ASSIGN_OR_RETURN(const StateObject object, DecodeState(text));
  LATTICE_ASSIGN_OR_RETURN(checkpoint.stored.msg_id, object.Text("msgId"));
  LATTICE_ASSIGN_OR_RETURN(checkpoint.stored.sequence, object.Number("sequence"));
  LATTICE_ASSIGN_OR_RETURN(const uint64_t stream, object.Number("stream"));
  if (stream > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return absl::InvalidArgumentError("\"stream\": too large");
  }
  checkpoint.stored.stream_created_ns = static_cast<int64_t>(stream);
  if (checkpoint.stored.sequence == 0) return absl::InvalidArgumentError("\"sequence\": a stream counts from 1");
  LATTICE_ASSIGN_OR_RETURN(const std::string at, object.Text("at"));
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, at, &checkpoint.at, &error)) {
    return absl::InvalidArgumentError(absl::StrCat("\"at\": ", error));
  }
  // ParseTime() has words for these.
  if (checkpoint.at == absl::InfiniteFuture() || checkpoint.at == absl::InfinitePast()) {
    return absl::InvalidArgumentError("\"at\": infinite");
  }
  return checkpoint;
}

std::string CheckpointsPath(absl::string_view audit_path) {
  return absl::StrCat(audit_path, ".checkpoints");
}

absl::StatusOr<Checkpoints> Checkpoints::Decode(absl::string_view text) {
  Checkpoints checkpoints;
  size_t number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (line.empty()) continue;
    if (checkpoints.all_.size() == kMost) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number, ": more than ", kMost));
    }
    absl::StatusOr<Checkpoint> checkpoint = DecodeCheckpoint(line);
    if (!checkpoint.ok()) return Annotate(checkpoint.status(), absl::StrCat("line ", number));
    checkpoints.all_.push_back(*std::move(checkpoint));
  }
  return checkpoints;
}

std::string Checkpoints::EncodeOlder() const {
  std::string text;
  for (size_t i = 0; i + 1 < all_.size(); ++i) text += EncodeCheckpoint(all_[i]);
  return text;
}

void Checkpoints::Add(Checkpoint checkpoint) {
  // The newest but one began the current spacing; the newest moves on with each batch until the next one begins.
  const size_t size = all_.size();
  const bool same_spacing =
      size >= 2 && checkpoint.at >= all_[size - 2].at && checkpoint.at - all_[size - 2].at < kSpacing;
  if (same_spacing) {
    all_.back() = std::move(checkpoint);
  } else {
    all_.push_back(std::move(checkpoint));
  }
  const absl::Time oldest = all_.back().at - kWindow;
  size_t old = 0;
  while (old + 1 < all_.size() && (all_[old + 1].at <= oldest || all_.size() - old > kMost)) ++old;
  all_.erase(all_.begin(), all_.begin() + static_cast<ptrdiff_t>(old));
}

Checkpoints LoadCheckpoints(FileSystem& fs, const std::string& audit_path) {
  Checkpoints checkpoints;
  const std::string path = CheckpointsPath(audit_path);
  const absl::StatusOr<std::string> text = fs.ReadWhole(path);
  if (text.ok()) {
    absl::StatusOr<Checkpoints> older = Checkpoints::Decode(*text);
    if (older.ok()) {
      checkpoints = *std::move(older);
    } else {
      LOG(ERROR) << path << ": " << older.status().message() << "; should the stream have lost records since, "
                 << "everything in the audit files is published again";
    }
  } else if (!absl::IsNotFound(text.status())) {
    LOG(ERROR) << text.status().message();
  }
  const absl::StatusOr<std::string> newest = fs.ReadWhole(CursorPath(audit_path));
  if (!newest.ok()) return checkpoints;
  if (absl::StatusOr<Checkpoint> checkpoint = DecodeCheckpoint(*newest); checkpoint.ok()) {
    checkpoints.Add(*std::move(checkpoint));
  }
  return checkpoints;
}

}  // namespace lattice::audit
