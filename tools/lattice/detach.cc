// lattice dp detach: by the daemon, which writes every flow's end first; without one, here.
#include "userspace/datapath/detach.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "tools/lattice/commands.h"
#include "userspace/base/status.h"
#include "userspace/datapath/lock.h"
#include "userspace/dp/views.h"

namespace lattice::cli {
namespace {

absl::StatusOr<std::string> DetachHere(const Target& target) {
  // Held until the end: no daemon starts on pins that are half gone.
  const auto lock = datapath::InterfaceLock::Acquire(target.iface());
  if (absl::IsAlreadyExists(lock.status())) {
    return absl::FailedPreconditionError(absl::StrCat(lock.status().message(), "; it does not answer at ",
                                                      target.admin_socket(),
                                                      ": name its --admin-socket, or stop it first"));
  }
  LATTICE_RETURN_IF_ERROR(lock.status());
  LATTICE_ASSIGN_OR_RETURN(const datapath::DetachReport report, datapath::Detach(target.iface(), target.pin_path()));
  return dp::RemovedJson(report.removed);
}

}  // namespace

ExitCode RunDetach(const Words& words) {
  Args args("lattice dp detach", "Ends enforcement: removes the programs, tables and pins of the interface.");
  Target target(args);
  const bool& json = args.Switch("json", "Print JSON.");
  const bool& force =
      args.Switch("force", "Detach although the audit file can't be written; the records it would take are lost.");
  args.Note(
      "A running daemon ends every flow, writes its record and stops. Without one, records that wait in the\n"
      "kernel are lost.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  if (const absl::Status resolved = target.Resolve(); !resolved.ok()) return Fail(resolved);
  absl::StatusOr<std::string> removed = target.Post(force ? "/v1/detach?force" : "/v1/detach", "");
  if (absl::IsUnavailable(removed.status())) removed = DetachHere(target);
  if (!removed.ok()) return Fail(removed.status());
  if (json) {
    absl::PrintF("%s", *removed);
    return kOk;
  }
  const auto parsed = nlohmann::json::parse(*removed, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_object() && parsed.contains("removed")) {
    for (const auto& line : parsed["removed"])
      absl::PrintF("removed %s\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  absl::PrintF("nothing of Lattice is left on %s\n", target.iface());
  return kOk;
}

}  // namespace lattice::cli
