#include "userspace/audit/digest.h"

#include <limits>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "userspace/audit/chain.h"
#include "userspace/audit/recovery.h"
#include "userspace/audit/segment.h"
#include "userspace/audit/state_json.h"
#include "userspace/base/status.h"

namespace lattice::audit {
namespace {

// The digest of a segment that is closed without one: a crash came in between.
absl::StatusOr<SegmentDigest> ReadSegmentForDigest(FileSystem& fs, const Segment& segment) {
  LATTICE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.OpenRead(segment.path));
  Sha256 sha;
  LATTICE_ASSIGN_OR_RETURN(const Recovered scanned, ScanSegment(*file, &sha));
  const std::array<char, kHashHexBytes> hash = sha.FinishHex();
  const size_t slash = segment.path.rfind('/');
  return SegmentDigest{
      .name = segment.path.substr(slash == std::string::npos ? 0 : slash + 1),
      .boot = segment.boot,
      .first_seq = segment.first_seq,
      .last_seq = scanned.segment.last_seq,
      .lines = scanned.segment.lines,
      .bytes = scanned.whole_size,
      .sha256 = std::string(hash.begin(), hash.end()),
      .head = scanned.head,
  };
}

absl::Status NoHash(absl::string_view key) {
  return absl::InvalidArgumentError(absl::StrCat("\"", key, "\": expected 64 lower-case hex digits"));
}

}  // namespace

std::string DigestPath(absl::string_view audit_path, absl::string_view boot, uint64_t first_seq) {
  return absl::StrCat(absl::StripSuffix(SegmentPath(audit_path, boot, first_seq), ".jsonl"), ".digest");
}

std::string SignaturePath(absl::string_view digest_path) {
  return absl::StrCat(digest_path, ".sig");
}

absl::Status StoreSignedDigest(FileSystem& fs, const std::string& path, absl::string_view text, const SigningKey* key) {
  if (key != nullptr) {
    const std::string signature = absl::StrCat(absl::Base64Escape(key->Sign(text)), "\n");
    LATTICE_RETURN_IF_ERROR(fs.WriteAtomically(SignaturePath(path), signature, 0640));
  }
  return fs.WriteAtomically(path, text, 0640);
}

std::string EncodeDigest(const SegmentDigest& digest) {
  StateObject object;
  object.texts = {{"name", digest.name},
                  {"boot", digest.boot},
                  {"sha256", digest.sha256},
                  {"head", digest.head},
                  {"previous", digest.previous},
                  {"closed", absl::FormatTime(absl::RFC3339_full, digest.closed, absl::UTCTimeZone())}};
  object.numbers = {{"firstSeq", digest.first_seq},
                    {"lastSeq", digest.last_seq},
                    {"lines", digest.lines},
                    {"bytes", static_cast<uint64_t>(digest.bytes)}};
  return EncodeState(object);
}

absl::StatusOr<SegmentDigest> DecodeDigest(absl::string_view text) {
  LATTICE_ASSIGN_OR_RETURN(const StateObject object, DecodeState(text));
  SegmentDigest digest;
  LATTICE_ASSIGN_OR_RETURN(digest.name, object.Text("name"));
  LATTICE_ASSIGN_OR_RETURN(digest.boot, object.Text("boot"));
  LATTICE_ASSIGN_OR_RETURN(digest.sha256, object.Text("sha256"));
  LATTICE_ASSIGN_OR_RETURN(digest.head, object.Text("head"));
  LATTICE_ASSIGN_OR_RETURN(digest.previous, object.Text("previous"));
  if (!IsHashHex(digest.sha256)) return NoHash("sha256");
  if (!IsHashHex(digest.head)) return NoHash("head");  // a start may go on from it
  if (!digest.previous.empty() && !IsHashHex(digest.previous)) return NoHash("previous");
  LATTICE_ASSIGN_OR_RETURN(digest.first_seq, object.Number("firstSeq"));
  LATTICE_ASSIGN_OR_RETURN(digest.last_seq, object.Number("lastSeq"));
  LATTICE_ASSIGN_OR_RETURN(digest.lines, object.Number("lines"));
  LATTICE_ASSIGN_OR_RETURN(const uint64_t bytes, object.Number("bytes"));
  if (bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return absl::InvalidArgumentError("\"bytes\": too large");
  }
  digest.bytes = static_cast<int64_t>(bytes);
  LATTICE_ASSIGN_OR_RETURN(const std::string closed, object.Text("closed"));
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, closed, &digest.closed, &error)) {
    return absl::InvalidArgumentError(absl::StrCat("\"closed\": ", error));
  }
  // ParseTime() has words for these.
  if (digest.closed == absl::InfiniteFuture() || digest.closed == absl::InfinitePast()) {
    return absl::InvalidArgumentError("\"closed\": infinite");
  }
  return digest;
}

std::string HashOfDigest(absl::string_view text) {
  Sha256 sha;
  sha.Update(text);
  const std::array<char, kHashHexBytes> hash = sha.FinishHex();
  return std::string(hash.begin(), hash.end());
}

absl::StatusOr<std::string> EnsureDigests(FileSystem& fs, const std::string& audit_path, absl::Time now,
                                          const SigningKey* key) {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<Segment> segments, ListSegments(fs, audit_path));
  std::string previous;
  for (const Segment& segment : segments) {
    if (segment.live) continue;
    const std::string path = DigestPath(audit_path, segment.boot, segment.first_seq);
    absl::StatusOr<std::string> text = fs.ReadWhole(path);
    if (!text.ok() && !absl::IsNotFound(text.status())) return text.status();
    if (!text.ok()) {
      LATTICE_ASSIGN_OR_RETURN(SegmentDigest digest, ReadSegmentForDigest(fs, segment));
      digest.previous = previous;
      digest.closed = now;
      text = EncodeDigest(digest);
      LATTICE_RETURN_IF_ERROR(StoreSignedDigest(fs, path, *text, key));
    }
    previous = HashOfDigest(*text);
  }
  return previous;
}

}  // namespace lattice::audit
