// The command line of a daemon: gflags, with --help, --version and errors in one form for all of them.
//
//   ParseDaemonFlags(argc, argv, {.program = "latticed", .about = "…", .groups = {{"Where", {"data_dir"}}}, …});
//
// --help shows the flags of `groups` only, in their order. Main thread, once.
#ifndef USERSPACE_BASE_DAEMON_FLAGS_H_
#define USERSPACE_BASE_DAEMON_FLAGS_H_

#include <string>
#include <vector>

namespace lattice {

struct FlagGroup {
  std::string title;
  std::vector<std::string> flags;  // as gflags knows them: "data_dir"
};

struct DaemonFlags {
  std::string program;
  std::string about;  // what --help begins with
  std::vector<FlagGroup> groups;
  std::string notes;    // what it ends with
  std::string example;  // of a flag: "--iface wg0"
  int usage_exit_code = 2;
};

// Does not return for --help and --version (exit 0), nor for a flag that is unknown or malformed, or a word that is
// no flag (a line on stderr, exit usage_exit_code).
void ParseDaemonFlags(int argc, char** argv, const DaemonFlags& flags);

}  // namespace lattice

#endif  // USERSPACE_BASE_DAEMON_FLAGS_H_
