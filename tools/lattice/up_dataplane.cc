#include "tools/lattice/up_dataplane.h"

#include <signal.h>
#include <unistd.h>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tools/lattice/commands.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/datapath/lock.h"
#include "userspace/http/client.h"

namespace lattice::cli {
namespace {

constexpr absl::Duration kStartPatience = absl::Seconds(60);

std::string PolicyText(const std::vector<std::string>& rules) {
  std::string text = "# written by `lattice up`; `lattice policy set` changes it\n";
  for (const std::string& rule : rules) absl::StrAppend(&text, rule, "\n");
  return text;
}

}  // namespace

std::string AgentDataplane::policy_file() const {
  return absl::StrCat(options_.folder, "/agent-", options_.agent_name, ".policy");
}

std::string AgentDataplane::token_file() const {
  return absl::StrCat(options_.folder, "/agent-", options_.agent_name, ".token");
}

std::vector<std::string> AgentDataplane::CommandLine() const {
  std::vector<std::string> argv = {
      "latticed-dp", absl::StrCat("--iface=", options_.iface), absl::StrCat("--policy-file=", policy_file()),
      absl::StrCat("--agent-name=", options_.agent_name), absl::StrCat("--admin-socket=", admin_socket_)};
  if (!options_.nats_url.empty()) {
    argv.push_back(absl::StrCat("--nats-url=", options_.nats_url));
    argv.push_back(absl::StrCat("--agent-token-file=", token_file()));
  }
  argv.insert(argv.end(), options_.more.begin(), options_.more.end());
  return argv;
}

absl::StatusOr<std::unique_ptr<AgentDataplane>> AgentDataplane::Start(const AgentDataplaneOptions& options,
                                                                      const std::vector<std::string>& rules) {
  auto dataplane = absl::WrapUnique(new AgentDataplane(options));
  LATTICE_ASSIGN_OR_RETURN(const std::string instance, datapath::InstanceName(options.iface));
  dataplane->admin_socket_ = absl::StrCat("/run/lattice/dp-", instance, ".sock");
  LATTICE_RETURN_IF_ERROR(WriteFileAtomically(dataplane->policy_file(), PolicyText(rules), 0600));
  LATTICE_RETURN_IF_ERROR(WriteFileAtomically(dataplane->token_file(), options.jwt + "\n", 0600));
  dataplane->rules_ = rules;
  LATTICE_ASSIGN_OR_RETURN(dataplane->process_, Process::Start(dataplane->CommandLine()));
  LATTICE_RETURN_IF_ERROR(dataplane->AwaitReady());
  dataplane->attached_ = true;
  return dataplane;
}

absl::Status AgentDataplane::AwaitReady() const {
  const absl::Time deadline = absl::Now() + kStartPatience;
  while (absl::Now() < deadline && !process_->Wait(absl::Milliseconds(100))) {
    // The socket is there when the programs are attached and the policy is in force.
    if (http::Client(admin_socket_).Get("/v1/policy").ok()) return absl::OkStatus();
  }
  return absl::InternalError("latticed-dp did not start; what it wrote stands above");
}

absl::Status AgentDataplane::SetRules(const std::vector<std::string>& rules) {
  if (rules == rules_) return absl::OkStatus();
  LATTICE_RETURN_IF_ERROR(WriteFileAtomically(policy_file(), PolicyText(rules), 0600));
  process_->Signal(SIGHUP);
  rules_ = rules;
  return absl::OkStatus();
}

AgentDataplane::~AgentDataplane() {
  if (attached_) {  // also when the daemon has ended: its programs stay without it
    Words words = {"--iface", options_.iface, "--admin-socket", admin_socket_};
    for (const std::string& flag : options_.more) {
      if (absl::StartsWith(flag, "--pin-path=")) words.push_back(flag);
    }
    RunDetach(words);
  }
  process_ = nullptr;
  unlink(policy_file().c_str());
  unlink(token_file().c_str());
}

}  // namespace lattice::cli
