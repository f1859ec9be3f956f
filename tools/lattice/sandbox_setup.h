// What a sandbox is on its overlay, before it is: by the control plane, by what that said last, or by a wg-quick file.
#ifndef TOOLS_LATTICE_SANDBOX_SETUP_H_
#define TOOLS_LATTICE_SANDBOX_SETUP_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/lattice/agent_access.h"
#include "tools/lattice/sandbox_control.h"
#include "tools/lattice/sandbox_options.h"
#include "userspace/sandbox/pod.h"

namespace lattice::cli {

struct SandboxSetup {
  wireguard::PrivateKey private_key;
  std::vector<IpAddress> addresses;
  std::vector<sandbox::PodPeer> peers;
  std::vector<Endpoint> dns;  // of the wg-quick file
  std::optional<size_t> mtu;  // the same
  uint16_t port = 0;          // the same
  // Of the control plane.
  std::optional<AgentAccess> access;
  std::unique_ptr<AgentControl> control;  // null: it is away
  LastNetMap last;
};

AccessOptions AccessOf(const SandboxOptions& options);
// Where the last netmap is kept.
std::string NetMapPath(const SandboxOptions& options);
// InvalidArgument names what of the file can not be.
absl::StatusOr<SandboxSetup> SetupFromFile(const std::string& path);
// Enrols or resumes, and waits for an address. Where the control plane is away, an agent that is enrolled goes by what
// it said last. `stopped` is asked while it waits.
absl::StatusOr<SandboxSetup> SetupFromControl(const ServerClient& server, const SandboxOptions& options,
                                              const std::function<bool()>& stopped,
                                              const std::function<void(const std::string&)>& say);

// Peers of a netmap; one that is unusable is left out and named in `warnings`.
std::vector<sandbox::PodPeer> PeersOf(const control::AgentConfig& config, std::vector<std::string>* warnings);

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_SANDBOX_SETUP_H_
