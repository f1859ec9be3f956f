// lattice dp top: the live flows added up, by what moved since the look before.
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/render.h"
#include "userspace/base/units.h"
#include "userspace/http/client.h"

namespace lattice::cli {
namespace {

// Each look walks the flow tables.
constexpr absl::Duration kLeastInterval = absl::Milliseconds(100);

}  // namespace

ExitCode RunTop(const Words& words) {
  Args args("lattice dp top", "What moves most, again and again until interrupted.");
  Target target(args);
  const std::string& by = args.Text("by", "service", "KEY", "flow, service, remote or rule.");
  const std::string& interval = args.Text("interval", "2s", "TIME", "Time between two looks.");
  const uint64_t& rows = args.Number("rows", 20, "Rows to show.");
  const uint64_t& count = args.Number("count", 0, "Looks before it ends; 0 is without end.");
  const bool& once = args.Switch("once", "One look: totals, no rates.");
  const bool& json = args.Switch("json", "Print JSON, a line each look.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  const auto period = ParseDuration(interval);
  if (!period.ok()) return Fail(absl::InvalidArgumentError(absl::StrCat("--interval: ", period.status().message())));
  if (*period < kLeastInterval) {
    return Fail(absl::InvalidArgumentError(
        absl::StrCat("--interval=", interval, ": at least ", PrintDuration(kLeastInterval), " is possible")));
  }
  if (const absl::Status resolved = target.Resolve(); !resolved.ok()) return Fail(resolved);

  const bool screen = isatty(STDOUT_FILENO) == 1 && !once && !json;
  std::string before;
  for (uint64_t look = 1;; ++look) {
    const absl::StatusOr<std::string> now = target.Get(absl::StrCat("/v1/top?by=", http::EscapeQuery(by)));
    if (!now.ok()) return Fail(now.status());
    const absl::StatusOr<std::string> text = json ? now : RenderTop(*now, before, rows);
    if (!text.ok()) return Fail(text.status());
    if (screen) absl::PrintF("\033[H\033[2J");  // home, clear
    absl::PrintF("%s", *text);
    if (fflush(stdout) != 0) return kFailed;
    if (once || look == count) return kOk;
    before = *now;
    absl::SleepFor(*period);
  }
}

}  // namespace lattice::cli
