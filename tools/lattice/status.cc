// lattice dp status: from the daemon, or without one from the pins.
#include "absl/strings/str_format.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/pinned_status.h"
#include "tools/lattice/render.h"

namespace lattice::cli {

ExitCode RunStatus(const Words& words) {
  Args args("lattice dp status",
            "What is enforced where and by which hook, the policy, the tables, and what was recorded.");
  Target target(args);
  const bool& json = args.Switch("json", "Print the daemon's JSON.");
  args.Note("Without a daemon the pins and the kernel are asked. Exit code: 0 everything wanted is in place, 1 not.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  if (const absl::Status resolved = target.Resolve(); !resolved.ok()) return Fail(resolved);

  absl::StatusOr<std::string> status = target.Get("/v1/status");
  if (absl::IsUnavailable(status.status())) {
    // Somebody who waits for the daemon should hear of it even if the pins tell the rest.
    absl::FPrintF(stderr, "lattice: %s\n", status.status().message());
    status = PinnedStatus(target.iface(), target.pin_path());
  }
  if (!status.ok()) return Fail(status.status());
  const absl::StatusOr<std::string> text = json ? status : RenderStatus(*status);
  if (!text.ok()) return Fail(text.status());
  absl::PrintF("%s", *text);
  const absl::StatusOr<bool> enforcing = IsEnforcing(*status);
  return enforcing.ok() && *enforcing ? kOk : kFailed;
}

}  // namespace lattice::cli
