// lattice dp flows: the live table, the denied table, or the records as they come.
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/render.h"

namespace lattice::cli {
namespace {

// Until the daemon ends or the reader of our output goes.
ExitCode Follow(const Target& target, bool denied, bool json) {
  const std::string path = absl::StrCat("/v1/flows?follow", denied ? "&denied" : "");
  absl::Status bad;
  const absl::Status ended = target.ForEachLine(path, [&](absl::string_view line) {
    const absl::StatusOr<std::string> text = json ? absl::StrCat(line, "\n") : RenderRecord(line);
    if (!text.ok()) {
      bad = text.status();
      return false;
    }
    return fputs(text->c_str(), stdout) >= 0 && fflush(stdout) == 0;
  });
  if (!bad.ok()) return Fail(bad);
  return ended.ok() ? kOk : Fail(ended);
}

}  // namespace

ExitCode RunFlows(const Words& words) {
  Args args("lattice dp flows", "The live flows, or the denied attempts, of the kernel's tables.");
  Target target(args);
  const bool& follow = args.Switch("follow", "Print records as they are written, until interrupted.");
  const bool& denied = args.Switch("denied", "Denied attempts only.");
  const uint64_t& limit = args.Number("limit", 10000, "At most so many entries.");
  const bool& json = args.Switch("json", "Print JSON; with --follow one object a line.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  if (const absl::Status resolved = target.Resolve(); !resolved.ok()) return Fail(resolved);
  if (follow) return Follow(target, denied, json);
  const absl::StatusOr<std::string> flows =
      target.Get(absl::StrCat("/v1/flows?limit=", limit, denied ? "&denied" : ""));
  if (!flows.ok()) return Fail(flows.status());
  const absl::StatusOr<std::string> text = json ? flows : (denied ? RenderDenied(*flows) : RenderFlows(*flows));
  if (!text.ok()) return Fail(text.status());
  absl::PrintF("%s", *text);
  return kOk;
}

}  // namespace lattice::cli
