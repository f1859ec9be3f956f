// lattice dp doctor: the kernel's, the host's and the daemon's part of "would it enforce here?".
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "tools/lattice/commands.h"
#include "tools/lattice/format.h"
#include "userspace/datapath/pins.h"
#include "userspace/datapath/probe.h"

namespace lattice::cli {
namespace {

using Json = nlohmann::json;

std::string Remedy(const absl::Status& answer, const Target& target) {
  if (absl::IsUnavailable(answer)) return absl::StrCat("latticed-dp --iface ", target.iface());
  if (absl::IsInvalidArgument(answer)) return "name the --admin-socket of that interface's daemon, or none";
  return "see its log";
}

// What the daemon found, and the flags it runs with, which the pins are compared to.
void AskDaemon(const Target& target, datapath::Options* options, std::vector<datapath::Check>* checks) {
  const absl::StatusOr<std::string> answer = target.Get("/v1/doctor");
  if (!answer.ok()) {
    checks->push_back({.name = "daemon",
                       .detail = std::string(answer.status().message()),
                       .remedy = Remedy(answer.status(), target)});
    return;
  }
  try {
    const Json json = Json::parse(*answer);
    for (const Json& check : json.at("checks")) {
      checks->push_back(
          {.name = check.at("name"), .ok = check.at("ok"), .detail = check.at("detail"), .remedy = check.at("remedy")});
    }
    options->cgroups = json.at("cgroups").get<std::vector<std::string>>();
    options->max_flows = json.at("maxFlows");
  } catch (const Json::exception& error) {
    checks->push_back(
        {.name = "daemon", .detail = error.what(), .remedy = "use lattice and latticed-dp of one version"});
  }
}

// Only readable pins tell the table size that the next start has to ask for.
void UsePinnedSize(const Target& target, datapath::Options* options) {
  const absl::StatusOr<lat_info> info =
      datapath::ReadPinnedInfo(datapath::PinFolder(target.pin_path(), target.iface()));
  if (info.ok() && info->max_flows != 0) options->max_flows = info->max_flows;
}

std::string Print(const std::vector<datapath::Check>& checks, bool json) {
  if (json) {
    Json list = Json::array();
    for (const datapath::Check& check : checks) {
      list.push_back({{"name", check.name},
                      {"ok", check.ok},
                      {"detail", check.detail},
                      {"remedy", check.remedy},
                      {"fatal", check.fatal}});
    }
    return list.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  Table table({"", "CHECK", "FOUND", "WHAT TO DO"});
  for (const datapath::Check& check : checks) {
    table.Row({check.ok ? "ok" : (check.fatal ? "FATAL" : "LOOK"), check.name, check.detail, check.remedy});
  }
  return table.ToString();
}

}  // namespace

ExitCode RunDoctor(const Words& words) {
  Args args("lattice dp doctor", "What would stop enforcement here, and what to do about it.");
  Target target(args);
  const bool& json = args.Switch("json", "Print JSON.");
  args.Note("Works without a daemon too. Exit code: 0 nothing stands in the way, 1 something was found.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  // Without it every other check would fail, and blame the kernel.
  if (const auto powerless = datapath::MissingPrivilege(); powerless.has_value()) {
    absl::PrintF("%s", Print({*powerless}, json));
    return kFailed;
  }
  const absl::Status resolved = target.Resolve();
  // No interface to look at: the host can be looked at all the same.
  if (!resolved.ok() && !absl::IsNotFound(resolved)) return Fail(resolved);
  datapath::Options options;
  options.iface = target.iface();
  options.pin_path = target.pin_path();
  std::vector<datapath::Check> from_daemon;
  if (resolved.ok()) {
    UsePinnedSize(target, &options);
    AskDaemon(target, &options, &from_daemon);
  }
  std::vector<datapath::Check> checks = datapath::Probe(options);
  checks.insert(checks.end(), from_daemon.begin(), from_daemon.end());
  absl::PrintF("%s", Print(checks, json));
  for (const datapath::Check& check : checks) {
    if (!check.ok) return kFailed;
  }
  return kOk;
}

}  // namespace lattice::cli
