#include "userspace/audit/verify.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "userspace/audit/chain.h"
#include "userspace/audit/decoder.h"
#include "userspace/audit/digest.h"
#include "userspace/audit/lines.h"
#include "userspace/audit/segment.h"
#include "userspace/audit/signing.h"
#include "userspace/base/status.h"

namespace lattice::audit {
namespace {

constexpr uint64_t kProgressLines = 4096;

// Walks all lines in order. After a problem it believes what the line says of itself, so
// that one change is reported once and not for all that follows.
class Verifier {
 public:
  Verifier(FileSystem& fs, const std::string& audit_path, const VerifyOptions& options)
      : fs_(fs), audit_path_(audit_path), options_(options) {
    for (const KnownLine& line : options.known) known_.insert({{line.boot, line.seq}, &line});
  }

  absl::StatusOr<VerifyReport> Run() {
    LATTICE_ASSIGN_OR_RETURN(const std::vector<Segment> segments, ListSegments(fs_, audit_path_));
    for (const Segment& segment : segments) LATTICE_RETURN_IF_ERROR(CheckSegment(segment));
    if (segments.empty() || !segments.back().live) LATTICE_RETURN_IF_ERROR(CheckNoLine());
    CheckEnd();
    report_.segments = segments.size();
    report_.head = head_;
    report_.last_boot = last_boot_;
    report_.last_seq = last_seq_;
    return std::move(report_);
  }

 private:
  void Report(ProblemKind kind, uint64_t line, absl::string_view text) {
    if (report_.problems.size() < options_.max_problems) {
      report_.problems.push_back({.kind = kind, .path = path_, .line = line, .text = std::string(text)});
    }
  }

  // A live file that is no segment: it is not there, empty, a partial line, or its first line is damaged.
  absl::Status CheckNoLine() {
    path_ = audit_path_;
    absl::StatusOr<std::unique_ptr<File>> file = fs_.OpenRead(audit_path_);
    if (absl::IsNotFound(file.status())) return absl::OkStatus();
    LATTICE_RETURN_IF_ERROR(file.status());
    LineScanner scanner(**file, 0);
    LATTICE_ASSIGN_OR_RETURN(const std::optional<absl::string_view> line, scanner.Next());
    LATTICE_ASSIGN_OR_RETURN(const FileInfo info, (*file)->Stat());
    // More than a line can have, and no line end: no line that is still being written.
    if (line.has_value() || scanner.skipped() > 0 || info.size > static_cast<int64_t>(kMaxLineBytes)) {
      Report(ProblemKind::kUnreadable, 1, "the first line can't be read, so whose it is is unknown");
    }
    return absl::OkStatus();
  }

  absl::Status CheckSegment(const Segment& segment) {
    path_ = segment.path;
    absl::StatusOr<std::unique_ptr<File>> file = fs_.OpenRead(segment.path);
    if (!file.ok()) return file.status();
    LATTICE_ASSIGN_OR_RETURN(const FileInfo info, (*file)->Stat());
    SegmentDigest seen{.boot = segment.boot, .first_seq = segment.first_seq};
    Sha256 sha;
    LineScanner scanner(**file, 0);
    while (true) {
      const uint64_t skipped = scanner.skipped();
      LATTICE_ASSIGN_OR_RETURN(const std::optional<absl::string_view> line, scanner.Next());
      for (uint64_t i = skipped; i < scanner.skipped(); ++i) {
        Report(ProblemKind::kUnreadable, ++seen.lines, absl::StrCat("longer than ", kMaxLineBytes, " bytes"));
      }
      if (!line.has_value()) break;
      sha.Update(*line);
      sha.Update("\n");
      CheckLine(segment, ++seen.lines, *line);
      if (seen.lines % kProgressLines == 0)
        options_.on_progress(static_cast<uint64_t>(bytes_before_ + scanner.offset()));
    }
    bytes_before_ += scanner.offset();
    options_.on_progress(static_cast<uint64_t>(bytes_before_));
    report_.lines += seen.lines;
    if (segment.live) return absl::OkStatus();
    // A copytruncate copy is closed too: whatever is not the live path.
    if (scanner.offset() < info.size) Report(ProblemKind::kPartialLine, seen.lines + 1, "no line end");
    const std::array<char, kHashHexBytes> hash = sha.FinishHex();
    seen.sha256 = std::string(hash.begin(), hash.end());
    seen.bytes = scanner.offset();
    seen.last_seq = last_seq_;
    seen.head = head_;
    return CheckDigest(seen);
  }

  void CheckLine(const Segment& segment, uint64_t number, absl::string_view line) {
    absl::StatusOr<DecodedLine> decoded = DecodeLine(line);
    std::string object;
    absl::string_view h;
    const bool sealed = SplitSealed(line, &object, &h);
    if (!decoded.ok() || !sealed) {
      Report(ProblemKind::kUnreadable, number, decoded.ok() ? "no h at its end" : decoded.status().message());
    }
    if (sealed) CheckHash(number, object, h, decoded.ok() ? &decoded->record : nullptr);
    if (!decoded.ok()) return;
    const flow::FlowRecord& record = decoded->record;
    if (record.boot != segment.boot) {
      Report(ProblemKind::kBoot, number, absl::StrCat("of boot ", record.boot, " in a segment of ", segment.boot));
    }
    CheckSequence(number, record);
    CheckKnown(number, record, h);
    if (record.boot == options_.last_boot && record.seq == options_.last_seq) {
      newest_seen_ = true;
      if (!options_.head.empty() && h != options_.head) {
        Report(ProblemKind::kHash, number, "h is not the one that is known from elsewhere");
      }
    }
  }

  void CheckHash(uint64_t number, const std::string& object, absl::string_view h, const flow::FlowRecord* record) {
    const bool first = head_.empty();
    HashChain chain(first ? kChainStart : absl::string_view(head_));
    std::string again = object;
    chain.Seal(again, 0);
    if (chain.head() != h) {
      if (!first) {
        Report(ProblemKind::kHash, number, "h does not follow from this line and the one before");
      } else if (record != nullptr) {
        report_.anchor = flow::EventId(record->node, record->boot, record->seq);
      }
    }
    head_ = std::string(h);
  }

  void CheckSequence(uint64_t number, const flow::FlowRecord& record) {
    const bool same_boot = record.boot == last_boot_;
    const uint64_t expected = same_boot ? last_seq_ + 1 : 1;
    const bool oldest = last_boot_.empty();  // may have any number
    if (record.seq != expected && !oldest) {
      const std::string text = absl::StrCat("number ", record.seq, " where ", expected, " should be");
      if (record.seq > expected) {
        holes_.push_back({{record.boot, expected, record.seq - 1}, {ProblemKind::kSequence, path_, number, text}});
      } else {
        Report(ProblemKind::kSequence, number, text);
      }
    }
    if (record.event == flow::Event::kLoss && record.stage == flow::kStageSeqHole) {
      std::erase_if(holes_, [hole = Hole(record.boot, record.lost_first_seq, record.lost_last_seq)](const auto& found) {
        return found.first == hole;
      });
    }
    last_boot_ = record.boot;
    last_seq_ = record.seq;
  }

  void CheckKnown(uint64_t number, const flow::FlowRecord& record, absl::string_view h) {
    if (ranges_.empty()) {
      oldest_boot_ = record.boot;
      oldest_ts_ = record.ts;
    }
    auto [range, added] = ranges_.insert({record.boot, {record.seq, record.seq}});
    range->second.second = std::max(range->second.second, record.seq);
    if (known_.empty()) return;
    const auto [begin, end] = known_.equal_range({record.boot, record.seq});
    for (auto it = begin; it != end; ++it) {
      ++report_.known_found;
      if (h != it->second->h) Report(ProblemKind::kHash, number, "h is not the one that the control plane saw");
    }
    known_.erase(begin, end);
  }

  // What is left of known_: seen elsewhere, and not here.
  void CheckKnownEnd() {
    path_ = audit_path_;
    for (const auto& [place, line] : known_) {
      const auto range = ranges_.find(line->boot);
      const std::string name = absl::StrCat("record ", line->seq, " of boot ", line->boot);
      const bool older = range == ranges_.end() ? !ranges_.empty() && line->ts < oldest_ts_
                                                : line->boot == oldest_boot_ && line->seq < range->second.first;
      if (older) {
        ++report_.known_older;
      } else if (range == ranges_.end()) {
        Report(ProblemKind::kCutEnd, 0,
               absl::StrCat(name, ", which the control plane saw, is missing, and all its boot"));
      } else if (line->seq > range->second.second) {
        Report(
            ProblemKind::kCutEnd, 0,
            absl::StrCat(name, ", which the control plane saw, is missing: that boot ends at ", range->second.second));
      } else {
        Report(ProblemKind::kSequence, 0, absl::StrCat(name, ", which the control plane saw, is missing"));
      }
    }
  }

  absl::Status CheckDigest(const SegmentDigest& seen) {
    const std::string path = DigestPath(audit_path_, seen.boot, seen.first_seq);
    absl::StatusOr<std::string> text = fs_.ReadWhole(path);
    if (absl::IsNotFound(text.status())) {
      Report(ProblemKind::kDigestMissing, 0, absl::StrCat("there is no ", path));
      return absl::OkStatus();
    }
    if (!text.ok()) return text.status();
    absl::StatusOr<SegmentDigest> digest = DecodeDigest(*text);
    if (!digest.ok()) {
      Report(ProblemKind::kDigest, 0, absl::StrCat(path, ": ", digest.status().message()));
    } else {
      CompareDigest(*digest, seen);
      if (previous_digest_.has_value() && digest->previous != *previous_digest_) {
        Report(ProblemKind::kDigestChain, 0, absl::StrCat(path, " does not follow from the digest before"));
      }
    }
    previous_digest_ = HashOfDigest(*text);
    return options_.public_key.empty() ? absl::OkStatus() : CheckSignature(path, *text);
  }

  absl::Status CheckSignature(const std::string& digest_path, absl::string_view digest) {
    const std::string path = SignaturePath(digest_path);
    const absl::StatusOr<std::string> text = fs_.ReadWhole(path);
    if (absl::IsNotFound(text.status())) {
      Report(ProblemKind::kSignatureMissing, 0, absl::StrCat("there is no ", path));
      return absl::OkStatus();
    }
    if (!text.ok()) return text.status();
    std::string signature;
    if (!absl::Base64Unescape(absl::StripAsciiWhitespace(*text), &signature) ||
        !VerifySignature(options_.public_key, digest, signature)) {
      Report(ProblemKind::kSignature, 0, absl::StrCat(digest_path, " is not signed by this key"));
      return absl::OkStatus();
    }
    ++report_.signatures;
    return absl::OkStatus();
  }

  void CompareDigest(const SegmentDigest& digest, const SegmentDigest& seen) {
    if (digest.last_seq > seen.last_seq) {
      Report(ProblemKind::kCutEnd, seen.lines,
             absl::StrCat("ends at number ", seen.last_seq, ", was closed at ", digest.last_seq));
    } else if (digest.boot != seen.boot || digest.first_seq != seen.first_seq || digest.last_seq != seen.last_seq ||
               digest.lines != seen.lines || digest.bytes != seen.bytes || digest.head != seen.head) {
      Report(ProblemKind::kDigest, 0, "the digest tells other numbers, lines, bytes or another last h");
    } else if (digest.sha256 != seen.sha256) {
      Report(ProblemKind::kDigest, 0, "SHA-256 is not the digest's");
    }
  }

  void CheckEnd() {
    for (auto& [hole, problem] : holes_) {
      if (report_.problems.size() < options_.max_problems) report_.problems.push_back(std::move(problem));
    }
    CheckKnownEnd();
    if (options_.last_seq == 0 || newest_seen_) return;
    path_ = audit_path_;
    Report(ProblemKind::kCutEnd, 0,
           absl::StrCat("record ", options_.last_seq, " of boot ", options_.last_boot, " is missing"));
  }

  FileSystem& fs_;
  const std::string& audit_path_;
  const VerifyOptions& options_;
  VerifyReport report_;
  std::string path_;
  std::string head_;  // of the last line; empty: none yet
  std::string last_boot_;
  uint64_t last_seq_ = 0;
  // Missing numbers, {boot, first, last}, that no loss record has told of so far.
  using Hole = std::tuple<std::string, uint64_t, uint64_t>;
  std::vector<std::pair<Hole, Problem>> holes_;
  std::optional<std::string> previous_digest_;
  bool newest_seen_ = false;
  std::multimap<std::pair<std::string, uint64_t>, const KnownLine*> known_;  // not found yet
  std::map<std::string, std::pair<uint64_t, uint64_t>> ranges_;              // boot -> first and last number
  std::string oldest_boot_;
  absl::Time oldest_ts_;
  int64_t bytes_before_ = 0;  // of the segments before
};

}  // namespace

absl::string_view ProblemKindName(ProblemKind kind) {
  switch (kind) {
    case ProblemKind::kUnreadable:
      return "unreadable";
    case ProblemKind::kHash:
      return "hash";
    case ProblemKind::kSequence:
      return "sequence";
    case ProblemKind::kBoot:
      return "boot";
    case ProblemKind::kPartialLine:
      return "partial_line";
    case ProblemKind::kDigest:
      return "digest";
    case ProblemKind::kDigestMissing:
      return "digest_missing";
    case ProblemKind::kDigestChain:
      return "digest_chain";
    case ProblemKind::kCutEnd:
      return "cut_end";
    case ProblemKind::kSignature:
      return "signature";
    case ProblemKind::kSignatureMissing:
      return "signature_missing";
  }
  return "unknown";
}

absl::StatusOr<VerifyReport> VerifyChain(FileSystem& fs, const std::string& audit_path, const VerifyOptions& options) {
  return Verifier(fs, audit_path, options).Run();
}

}  // namespace lattice::audit
