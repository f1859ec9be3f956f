// latticed-dp beside `lattice up`: it enforces the policy that the control plane gives. One thread.
#ifndef TOOLS_LATTICE_UP_DATAPLANE_H_
#define TOOLS_LATTICE_UP_DATAPLANE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/lattice/up_process.h"

namespace lattice::cli {

struct AgentDataplaneOptions {
  std::string iface;
  std::string agent_name;
  std::string folder;  // for the policy and the token
  std::string jwt;
  std::string nats_url;           // empty: its records stay on this host
  std::vector<std::string> more;  // flags of latticed-dp
};

class AgentDataplane {
 public:
  // `rules` are in force on the interface when this returns.
  static absl::StatusOr<std::unique_ptr<AgentDataplane>> Start(const AgentDataplaneOptions& options,
                                                               const std::vector<std::string>& rules);
  // Ends enforcement: the programs go from the interface.
  ~AgentDataplane();
  AgentDataplane(const AgentDataplane&) = delete;
  AgentDataplane& operator=(const AgentDataplane&) = delete;

  // In force soon after.
  absl::Status SetRules(const std::vector<std::string>& rules);
  int process_fd() const { return process_->fd(); }

 private:
  explicit AgentDataplane(const AgentDataplaneOptions& options) : options_(options) {}
  absl::Status AwaitReady() const;
  std::vector<std::string> CommandLine() const;
  std::string policy_file() const;
  std::string token_file() const;

  const AgentDataplaneOptions options_;
  std::string admin_socket_;
  std::vector<std::string> rules_;
  bool attached_ = false;
  std::unique_ptr<Process> process_;
};

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_UP_DATAPLANE_H_
