// One client of the proxy: what it asks for (SOCKS5 or HTTP, by its first byte), the way there, the bytes both ways.
//
// Theory of operation. kAsking: bytes go through a codec until it has a request or refuses. kDialling: nothing is read;
// the kernel keeps what the client sends. kRelaying: the codec is gone and a Relay has the socket. kAssociated: a UDP
// association works, and the TCP connection is only watched for its end. kLeaving: a refusal was sent, and what the
// client still sends is read, for a while, so that no reset takes the answer from it.
//
// One thread: the loop's.
#ifndef USERSPACE_SANDBOX_PROXY_SESSION_H_
#define USERSPACE_SANDBOX_PROXY_SESSION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "userspace/base/unique_fd.h"
#include "userspace/sandbox/dial.h"
#include "userspace/sandbox/relay.h"
#include "userspace/sandbox/udp_association.h"
#include "userspace/socks/accounts.h"
#include "userspace/socks/http_proxy.h"
#include "userspace/socks/socks5.h"

namespace lattice::sandbox {

// What a proxy's sessions share.
struct ProxyContext {
  Egress& egress;
  std::vector<socks::Account> accounts;
  UdpAssociation::Limits udp;
  absl::Duration handshake_timeout = absl::Seconds(10);
  // Without a byte either way; zero: none.
  absl::Duration idle_timeout = absl::Hours(2);
  uint64_t refused = 0;  // requests that were none, or without the right password
};

class ProxySession final : private LiveFlow, private StreamUser, private Relay::Owner {
 public:
  // `socket` is connected and non-blocking. `ended` is called once, when the session can go; not from within Start().
  ProxySession(ProxyContext& context, UniqueFd socket, Client client, std::function<void(ProxySession*)> ended);
  ~ProxySession() override;

  absl::Status Start();
  // Ends it when its time is over.
  void Sweep(int64_t now_ns);

 private:
  enum class State : uint8_t { kAsking, kDialling, kRelaying, kAssociated, kLeaving, kEnded };

  void OnSocket(uint32_t events);
  bool Read(absl::Span<uint8_t> buffer, size_t* got);
  void OnInput(absl::Span<const uint8_t> input);
  void OnSocks(absl::Span<const uint8_t> input);
  void OnHttp(absl::Span<const uint8_t> input);
  void OnRequest(const socks::Target& target);
  void OnDialled(const Dial::Result& result);
  void Associate();
  void Refuse(const std::string& answer, absl::string_view why);
  bool Answer(const std::string& answer);
  void Leave();
  void End();
  bool http() const { return http_ != nullptr; }

  // LiveFlow
  FlowTotals totals() const override;
  void Revoke() override;
  // StreamUser
  void OnStream(netstack::TcpConnection& connection, uint8_t events) override;
  // Relay::Owner
  void OnRelayEnd(flow::EndReason end, flow::Reason reason) override;

  ProxyContext& context_;
  UniqueFd socket_;
  Client client_;
  const std::function<void(ProxySession*)> ended_;
  State state_ = State::kAsking;
  int64_t since_ns_;   // of the state
  std::string early_;  // of the client, behind its request
  std::unique_ptr<socks::ServerHandshake> socks_;
  std::unique_ptr<socks::HttpRequestHead> http_;
  std::unique_ptr<Dial> dial_;
  std::unique_ptr<Relay> relay_;
  std::unique_ptr<UdpAssociation> association_;
  std::optional<FlowLog::FlowId> flow_;  // while relaying
};

// For the client of a proxy: why its connection was denied.
std::string DenialText(const Endpoint& remote, absl::string_view protocol, const Verdict& verdict);

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_PROXY_SESSION_H_
