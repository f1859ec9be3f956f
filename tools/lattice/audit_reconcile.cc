// lattice audit reconcile: is every record of the local audit file at the control plane?
#include <algorithm>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/lattice/audit_log.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/event_line.h"
#include "tools/lattice/format.h"
#include "tools/lattice/progress.h"
#include "tools/lattice/rejects.h"
#include "tools/lattice/server_client.h"
#include "userspace/audit/decoder.h"
#include "userspace/audit/reader.h"
#include "userspace/audit/segment.h"
#include "userspace/base/plural.h"
#include "userspace/base/status.h"
#include "userspace/http/client.h"

namespace lattice::cli {
namespace {

constexpr uint64_t kMaxGaps = 1000;  // of one call

struct Range {
  uint64_t first = 0;
  uint64_t last = 0;
};

// The numbers of one boot of a node that the local files hold, in order.
using Key = std::pair<std::string, std::string>;  // node, boot
using Local = std::map<Key, std::vector<Range>>;

absl::StatusOr<Local> ReadLocal(const std::string& path) {
  audit::FileSystem& fs = audit::RealFileSystem();
  LATTICE_ASSIGN_OR_RETURN(const auto segments, audit::ListSegments(fs, path));
  if (segments.empty()) {
    return absl::NotFoundError(absl::StrCat("--audit-log=", path, ": there is no audit file with a record"));
  }
  uint64_t total = 0;
  for (const audit::Segment& segment : segments) total += static_cast<uint64_t>(segment.info.size);
  LATTICE_ASSIGN_OR_RETURN(const auto reader, audit::SegmentReader::Open(fs, path, std::nullopt));
  Local local;
  Progress progress("reading", total);
  uint64_t done = 0;
  while (true) {
    LATTICE_ASSIGN_OR_RETURN(const std::optional<absl::string_view> line, reader->Next());
    if (!line.has_value()) return local;
    done += line->size() + 1;
    progress.Update(done);
    const absl::StatusOr<audit::DecodedLine> decoded = audit::DecodeLine(*line);
    if (!decoded.ok()) continue;  // lattice audit verify speaks of these
    const flow::FlowRecord& record = decoded->record;
    std::vector<Range>& ranges = local[{record.node, record.boot}];
    if (!ranges.empty() && ranges.back().last + 1 == record.seq) {
      ranges.back().last = record.seq;
    } else {
      ranges.push_back({record.seq, record.seq});
    }
  }
}

struct Remote {
  Range known;                                  // first and last number that was stored
  std::vector<Range> gaps;                      // numbers between them that were not
  std::map<uint64_t, RejectedMessage> rejects;  // by number; a number may be stored besides
};

absl::StatusOr<nlohmann::json> List(const ServerClient& server, const std::string& target) {
  LATTICE_ASSIGN_OR_RETURN(const std::string data, server.Get(target));
  nlohmann::json answer = nlohmann::json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("list") || !answer["list"].is_array()) {
    return absl::InternalError("the answer is not one that this version knows");
  }
  return answer["list"];
}

absl::StatusOr<std::map<Key, Remote>> ReadRemote(const ServerClient& server, const Local& local) {
  std::map<Key, Remote> remote;
  LATTICE_ASSIGN_OR_RETURN(const nlohmann::json sources, List(server, "/api/v1/audit/sources"));
  for (const auto& source : sources) {
    const Key key(source.value("node", ""), source.value("boot", ""));
    if (!local.contains(key)) continue;
    Remote& one = remote[key];
    one.known = {source.value("firstSeq", uint64_t{0}), source.value("lastSeq", uint64_t{0})};
    LATTICE_ASSIGN_OR_RETURN(const nlohmann::json gaps,
                             List(server, absl::StrCat("/api/v1/audit/gaps?node=", http::EscapeQuery(key.first),
                                                       "&boot=", http::EscapeQuery(key.second), "&limit=", kMaxGaps)));
    if (gaps.size() == kMaxGaps) {
      return absl::ResourceExhaustedError(
          absl::StrCat(key.first, " has ", kMaxGaps, " gaps or more: what is missing can't be told one by one"));
    }
    for (const auto& gap : gaps) {
      one.gaps.push_back({gap.value("firstSeq", uint64_t{0}), gap.value("lastSeq", uint64_t{0})});
    }
  }
  LATTICE_ASSIGN_OR_RETURN(const std::vector<RejectedMessage> rejects, ReadRejects(server, kMaxRejects));
  for (const RejectedMessage& reject : rejects) {
    const Key key(reject.node, reject.boot);
    if (local.contains(key)) remote[key].rejects.emplace(reject.seq, reject);
  }
  return remote;
}

// The part of `range` in [first, last]; first > last: none.
Range Cut(const Range& range, uint64_t first, uint64_t last) {
  return {std::max(range.first, first), std::min(range.last, last)};
}

uint64_t Size(const Range& range) {
  return range.first > range.last ? 0 : range.last - range.first + 1;
}

struct Verdict {
  uint64_t local = 0;
  uint64_t waiting = 0;  // newer than what came in: not published yet
  std::vector<Range> missing;
  std::vector<RejectedMessage> rejected;  // of numbers that are not stored
};

// Splits `absent`, numbers that are not stored: what was rejected goes to the verdict, the rest is returned.
std::vector<Range> WithoutRejected(Range absent, const Remote& remote, Verdict& verdict) {
  std::vector<Range> rest;
  const auto end = remote.rejects.upper_bound(absent.last);
  for (auto reject = remote.rejects.lower_bound(absent.first); Size(absent) > 0 && reject != end; ++reject) {
    verdict.rejected.push_back(reject->second);
    if (reject->first > absent.first) rest.push_back({absent.first, reject->first - 1});
    absent.first = reject->first + 1;
  }
  if (Size(absent) > 0) rest.push_back(absent);
  return rest;
}

Verdict Compare(const std::vector<Range>& ranges, const Remote& remote) {
  Verdict verdict;
  const auto miss = [&](const Range& absent) {
    for (const Range& part : WithoutRejected(absent, remote, verdict)) verdict.missing.push_back(part);
  };
  for (const Range& range : ranges) {
    verdict.local += Size(range);
    const Range newer = Cut(range, remote.known.last + 1, UINT64_MAX);
    for (const Range& part : WithoutRejected(newer, remote, verdict)) verdict.waiting += Size(part);
    for (const Range& gap : remote.gaps) miss(Cut(range, gap.first, gap.last));
    if (remote.known.first > 0) miss(Cut(range, 1, remote.known.first - 1));
  }
  return verdict;
}

// One line a reason.
void AppendRejected(const Key& key, const Verdict& verdict, std::vector<std::string>& lines) {
  std::map<std::string, std::vector<const RejectedMessage*>> by_reason;
  for (const RejectedMessage& reject : verdict.rejected) by_reason[reject.reason].push_back(&reject);
  for (const auto& [reason, rejects] : by_reason) {
    lines.push_back(absl::StrCat("rejected: ", Printable(key.first), "/", Printable(key.second), " ",
                                 Plural(rejects.size(), "record"), " from ", rejects.front()->seq, " on, ",
                                 Printable(reason), ": ", Printable(rejects.front()->detail),
                                 "; see lattice audit rejects\n"));
  }
}

}  // namespace

ExitCode RunAuditReconcile(const Words& words) {
  Args args(
      "lattice audit reconcile",
      "Compares a node's audit files with what the control plane has: every record that is here should be there.\n"
      "Exit code 0: it is; 1: some are missing, were rejected, or are still on their way.");
  ServerClient server(args, ServerClient::Login::kToken);
  const std::string& given =
      args.Text("audit-log", "", "FILE", "The audit file; its segments are beside it. Default: the only one.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  if (const absl::Status resolved = server.Resolve(); !resolved.ok()) return Fail(resolved);
  const absl::StatusOr<std::string> path = given.empty() ? DefaultAuditLog() : given;
  if (!path.ok()) return Fail(path.status());
  const absl::StatusOr<Local> local = ReadLocal(*path);
  if (!local.ok()) return Fail(local.status());
  const absl::StatusOr<std::map<Key, Remote>> remote = ReadRemote(server, *local);
  if (!remote.ok()) return Fail(remote.status());

  Table table({"NODE", "BOOT", ">HERE", ">STORED", ">WAITING", ">REJECTED", ">MISSING"});
  std::vector<std::string> lines;
  bool complete = true;
  for (const auto& [key, ranges] : *local) {
    const auto found = remote->find(key);
    const Verdict verdict = Compare(ranges, found == remote->end() ? Remote() : found->second);
    uint64_t missing = 0;
    for (const Range& range : verdict.missing) {
      missing += Size(range);
      lines.push_back(absl::StrCat("missing: ", Printable(key.first), "/", Printable(key.second), " ", range.first,
                                   " to ", range.last, "\n"));
    }
    AppendRejected(key, verdict, lines);
    const uint64_t rejected = verdict.rejected.size();
    complete = complete && missing + rejected + verdict.waiting == 0;
    table.Row({Printable(key.first), Printable(key.second), HumanCount(verdict.local),
               HumanCount(verdict.local - verdict.waiting - rejected - missing), HumanCount(verdict.waiting),
               HumanCount(rejected), HumanCount(missing)});
  }
  absl::PrintF("%s", table.ToString());
  for (const std::string& line : lines) absl::PrintF("%s", line);
  absl::PrintF("%s\n", complete ? "every record of these files is at the control plane"
                                : "not every record of these files is at the control plane");
  return complete ? kOk : kFailed;
}

}  // namespace lattice::cli
