// Theory of operation. Names only select candidates: what a file is, its first line says
// (logrotate gives names of its own). Numbers order the segments of one boot. Boots
// have no order in themselves and the wall clock may have stepped back between them, but the
// first line of a boot is hashed together with the last hash of the boot before it.
#include "userspace/audit/segment.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "userspace/audit/chain.h"
#include "userspace/audit/decoder.h"
#include "userspace/audit/lines.h"
#include "userspace/base/status.h"

namespace lattice::audit {
namespace {

constexpr absl::string_view kSuffix = ".jsonl";

absl::string_view NameOf(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == absl::string_view::npos ? path : path.substr(slash + 1);
}

// "audit.jsonl" -> "audit"
absl::string_view StemOf(absl::string_view name) {
  return absl::StripSuffix(name, kSuffix);
}

// Whether a file called `name` beside the audit file `live` may hold its lines.
bool MayBeSegment(absl::string_view name, absl::string_view live) {
  if (absl::StartsWith(name, live)) {
    const absl::string_view rest = name.substr(live.size());
    return rest.empty() || rest[0] == '.' || rest[0] == '-';  // logrotate, dateext
  }
  return absl::StartsWith(name, absl::StrCat(StemOf(live), "-")) && absl::StrContains(name, kSuffix);
}

// A closed segment is named after its first record; "a-b.jsonl" may be another daemon's live file.
bool NameFits(absl::string_view name, absl::string_view live, const Segment& segment) {
  if (absl::StartsWith(name, live)) return true;
  return absl::StartsWith(name, NameOf(SegmentPath(live, segment.boot, segment.first_seq)));
}

// Nothing if the file is no segment, or is gone by now.
absl::StatusOr<std::optional<Segment>> Inspect(FileSystem& fs, const std::string& path, absl::string_view live) {
  absl::StatusOr<std::unique_ptr<File>> file = fs.OpenRead(path);
  if (absl::IsNotFound(file.status()) || absl::IsFailedPrecondition(file.status())) return std::nullopt;
  if (!file.ok()) return file.status();
  Segment segment{.path = path, .live = NameOf(path) == live};
  LATTICE_ASSIGN_OR_RETURN(segment.info, (*file)->Stat());
  LATTICE_ASSIGN_OR_RETURN(const std::optional<std::string> first, FirstLine(**file));
  if (!first.has_value()) return std::nullopt;
  absl::StatusOr<DecodedLine> line = DecodeLine(*first);
  if (!line.ok()) return std::nullopt;
  segment.boot = line->record.boot;
  segment.first_seq = line->record.seq;
  segment.first_ts = line->record.ts;
  segment.first_line = *first;
  if (!NameFits(NameOf(path), live, segment)) return std::nullopt;
  return segment;
}

using Boot = std::vector<Segment>;  // by number

// `h` of the boot's last line; empty if it can't be read.
absl::StatusOr<std::string> LastHash(FileSystem& fs, const Boot& boot) {
  absl::StatusOr<std::unique_ptr<File>> file = fs.OpenRead(boot.back().path);
  if (!file.ok()) return std::string();  // renamed in between: the caller falls back to time
  LATTICE_ASSIGN_OR_RETURN(const std::optional<std::string> line, LastLine(**file));
  std::string object;
  absl::string_view h;
  if (!line.has_value() || !SplitSealed(*line, &object, &h)) return std::string();
  return std::string(h);
}

bool Follows(const Boot& boot, absl::string_view previous_hash) {
  std::string object;
  absl::string_view h;
  if (previous_hash.empty() || !SplitSealed(boot.front().first_line, &object, &h)) return false;
  HashChain chain(previous_hash);
  chain.Seal(object, 0);
  return chain.head() == h;
}

// Boots that follow no other come in the order of time, each with those that follow it.
absl::StatusOr<std::vector<Boot>> OrderBoots(FileSystem& fs, std::vector<Boot> boots) {
  std::sort(boots.begin(), boots.end(),
            [](const Boot& a, const Boot& b) { return a.front().first_ts < b.front().first_ts; });
  const size_t none = boots.size();
  std::vector<size_t> next(boots.size(), none);
  std::vector<bool> follows(boots.size(), false);
  for (size_t i = 0; i < boots.size(); ++i) {
    LATTICE_ASSIGN_OR_RETURN(const std::string last_hash, LastHash(fs, boots[i]));
    for (size_t j = 0; j < boots.size(); ++j) {
      if (j == i || follows[j] || !Follows(boots[j], last_hash)) continue;
      next[i] = j;
      follows[j] = true;
      break;
    }
  }
  std::vector<Boot> ordered;
  std::vector<bool> placed(boots.size(), false);
  // The second time for boots that follow each other in a circle, which only a forger can make: a last line
  // may claim any hash.
  for (const bool circles : {false, true}) {
    for (size_t i = 0; i < boots.size(); ++i) {
      if (follows[i] && !circles) continue;
      for (size_t j = i; j != none && !placed[j]; j = next[j]) {
        placed[j] = true;
        ordered.push_back(std::move(boots[j]));
      }
    }
  }
  return ordered;
}

}  // namespace

std::string FolderOf(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  return std::string(slash == 0 ? path.substr(0, 1) : path.substr(0, slash));
}

std::string SegmentPath(absl::string_view audit_path, absl::string_view boot, uint64_t first_seq) {
  return absl::StrCat(StemOf(audit_path), "-", boot, "-", first_seq, kSuffix);
}

absl::StatusOr<std::vector<Segment>> ListSegments(FileSystem& fs, absl::string_view audit_path) {
  const absl::string_view live = NameOf(audit_path);
  const std::string folder = FolderOf(audit_path);
  LATTICE_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs.List(folder));
  std::map<std::string, std::map<uint64_t, Segment>> by_boot;
  for (const std::string& name : names) {
    if (!MayBeSegment(name, live)) continue;
    const std::string path =
        name == live ? std::string(audit_path) : absl::StrCat(folder == "/" ? "" : folder, "/", name);
    LATTICE_ASSIGN_OR_RETURN(std::optional<Segment> segment, Inspect(fs, path, live));
    if (!segment.has_value()) continue;
    Segment& known = by_boot[segment->boot][segment->first_seq];
    const bool longer =
        known.info.size < segment->info.size || (known.info.size == segment->info.size && segment->live);
    if (known.path.empty() || longer) known = *std::move(segment);
  }
  std::vector<Boot> boots;
  for (auto& [id, segments] : by_boot) {
    Boot& boot = boots.emplace_back();
    for (auto& [seq, segment] : segments) boot.push_back(std::move(segment));
  }
  if (boots.size() > 1) {
    LATTICE_ASSIGN_OR_RETURN(boots, OrderBoots(fs, std::move(boots)));
  }
  std::vector<Segment> all;
  for (Boot& boot : boots) std::move(boot.begin(), boot.end(), std::back_inserter(all));
  return all;
}

}  // namespace lattice::audit
