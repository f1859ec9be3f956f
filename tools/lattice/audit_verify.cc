// lattice audit verify: was anything in the audit files changed, removed, added or cut off?
//
// What is only on this machine can be made anew by who holds the machine, its key too. So the heads and digests that
// went to the control plane are the proof; without them the chain and the signatures show less.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "tools/lattice/audit_evidence.h"
#include "tools/lattice/audit_log.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/event_line.h"
#include "tools/lattice/format.h"
#include "tools/lattice/progress.h"
#include "tools/lattice/server_client.h"
#include "userspace/audit/decoder.h"
#include "userspace/audit/digest.h"
#include "userspace/audit/segment.h"
#include "userspace/audit/signing.h"
#include "userspace/audit/verify.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::cli {
namespace {

struct Settings {
  std::string audit_log;
  std::string public_key;  // file or base64
};

struct Result {
  std::string audit_log;
  std::string node;
  audit::VerifyReport report;
  std::string public_key;  // raw; empty: signatures were not looked at
  std::string key_source;  // of whom it is
  bool asked_server = false;
  size_t digests_agree = 0;
  std::vector<std::string> notes;
};

absl::StatusOr<std::string> GivenKey(const std::string& text) {
  if (absl::StatusOr<std::string> key = audit::ParsePublicKey(text); key.ok()) return key;
  const absl::StatusOr<std::string> content = ReadFile(text, 16 << 10);
  absl::StatusOr<std::string> key = content.ok() ? audit::ParsePublicKey(*content) : content.status();
  if (!key.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--public-key=", text, ": neither base64 nor a file with a key: ", key.status().message()));
  }
  return key;
}

void AddProblem(Result& result, audit::ProblemKind kind, absl::string_view path, absl::string_view text) {
  result.report.problems.push_back({.kind = kind, .path = std::string(path), .text = std::string(text)});
}

// The digests beside the segments against those the control plane got.
void CompareDigests(const Evidence& evidence, const std::vector<audit::Segment>& segments, Result& result) {
  for (const KnownDigest& known : evidence.digests) {
    const absl::StatusOr<audit::SegmentDigest> digest = audit::DecodeDigest(known.text);
    if (!digest.ok()) {
      result.notes.push_back(absl::StrCat("a digest at the control plane can't be read: ", digest.status().message()));
      continue;
    }
    const bool here = std::any_of(segments.begin(), segments.end(), [&](const audit::Segment& segment) {
      return segment.boot == digest->boot && segment.first_seq == digest->first_seq;
    });
    if (!here) continue;  // its last line is looked for by the verification: missing, or older than the oldest
    const std::string path = audit::DigestPath(result.audit_log, digest->boot, digest->first_seq);
    const absl::StatusOr<std::string> text = audit::RealFileSystem().ReadWhole(path);
    if (text.ok() && *text == known.text) {
      ++result.digests_agree;
    } else if (text.ok()) {
      AddProblem(result, audit::ProblemKind::kDigest, path, "is not the digest that the control plane got");
    }
  }
}

// Which key must have signed: that given, else that which the control plane saw first, else the node's own.
absl::Status ChooseKey(const Settings& settings, const std::optional<Evidence>& evidence, Result& result) {
  if (!settings.public_key.empty()) {
    LATTICE_ASSIGN_OR_RETURN(result.public_key, GivenKey(settings.public_key));
    result.key_source = "given by --public-key";
  }
  if (evidence.has_value() && !evidence->public_keys.empty()) {
    const std::string& pinned = evidence->public_keys.front();
    if (result.public_key.empty()) {
      result.public_key = pinned;
      result.key_source = "the first the control plane saw";
    } else if (pinned != result.public_key) {
      AddProblem(result, audit::ProblemKind::kSignature, result.audit_log,
                 "the control plane first saw another public key than the one given");
    }
    if (evidence->public_keys.size() > 1) {
      AddProblem(result, audit::ProblemKind::kSignature, result.audit_log,
                 absl::StrCat("the control plane saw ", evidence->public_keys.size(),
                              " public keys of this node: its key was replaced"));
    }
  }
  if (!result.public_key.empty()) return absl::OkStatus();
  if (const auto own = audit::SigningKey::Load(result.audit_log + ".key"); own.ok()) {
    result.public_key = (*own)->public_key();
    result.key_source = "this node's own key file, which proves nothing against who holds the node";
  } else {
    result.notes.push_back("signatures were not looked at: give --public-key or --server-url");
  }
  return absl::OkStatus();
}

// A rotation in between takes a file's name away: then once more.
absl::StatusOr<audit::VerifyReport> VerifyFiles(const std::string& audit_log, audit::VerifyOptions options,
                                                std::vector<audit::Segment>* segments) {
  absl::StatusOr<audit::VerifyReport> report = absl::InternalError("");
  for (int i = 0; i < 3; ++i) {
    LATTICE_ASSIGN_OR_RETURN(*segments, audit::ListSegments(audit::RealFileSystem(), audit_log));
    uint64_t total = 0;
    for (const audit::Segment& segment : *segments) total += static_cast<uint64_t>(segment.info.size);
    Progress progress("verifying", total);
    options.on_progress = [&](uint64_t bytes) { progress.Update(bytes); };
    report = audit::VerifyChain(audit::RealFileSystem(), audit_log, options);
    if (!absl::IsNotFound(report.status())) break;
  }
  return report;
}

absl::StatusOr<Result> Verify(const Settings& settings, const ServerClient& server) {
  Result result{.audit_log = settings.audit_log};
  if (result.audit_log.empty()) {
    LATTICE_ASSIGN_OR_RETURN(result.audit_log, DefaultAuditLog());
  }
  LATTICE_ASSIGN_OR_RETURN(std::vector<audit::Segment> segments,
                           audit::ListSegments(audit::RealFileSystem(), result.audit_log));
  if (segments.empty()) {
    LATTICE_RETURN_IF_ERROR(audit::RealFileSystem().Stat(result.audit_log).status());
  } else if (const auto line = audit::DecodeLine(segments.front().first_line); line.ok()) {
    result.node = line->record.node;
  }
  // First the evidence: the file may only grow meanwhile.
  std::optional<Evidence> evidence;
  if (server.wanted()) {
    LATTICE_ASSIGN_OR_RETURN(evidence, FetchEvidence(server, result.node));
    result.asked_server = true;
  }
  LATTICE_RETURN_IF_ERROR(ChooseKey(settings, evidence, result));
  audit::VerifyOptions options;
  options.public_key = result.public_key;
  if (evidence.has_value()) options.known = evidence->lines;
  std::vector<audit::Problem> problems = std::move(result.report.problems);
  LATTICE_ASSIGN_OR_RETURN(result.report, VerifyFiles(result.audit_log, std::move(options), &segments));
  result.report.problems.insert(result.report.problems.end(), problems.begin(), problems.end());
  if (evidence.has_value()) {
    CompareDigests(*evidence, segments, result);
    if (evidence->lines.empty()) {
      AddProblem(result, audit::ProblemKind::kCutEnd, result.audit_log,
                 absl::StrCat("the control plane has no head of node \"", result.node, "\""));
    }
  }
  return result;
}

std::string Json(const Result& result) {
  const audit::VerifyReport& report = result.report;
  nlohmann::ordered_json json;
  json["ok"] = report.ok();
  json["auditLog"] = result.audit_log;
  json["node"] = result.node;
  json["segments"] = report.segments;
  json["lines"] = report.lines;
  json["anchor"] = report.anchor;
  json["newest"] = {{"boot", report.last_boot}, {"seq", report.last_seq}, {"h", report.head}};
  json["signatures"] = report.signatures;
  json["publicKey"] = absl::Base64Escape(result.public_key);
  json["publicKeySource"] = result.key_source;
  if (result.asked_server) {
    json["controlPlane"] = {
        {"found", report.known_found}, {"older", report.known_older}, {"digestsAgree", result.digests_agree}};
  }
  json["problems"] = nlohmann::ordered_json::array();
  for (const audit::Problem& problem : report.problems) {
    json["problems"].push_back({{"kind", std::string(audit::ProblemKindName(problem.kind))},
                                {"path", problem.path},
                                {"line", problem.line},
                                {"text", problem.text}});
  }
  json["notes"] = result.notes;
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string Render(const Result& result) {
  const audit::VerifyReport& report = result.report;
  std::string out = absl::StrFormat("%s: %s lines of node %s in %s segments, newest %d of boot %s\n", result.audit_log,
                                    HumanCount(report.lines), Printable(result.node), HumanCount(report.segments),
                                    report.last_seq, Printable(report.last_boot));
  if (!report.anchor.empty()) {
    absl::StrAppend(&out, "  older segments are deleted: the chain is checked from ", Printable(report.anchor),
                    " on\n");
  }
  if (!result.public_key.empty()) {
    absl::StrAppend(&out, "  ", HumanCount(report.signatures), " digests are signed by ",
                    absl::Base64Escape(result.public_key), " (", result.key_source, ")\n");
  }
  if (result.asked_server) {
    absl::StrAppend(&out, "  of what the control plane saw, ", HumanCount(report.known_found), " lines and ",
                    HumanCount(result.digests_agree), " digests are here");
    if (report.known_older > 0) {
      absl::StrAppend(&out, ", ", HumanCount(report.known_older), " are older than the oldest line here");
    }
    out += "\n";
  }
  for (const std::string& note : result.notes) absl::StrAppend(&out, "  note: ", Printable(note), "\n");
  for (const audit::Problem& problem : report.problems) {
    absl::StrAppend(&out, "PROBLEM ", audit::ProblemKindName(problem.kind), ": ", Printable(problem.path));
    if (problem.line > 0) absl::StrAppend(&out, ":", problem.line);
    absl::StrAppend(&out, ": ", Printable(problem.text), "\n");
  }
  absl::StrAppend(&out, report.ok() ? "OK" : absl::StrCat(report.problems.size(), " problems"), "\n");
  return out;
}

}  // namespace

ExitCode RunAuditVerify(const Words& words) {
  Args args("lattice audit verify", "Checks whether lines of the audit files were changed, removed, added or cut off.");
  ServerClient server(args, ServerClient::Login::kOptional);
  const std::string& audit_log =
      args.Text("audit-log", "", "PATH", "The live audit file; its segments are beside it. Default: the only one.");
  const std::string& public_key =
      args.Text("public-key", "", "KEY", "Base64 or file of the key that must have signed the digests.");
  const bool& json = args.Switch("json", "Print JSON.");
  args.Note(
      "Only a comparison with the control plane shows that the end was cut off or that everything was made anew:\n"
      "give --server-url or --api-token-file, or LATTICE_SERVER_URL or LATTICE_API_TOKEN_FILE.\n"
      "Exit code: 0 nothing found, 1 something is wrong or could not be read, 2 usage.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  if (const absl::Status resolved = server.Resolve(); !resolved.ok()) return Fail(resolved);
  const absl::StatusOr<Result> result = Verify({audit_log, public_key}, server);
  if (!result.ok()) return Fail(result.status());
  absl::PrintF("%s", json ? Json(*result) : Render(*result));
  return result->report.ok() ? kOk : kFailed;
}

}  // namespace lattice::cli
