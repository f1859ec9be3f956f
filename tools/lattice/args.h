// The command line of one `lattice` command. gflags has one flat set of flags for a whole
// binary; here every command has its own, with its own help, and a flag of another command is an error.
//
//   Args args("lattice dp flows", "Shows the live flows.");
//   std::string& iface = args.Text("iface", "wg0", "NAME", "Interface.");
//   bool& follow = args.Switch("follow", "Go on printing.");
//   args.Parse(words) -> kRun, kHelp (printed) or kError (printed)
//
// Both `--flag value` and `--flag=value` work, before and after the other arguments. One thread.
#ifndef TOOLS_LATTICE_ARGS_H_
#define TOOLS_LATTICE_ARGS_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace lattice::cli {

class Args {
 public:
  Args(std::string command, std::string summary) : command_(std::move(command)), summary_(std::move(summary)) {}

  // The references stay good as long as this object.
  bool& Switch(const std::string& name, const std::string& help, bool on = false);
  // Each occurrence adds a value.
  std::vector<std::string>& List(const std::string& name, const std::string& placeholder, const std::string& help);
  std::string& Text(const std::string& name, const std::string& value, const std::string& placeholder,
                    const std::string& help);
  uint64_t& Number(const std::string& name, uint64_t value, const std::string& help);
  // An argument without a flag; all of them are required.
  std::string& Positional(const std::string& placeholder, const std::string& help);
  // All arguments after the Positional ones, any number of them.
  std::vector<std::string>& Rest(const std::string& placeholder, const std::string& help);
  // Lines at the end of the help.
  void Note(std::string note) { note_ = std::move(note); }

  // InvalidArgument: what is wrong. --help only sets help().
  absl::Status Parse(const std::vector<std::string>& words);
  bool help() const { return help_; }
  std::string HelpText() const;
  const std::string& command() const { return command_; }

 private:
  enum class Kind { kSwitch, kText, kNumber, kList };
  struct Flag {
    Kind kind;
    std::string name;
    std::string placeholder;
    std::string help;
    std::string default_text;
    bool on = false;
    std::string text;
    uint64_t number = 0;
    std::vector<std::string> list;
  };
  struct Argument {
    std::string placeholder;
    std::string help;
    std::string value;
  };
  absl::Status SetFlag(absl::string_view name, const std::string* value, bool* took_value);
  Flag* Find(absl::string_view name);
  Flag& Add(Flag flag);

  const std::string command_;
  const std::string summary_;
  std::string note_;
  std::deque<Flag> flags_;
  std::deque<Argument> arguments_;
  std::optional<Argument> rest_;
  std::vector<std::string> rest_values_;
  bool help_ = false;
};

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_ARGS_H_
