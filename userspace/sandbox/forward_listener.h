// ForwardListener (`--forward`): what comes to a port of the overlay address goes to a socket of this host.
//
// The promise: a target that does not answer costs its own connections an RST and a record, and nothing else. Whether
// somebody may come at all is the FlowJudge's (ingress rules), asked before a connection is made; UDP is asked here.
// One thread: the loop's.
#ifndef USERSPACE_SANDBOX_FORWARD_LISTENER_H_
#define USERSPACE_SANDBOX_FORWARD_LISTENER_H_

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "userspace/sandbox/dial.h"
#include "userspace/sandbox/forward_spec.h"
#include "userspace/sandbox/relay.h"

namespace lattice::sandbox {

struct ForwardOptions {
  // Of the target: told in the first bytes who came (PROXY protocol version 2). TCP only.
  bool proxy_protocol = false;
  absl::Duration connect_timeout = absl::Seconds(10);
  absl::Duration idle_timeout = absl::Hours(2);  // of a connection
  absl::Duration udp_idle_timeout = absl::Minutes(1);
  size_t max_flows = 4096;  // of one rule
};

// One rule.
class Forward {
 public:
  virtual ~Forward() = default;
  virtual void Sweep(int64_t now_ns) = 0;
  const ForwardSpec& spec() const { return spec_; }

 protected:
  explicit Forward(ForwardSpec spec) : spec_(std::move(spec)) {}

 private:
  const ForwardSpec spec_;
};

class ForwardListener {
 public:
  // All rules, or an error that names the one. `egress` must outlive it. Names of targets are looked up here.
  static absl::StatusOr<std::unique_ptr<ForwardListener>> Create(Egress& egress, const std::vector<ForwardSpec>& specs,
                                                                 const ForwardOptions& options);
  ~ForwardListener();

 private:
  explicit ForwardListener(Egress& egress);
  Egress& egress_;
  std::vector<std::unique_ptr<Forward>> forwards_;
  EventLoop::TimerId sweep_;
};

// Where a rule leads.
struct ForwardTarget {
  sockaddr_storage address{};
  socklen_t length = 0;
};

absl::StatusOr<std::unique_ptr<Forward>> OpenTcpForward(Egress& egress, const ForwardSpec& spec,
                                                        const ForwardTarget& target, const ForwardOptions& options);
absl::StatusOr<std::unique_ptr<Forward>> OpenUdpForward(Egress& egress, const ForwardSpec& spec,
                                                        const ForwardTarget& target, const ForwardOptions& options);

// The header of PROXY protocol version 2 for a TCP connection (haproxy's proxy-protocol.txt, 2.2).
std::string ProxyHeader(const Endpoint& source, const Endpoint& destination);

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_FORWARD_LISTENER_H_
