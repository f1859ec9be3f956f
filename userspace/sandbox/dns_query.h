// One DNS question to one server over the overlay: by UDP, and by TCP where the answer is truncated. No clock: who asks
// gives up by destroying it.
//
// Forged answers have to guess a random port of ours and a random id, and those to another question, from another
// server or port are not even read. One thread: the loop's.
#ifndef USERSPACE_SANDBOX_DNS_QUERY_H_
#define USERSPACE_SANDBOX_DNS_QUERY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/base/endpoint.h"
#include "userspace/netstack/stack.h"
#include "userspace/sandbox/dns_message.h"
#include "userspace/sandbox/overlay_users.h"

namespace lattice::sandbox {

class DnsQuery : private DatagramUser, private StreamUser {
 public:
  // Called once, and from within the stack; may destroy the DnsQuery. kFailure: the server can't be reached, or
  // cannot say. Never kTruncated.
  using Done = std::function<void(DnsAnswer)>;

  // `stack` must outlive it, and is polled by the caller afterwards. Error: it cannot even be sent.
  static absl::StatusOr<std::unique_ptr<DnsQuery>> Ask(netstack::Stack& stack, const Endpoint& server,
                                                       const std::string& name, uint16_t type, Done done);
  ~DnsQuery() override;

 private:
  DnsQuery(netstack::Stack& stack, const Endpoint& server, DnsQuestion question, Done done)
      : stack_(stack), server_(server), question_(std::move(question)), done_(std::move(done)) {}
  absl::Status Send();
  void OnDatagram(netstack::UdpSocket& socket) override;
  void OnStream(netstack::TcpConnection& connection, uint8_t events) override;
  void AskByTcp();
  bool ReadTcp();
  void Finish(DnsAnswer answer);

  netstack::Stack& stack_;
  const Endpoint server_;
  const DnsQuestion question_;
  Done done_;
  netstack::UdpSocket* socket_ = nullptr;
  netstack::TcpConnection* connection_ = nullptr;
  std::vector<uint8_t> stream_;  // of the answer over TCP: its length, itself
};

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_DNS_QUERY_H_
