// A sandbox in pod mode: an overlay address inside this unprivileged process, a proxy for the agent's connections into
// the overlay, forwards for those that come from it, a filter between, and a record of each flow.
//
//   LATTICE_ASSIGN_OR_RETURN(auto pod, Pod::Create(loop, clock, filter, writer, options));
//   LATTICE_RETURN_IF_ERROR(pod->SetPeers(peers));
//   LATTICE_RETURN_IF_ERROR(pod->Open());      // proxy and forwards
//   filter.Replace(rules); pod->PolicyChanged();
//
// The promise: nothing passes before there is a policy. One thread: the loop's.
#ifndef USERSPACE_SANDBOX_POD_H_
#define USERSPACE_SANDBOX_POD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "userspace/base/clock.h"
#include "userspace/base/event_loop.h"
#include "userspace/sandbox/dial.h"
#include "userspace/sandbox/egress_filter.h"
#include "userspace/sandbox/flow_log.h"
#include "userspace/sandbox/forward_listener.h"
#include "userspace/sandbox/overlay_stack.h"
#include "userspace/sandbox/overlay_users.h"
#include "userspace/sandbox/proxy_server.h"
#include "userspace/sandbox/record_writer.h"
#include "userspace/sandbox/resolver.h"
#include "userspace/tunnel/endpoint_resolver.h"
#include "userspace/wireguard/wg_quick.h"

namespace lattice::sandbox {

struct PodPeer {
  wireguard::PublicKey public_key;
  wireguard::PresharedKey preshared_key;  // zero: none
  std::vector<IpPrefix> allowed_ips;
  std::optional<wireguard::HostPort> endpoint;  // nothing: it comes to us
  uint16_t persistent_keepalive_s = 0;
};

struct PodOptions {
  wireguard::PrivateKey private_key;
  std::vector<IpAddress> addresses;  // ours on the overlay; at least one
  uint16_t listen_port = 0;          // UDP, of the outside; 0: any
  size_t mtu = 1420;
  std::vector<Endpoint> dns;  // on the overlay
  std::optional<ProxyOptions> proxy;
  std::vector<ForwardSpec> forwards;
  ForwardOptions forward;
  FlowLog::Options log;
};

class Pod : private netstack::FlowJudge {
 public:
  // References must outlive it.
  static absl::StatusOr<std::unique_ptr<Pod>> Create(EventLoop& loop, const Clock& clock, const EgressFilter& filter,
                                                     RecordWriter& writer, PodOptions options);
  ~Pod() override;

  // All of them: others go. Names of endpoints are looked up, and again when a peer does not answer; a name that is
  // not found now is no error.
  absl::Status SetPeers(const std::vector<PodPeer>& peers);
  void SetDns(std::vector<Endpoint> servers) { resolver_->SetServers(std::move(servers)); }
  // Forwards, then the proxy.
  absl::Status Open();
  // The filter has another policy: flows that it does not allow are cut.
  void PolicyChanged() { log_.PolicyChanged(); }

  // Empty without a proxy.
  std::string proxy_address() const { return proxy_ == nullptr ? "" : proxy_->address(); }
  // With any peer; nothing before the first.
  std::optional<absl::Time> last_handshake() const;
  OverlayStack& overlay() { return *overlay_; }
  const OverlayStack& overlay() const { return *overlay_; }
  FlowLog& log() { return log_; }
  const FlowLog& log() const { return log_; }
  const ProxyServer* proxy() const { return proxy_.get(); }

 private:
  Pod(EventLoop& loop, const Clock& clock, const EgressFilter& filter, RecordWriter& writer, PodOptions options);
  netstack::FlowJudge::Verdict Judge(const netstack::NewFlow& flow) override;
  void LookUp(const wireguard::PublicKey& peer);

  const EgressFilter& filter_;
  const PodOptions options_;
  FlowLog log_;
  OverlayUsers users_;
  std::unique_ptr<OverlayStack> overlay_;
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<Egress> egress_;
  tunnel::EndpointResolver endpoints_;
  std::map<wireguard::PublicKey, wireguard::HostPort> names_;  // of peers whose endpoint is a name
  std::unique_ptr<ForwardListener> forwards_;
  std::unique_ptr<ProxyServer> proxy_;
};

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_POD_H_
