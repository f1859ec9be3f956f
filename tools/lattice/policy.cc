// lattice dp policy show | check | apply.

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/render.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/datapath/options.h"
#include "userspace/dp/policy_control.h"
#include "userspace/dp/views.h"
#include "userspace/http/client.h"

namespace lattice::cli {
namespace {

// "-" is the standard input.
absl::StatusOr<std::string> ReadPolicy(const std::string& file) {
  return ReadFile(file == "-" ? "/dev/stdin" : file);
}

std::string Path(absl::string_view route, const std::string& file) {
  return absl::StrCat(route, "?name=", http::EscapeQuery(file));
}

// Without a daemon: its flags are not known, the default memory counts.
absl::StatusOr<std::string> CheckHere(const std::string& text, const std::string& file) {
  LATTICE_ASSIGN_OR_RETURN(const dp::LoadedPolicy policy, dp::PolicySource({}).FromText(text, file));
  LATTICE_ASSIGN_OR_RETURN(const dp::CheckReport report,
                           dp::CheckPolicy(policy, datapath::Options().policy_memory_bytes));
  return dp::CheckJson(report);
}

ExitCode Print(const absl::StatusOr<std::string>& text) {
  if (!text.ok()) return Fail(text.status());
  absl::PrintF("%s", *text);
  return kOk;
}

}  // namespace

ExitCode RunPolicyShow(const Words& words) {
  Args args("lattice dp policy show", "The policy in force, in the form of a policy file.");
  Target target(args);
  const bool& hits = args.Switch("hits", "Show a table of the rules with what they decided.");
  const bool& json = args.Switch("json", "Print the daemon's JSON.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) return Print(args.HelpText());
  if (const absl::Status resolved = target.Resolve(); !resolved.ok()) return Fail(resolved);
  const absl::StatusOr<std::string> policy = target.Get("/v1/policy");
  if (!policy.ok() || json) return Print(policy);
  return Print(hits ? RenderRuleHits(*policy) : PolicyText(*policy));
}

ExitCode RunPolicyCheck(const Words& words) {
  Args args("lattice dp policy check", "Whether FILE would be accepted, its warnings, and what it would become.");
  Target target(args);
  const std::string& file = args.Positional("FILE", "A policy file; - is the standard input.");
  const bool& json = args.Switch("json", "Print JSON.");
  args.Note(
      "Changes nothing. Asks the daemon if there is one (--policy-memory counts), else checks here.\n"
      "Exit code: 0 good, 2 not.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) return Print(args.HelpText());
  const absl::StatusOr<std::string> text = ReadPolicy(file);
  if (!text.ok()) return Fail(text.status());
  // Where there is no data plane there is nobody to ask, and no interface is needed.
  absl::StatusOr<std::string> report = absl::UnavailableError("");
  if (target.Resolve().ok()) report = target.Post(Path("/v1/policy/check", file), *text);
  if (absl::IsUnavailable(report.status())) report = CheckHere(*text, file);
  if (!report.ok()) {
    Fail(report.status());
    return kUsage;
  }
  return Print(json ? report : RenderCheck(*report));
}

ExitCode RunPolicyApply(const Words& words) {
  Args args("lattice dp policy apply", "Replaces the whole policy by that of FILE in one step and prints the receipt.");
  Target target(args);
  const std::string& file = args.Positional("FILE", "A policy file; - is the standard input.");
  const bool& json = args.Switch("json", "Print the receipt as JSON.");
  args.Note(
      "Rules from the daemon's flags and its --policy-file no longer count, its defaults\n"
      "(--egress-default-deny, --ingress-default-deny) do. In force until the daemon reloads (SIGHUP) or\n"
      "restarts: to keep it, put it into the --policy-file and reload. A bad file changes nothing.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) return Print(args.HelpText());
  if (const absl::Status resolved = target.Resolve(); !resolved.ok()) return Fail(resolved);
  const absl::StatusOr<std::string> text = ReadPolicy(file);
  if (!text.ok()) return Fail(text.status());
  const absl::StatusOr<std::string> receipt = target.Post(Path("/v1/policy/apply", file), *text);
  if (!receipt.ok() || json) return Print(receipt);
  return Print(RenderReceipt(*receipt));
}

}  // namespace lattice::cli
