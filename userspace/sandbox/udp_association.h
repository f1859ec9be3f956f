// SOCKS5's UDP ASSOCIATE (RFC 1928 7): datagrams of one client to any target that the policy allows, and their answers
// back. It lives as long as the TCP connection that asked for it.
//
// Each remote is a flow with a socket of its own on the overlay: only what it sends comes back. Names are looked up.
// One thread: the loop's.
#ifndef USERSPACE_SANDBOX_UDP_ASSOCIATION_H_
#define USERSPACE_SANDBOX_UDP_ASSOCIATION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "userspace/base/unique_fd.h"
#include "userspace/sandbox/dial.h"
#include "userspace/socks/socks5.h"

namespace lattice::sandbox {

class UdpAssociation {
 public:
  struct Limits {
    size_t max_flows = 256;
    size_t max_waiting = 32;  // datagrams whose name is being looked up
    absl::Duration idle = absl::Seconds(60);
  };

  // Listens on `here`, the proxy's address of the connection that asked, for datagrams of `client_address`; the first
  // fixes the port. `egress` must outlive it.
  static absl::StatusOr<std::unique_ptr<UdpAssociation>> Create(Egress& egress, Client client, const IpAddress& here,
                                                                const IpAddress& client_address, const Limits& limits);
  ~UdpAssociation();

  // Where the client sends to.
  const Endpoint& local() const { return local_; }
  // Ends the flows that are idle at `now_ns`.
  void Sweep(int64_t now_ns);

 private:
  class Flow;
  struct Waiting {  // for a name
    std::optional<Resolver::QuestionId> question;
    std::vector<std::vector<uint8_t>> payloads;
  };
  UdpAssociation(Egress& egress, Client client, const IpAddress& client_address, const Limits& limits);

  void OnSocket();
  void OnDatagram(const socks::UdpDatagram& datagram);
  void OnAddresses(const std::string& key, const socks::Target& target,
                   const absl::StatusOr<std::vector<IpAddress>>& addresses);
  void Send(const Endpoint& remote, const std::string& host, absl::Span<const uint8_t> payload);
  Flow* NewFlow(const Endpoint& remote, const std::string& host);
  void Answer(const Endpoint& remote, absl::Span<const uint8_t> payload);
  FlowFacts Facts(const Endpoint& local, const Endpoint& remote, const std::string& host) const;

  Egress& egress_;
  const Client client_;
  const IpAddress client_address_;
  const Limits limits_;
  UniqueFd socket_;
  Endpoint local_;
  std::optional<Endpoint> client_end_;
  absl::flat_hash_map<Endpoint, std::unique_ptr<Flow>> flows_;
  absl::flat_hash_map<std::string, Waiting> waiting_;  // by target, as text
  size_t waiting_datagrams_ = 0;
};

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_UDP_ASSOCIATION_H_
