// The `lattice` command line: finds the command and runs it.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <glog/logging.h>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "tools/lattice/commands.h"
#include "userspace/base/version.h"

namespace lattice::cli {
namespace {

struct Command {
  std::vector<std::string> path;
  const char* arguments;
  const char* summary;
  ExitCode (*run)(const Words&);
};

const Command kCommands[] = {
    {{"dp", "status"}, "", "what is enforced where, and what was recorded and lost", &RunStatus},
    {{"dp", "policy", "show"}, "", "the policy in force", &RunPolicyShow},
    {{"dp", "policy", "check"}, "FILE", "whether a policy file would be accepted", &RunPolicyCheck},
    {{"dp", "policy", "apply"}, "FILE", "replace the policy until the next reload", &RunPolicyApply},
    {{"dp", "flows"}, "", "live flows, denied attempts, or records as they come", &RunFlows},
    {{"dp", "top"}, "", "what moves most, again and again", &RunTop},
    {{"dp", "detach"}, "", "end enforcement: remove programs, tables and pins", &RunDetach},
    {{"dp", "doctor"}, "", "what would stop enforcement here, and what to do", &RunDoctor},
    {{"token", "create"}, "", "an enrolment token for a new agent", &RunTokenCreate},
    {{"token", "list"}, "", "the enrolment tokens and who used them", &RunTokenList},
    {{"token", "revoke"}, "ID", "make an enrolment token useless", &RunTokenRevoke},
    {{"agents", "revoke"}, "AGENT", "end an agent's tokens and its place on the overlay", &RunAgentsRevoke},
    {{"agents", "approve"}, "AGENT", "let a pending agent in", &RunAgentsApprove},
    {{"agents"}, "", "who enrolled, where they are, what they do", &RunAgents},
    {{"policy", "set"}, "AGENT", "what an agent may reach, in force within seconds", &RunAgentPolicySet},
    {{"policy", "show"}, "AGENT", "what an agent may reach", &RunAgentPolicyShow},
    {{"enroll"}, "", "redeem an enrolment token for an agent's token", &RunEnroll},
    {{"up"}, "", "join the overlay as an agent and enforce its policy", &RunUp},
    {{"sandbox", "start"}, "", "the overlay in one process: proxy, forwards, filter, records", &RunSandboxStart},
    {{"sandbox", "run"}, "", "a command with the overlay as its network", &RunSandboxRun},
    {{"wg", "up"}, "FILE", "a wg-quick file on our own WireGuard engine", &RunWgUp},
    {{"wg", "run"}, "NAME", "a WireGuard interface for wg(8) to set up", &RunWgRun},
    {{"audit", "query"}, "", "records of the control plane", &RunAuditQuery},
    {{"audit", "tail"}, "", "records as they come", &RunAuditTail},
    {{"audit", "top"}, "", "what has most bytes, flows or denials", &RunAuditTop},
    {{"audit", "export"}, "", "all records of a range as NDJSON or CSV", &RunAuditExport},
    {{"audit", "verify"}, "", "whether the audit files were tampered with", &RunAuditVerify},
    {{"audit", "rejects"}, "", "messages that the control plane did not take as records", &RunAuditRejects},
    {{"audit", "reconcile"}, "", "whether every record of the files is at the control plane", &RunAuditReconcile},
};

// The commands that begin with `prefix`.
std::string Overview(const Words& prefix) {
  std::string text = "usage: lattice COMMAND [flags]\n\ncommands (each has --help):\n";
  for (const Command& command : kCommands) {
    if (!std::equal(prefix.begin(), prefix.end(), command.path.begin())) continue;
    std::string words = "lattice";
    for (const std::string& word : command.path) words += " " + word;
    text += absl::StrFormat("  %-24s %-6s %s\n", words, command.arguments, command.summary);
  }
  return text;
}

bool IsHelp(const std::string& word) {
  return word == "--help" || word == "-h" || word == "help";
}

int Run(const Words& words) {
  for (const Command& command : kCommands) {
    const size_t depth = command.path.size();
    if (words.size() < depth || !std::equal(command.path.begin(), command.path.end(), words.begin())) continue;
    const ExitCode code = command.run(Words(words.begin() + static_cast<ptrdiff_t>(depth), words.end()));
    if (code == kUsage) absl::FPrintF(stderr, "see `lattice %s --help`\n", absl::StrJoin(command.path, " "));
    return code;
  }
  if (words.size() == 1 && words[0] == "--version") {
    absl::PrintF("%s\n", VersionLine());
    return kOk;
  }
  // As much of the words as some command begins with.
  Words prefix;
  for (const std::string& word : words) {
    Words longer = prefix;
    longer.push_back(word);
    bool known = false;
    for (const Command& command : kCommands) {
      known = known ||
              (longer.size() <= command.path.size() && std::equal(longer.begin(), longer.end(), command.path.begin()));
    }
    if (!known) break;
    prefix = longer;
  }
  const bool asked = prefix.size() < words.size() && IsHelp(words[prefix.size()]);
  if (!asked && prefix.size() < words.size()) {
    absl::FPrintF(stderr, "lattice: there is no command \"%s\" here\n", words[prefix.size()]);
  }
  absl::FPrintF(asked ? stdout : stderr, "%s", Overview(prefix));
  return asked ? kOk : kUsage;
}

}  // namespace
}  // namespace lattice::cli

namespace {

// Secrets of the command line do not stay in it: everybody may read /proc/PID/cmdline.
void HideSecrets(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    for (const absl::string_view flag : {"--token", "--proxy-auth"}) {
      char* secret = nullptr;
      if (argv[i] == flag && i + 1 < argc) {
        secret = argv[i + 1];
      } else if (absl::StartsWith(argv[i], flag) && argv[i][flag.size()] == '=') {
        secret = argv[i] + flag.size() + 1;
      }
      if (secret != nullptr) std::fill_n(secret, std::strlen(secret), 'x');
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const lattice::cli::Words words(argv + 1, argv + argc);
  HideSecrets(argc, argv);
  FLAGS_logtostderr = true;
  FLAGS_minloglevel = google::GLOG_ERROR;  // the modules' notes are for daemons
  google::InitGoogleLogging(argv[0]);
  return lattice::cli::Run(words);
}
