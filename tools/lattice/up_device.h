// The WireGuard interface of `lattice up`: the kernel's, or our engine's (`lattice wg run`) where the kernel has none.
//
// It is made down and without an address, so that a policy can be put on it before anything passes. It goes with the
// object. One thread.
#ifndef TOOLS_LATTICE_UP_DEVICE_H_
#define TOOLS_LATTICE_UP_DEVICE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/lattice/up_process.h"
#include "userspace/base/ip.h"
#include "userspace/control/registry/netmap.h"
#include "userspace/netlink/wireguard.h"

namespace lattice::cli {

class AgentDevice {
 public:
  // AlreadyExists: somebody else's interface has the name; PermissionDenied: needs CAP_NET_ADMIN.
  static absl::StatusOr<std::unique_ptr<AgentDevice>> Create(const std::string& name, const std::string& private_key,
                                                             uint16_t port);
  ~AgentDevice();
  AgentDevice(const AgentDevice&) = delete;
  AgentDevice& operator=(const AgentDevice&) = delete;

  // Gives it the address (in place of another) and sets it up.
  absl::Status SetAddress(const std::string& address);
  // Makes peers and routes be these; sessions of peers that stay go on. Peers that can not be used are named in
  // `warnings`.
  absl::Status SetPeers(const std::vector<control::PeerConfig>& peers, std::vector<std::string>* warnings);

  // Readable when `lattice wg run` has ended; -1 with the kernel's.
  int process_fd() const { return process_ == nullptr ? -1 : process_->fd(); }
  bool in_kernel() const { return process_ == nullptr; }

 private:
  AgentDevice(std::string name) : name_(std::move(name)) {}
  absl::Status StartProcess();
  absl::Status Set(const netlink::WireguardChange& change);
  absl::Status SetRoutes(const std::set<IpPrefix>& wanted, std::vector<std::string>* warnings);

  const std::string name_;
  bool made_ = false;
  std::unique_ptr<Process> process_;
  std::string address_;
  std::map<std::string, netlink::WireguardPeer> peers_;  // by key
  std::set<IpPrefix> routes_;
};

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_UP_DEVICE_H_
