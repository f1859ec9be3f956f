// One attempt to reach a target on the overlay: its name is looked up, its addresses are judged, and the address that
// was judged is the one that is connected to.
//
//   dial = std::make_unique<Dial>(overlay, target, client, owner, [this](const Dial::Result& result) { … });
//
// The promise: `done` is called once, never from within the constructor, unless the dial is destroyed first, which
// cancels it. Each attempt has its records: denied, failed with the reason, or a start whose end is the owner's to
// give. One thread: the loop's.
#ifndef USERSPACE_SANDBOX_DIAL_H_
#define USERSPACE_SANDBOX_DIAL_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/base/event_loop.h"
#include "userspace/sandbox/egress_filter.h"
#include "userspace/sandbox/flow_log.h"
#include "userspace/sandbox/overlay_stack.h"
#include "userspace/sandbox/overlay_users.h"
#include "userspace/sandbox/resolver.h"
#include "userspace/socks/target.h"

namespace lattice::sandbox {

// What egress flows are made with. All must outlive those who use it.
struct Egress {
  EventLoop& loop;
  const Clock& clock;
  OverlayStack& overlay;
  const EgressFilter& filter;
  FlowLog& log;
  Resolver& resolver;
  // Ours on the overlay; what a record says of a flow that has no port yet.
  std::vector<IpAddress> addresses;

  IpAddress LocalFor(const IpAddress& remote) const;
};

// Who asked, for the records.
struct Client {
  std::string trace_id;
  uint32_t pid = 0;
  std::string comm;
};

class Dial : private StreamUser {
 public:
  enum class Outcome : uint8_t { kConnected, kDenied, kFailed };
  struct Result {
    Outcome outcome = Outcome::kFailed;
    // kConnected: both are the owner's now.
    netstack::TcpConnection* connection = nullptr;
    FlowLog::FlowId flow = 0;
    // The last that was tried; unspecified: none was.
    Endpoint remote;
    Verdict verdict;
    flow::Reason failure = flow::Reason::kNone;  // kFailed
    std::string detail;                          // kFailed: for people
  };

  // `flow_owner` owns the flow while the dial runs too.
  Dial(Egress& egress, const socks::Target& target, Client client, LiveFlow& flow_owner,
       std::function<void(const Result&)> done);
  // Ends the flow that is on its way with `kRst`.
  ~Dial() override;
  // The flow was revoked: FlowLog has ended it.
  void Forget() { flow_.reset(); }

 private:
  void OnStream(netstack::TcpConnection& connection, uint8_t events) override;
  void OnAddresses(absl::StatusOr<std::vector<IpAddress>> addresses);
  // The next address that is allowed; without one it is over.
  void TryNext();
  bool Connect(const Endpoint& remote, const Verdict& verdict);
  void Finish();
  FlowFacts Facts(const Endpoint& local, const Endpoint& remote) const;

  Egress& egress_;
  const socks::Target target_;
  const Client client_;
  LiveFlow& flow_owner_;
  const std::function<void(const Result&)> done_;
  std::optional<Resolver::QuestionId> question_;
  std::vector<IpAddress> addresses_;  // to be tried, the next one last
  netstack::TcpConnection* connection_ = nullptr;
  std::optional<FlowLog::FlowId> flow_;
  Result result_;
  EventLoop::EndOfTurn begin_;
};

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_DIAL_H_
