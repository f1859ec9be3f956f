#include "userspace/base/daemon_flags.h"

#include <gflags/gflags.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "userspace/base/version.h"

DECLARE_bool(help);
DECLARE_bool(version);

namespace google {
extern void (*gflags_exitfunc)(int);  // exported by libgflags, in no header of it
}

namespace lattice {
namespace {

// The library's exit function takes no closure.
const DaemonFlags* parsing = nullptr;

// `text` in lines of at most 100 columns, each after eight spaces.
std::string Wrap(absl::string_view text) {
  std::string out;
  std::string line;
  for (absl::string_view word : absl::StrSplit(text, ' ')) {
    if (!line.empty() && line.size() + 1 + word.size() > 92) {
      absl::StrAppend(&out, "        ", line, "\n");
      line.clear();
    }
    absl::StrAppend(&line, line.empty() ? "" : " ", word);
  }
  absl::StrAppend(&out, "        ", line, "\n");
  return out;
}

std::string HelpText(const DaemonFlags& flags) {
  std::string out = flags.about;
  for (const FlagGroup& group : flags.groups) {
    absl::StrAppend(&out, group.title, ":\n");
    for (const std::string& name : group.flags) {
      const google::CommandLineFlagInfo info = google::GetCommandLineFlagInfoOrDie(name.c_str());
      const std::string shown = info.default_value.empty() ? "" : absl::StrCat(" (default ", info.default_value, ")");
      absl::StrAppend(&out, "  --", absl::StrReplaceAll(name, {{"_", "-"}}), shown, "\n", Wrap(info.description));
    }
    absl::StrAppend(&out, "\n");
  }
  return out + flags.notes;
}

[[noreturn]] void ExitUsage(int) {
  absl::FPrintF(stderr, "%s: `%s --help` lists the flags\n", parsing->program, parsing->program);
  std::exit(parsing->usage_exit_code);
}

}  // namespace

void ParseDaemonFlags(int argc, char** argv, const DaemonFlags& flags) {
  // gflags has no flags of one letter.
  static char help[] = "--help";
  for (int i = 1; i < argc; ++i) {
    if (absl::string_view(argv[i]) == "-h") argv[i] = help;
  }
  parsing = &flags;
  google::SetVersionString(VersionLine());
  google::gflags_exitfunc = &ExitUsage;
  google::ParseCommandLineNonHelpFlags(&argc, &argv, /*remove_flags=*/true);
  google::gflags_exitfunc = &std::exit;
  if (FLAGS_help) {
    std::fputs(HelpText(flags).c_str(), stdout);
    std::exit(0);
  }
  if (FLAGS_version) {
    absl::PrintF("%s\n", VersionLine());
    std::exit(0);
  }
  google::HandleCommandLineHelpFlags();
  if (argc > 1) {
    absl::FPrintF(stderr, "%s: \"%s\" is not a flag: all settings are flags, as in %s\n", flags.program, argv[1],
                  flags.example);
    ExitUsage(flags.usage_exit_code);
  }
  parsing = nullptr;
}

}  // namespace lattice
