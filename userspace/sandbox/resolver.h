// Names of the overlay to addresses: DNS (RFC 1035) over the overlay's UDP, over its TCP where an answer is truncated.
//
//   resolver.Resolve("api.example.com", [](absl::StatusOr<std::vector<IpAddress>> addresses) { … });
//
// The promise: every question is answered, once, within Options::patience; never from within Resolve(). Answers are
// kept as long as they say, within bounds; one question is on its way at a time for a name. Asks the server that
// answered last, and the others in turn where it is silent or cannot say. One thread: the loop's.
#ifndef USERSPACE_SANDBOX_RESOLVER_H_
#define USERSPACE_SANDBOX_RESOLVER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/base/clock.h"
#include "userspace/base/endpoint.h"
#include "userspace/base/event_loop.h"
#include "userspace/base/ip.h"
#include "userspace/netstack/linked_queue.h"
#include "userspace/sandbox/dns_query.h"
#include "userspace/sandbox/overlay_stack.h"

namespace lattice::sandbox {

class Resolver {
 public:
  struct Options {
    std::vector<Endpoint> servers;  // on the overlay; empty: every question is FailedPrecondition, naming --dns
    absl::Duration try_for = absl::Seconds(2);
    absl::Duration patience = absl::Seconds(6);
    size_t max_cached = 4096;
    size_t max_pending = 1024;
    bool ipv4 = true, ipv6 = true;  // which families to ask for: those the overlay has an address of
  };
  // IPv4 first. InvalidArgument: no host name. NotFound: no such name, or it has no address (RFC 2308). Unavailable: no
  // server answered. ResourceExhausted.
  using Answer = std::function<void(absl::StatusOr<std::vector<IpAddress>>)>;
  using QuestionId = uint64_t;

  // References must outlive it.
  Resolver(EventLoop& loop, const Clock& clock, OverlayStack& overlay, Options options);
  ~Resolver();  // questions on their way are not answered

  QuestionId Resolve(absl::string_view name, Answer answer);
  // The answer is not wanted any more.
  void Cancel(QuestionId id);
  // Other servers; what is kept is forgotten.
  void SetServers(std::vector<Endpoint> servers);

 private:
  using Result = absl::StatusOr<std::vector<IpAddress>>;
  struct Lookup;
  // A name's addresses of one family, on their way.
  struct Family {
    Lookup* lookup = nullptr;
    uint16_t type = 0;
    std::unique_ptr<DnsQuery> query;
    size_t server = 0;    // of the servers, modulo their number
    size_t failures = 0;  // servers that cannot say
    int64_t try_until_ns = 0;
    bool open = false;
    std::optional<DnsAnswer> answer;
    netstack::QueueHook<Family> hook;
  };
  struct Lookup {
    std::string name;
    std::vector<QuestionId> waiting;
    std::array<Family, 2> families;  // IPv4, IPv6
    int64_t until_ns = 0;
    netstack::QueueHook<Lookup> hook;
  };
  struct Question {
    Answer answer;
    Lookup* lookup = nullptr;  // none: its answer is on the way
  };
  struct Kept {
    std::string name;
    Result result;
    int64_t until_ns = 0;
    netstack::QueueHook<Kept> hook;
  };

  std::optional<Result> Known(const std::string& name);
  void Keep(const std::string& name, const Result& result, uint32_t ttl_s, uint32_t at_most_s);
  void Look(const std::string& name, QuestionId id);
  void Try(Family& family);
  void OnAnswer(Family& family, DnsAnswer answer);
  void NextServer(Family& family, bool failed);
  void Close(Family& family, std::optional<DnsAnswer> answer);
  void Finish(Lookup& lookup);
  Result Conclude(const Lookup& lookup);
  void Drop(Lookup& lookup);
  void Ready(QuestionId id, Result result);
  void Deliver();
  void RunDue();
  void WakeAt(int64_t due_ns);

  EventLoop& loop_;
  const Clock& clock_;
  OverlayStack& overlay_;
  Options options_;
  size_t answered_last_ = 0;  // of the servers
  QuestionId last_id_ = 0;
  absl::flat_hash_map<QuestionId, Question> questions_;
  absl::flat_hash_map<std::string, std::unique_ptr<Lookup>> lookups_;
  absl::flat_hash_map<std::string, std::unique_ptr<Kept>> kept_;
  // Each in the order of their time: all wait equally long. What is kept: the oldest first.
  netstack::LinkedQueue<Family, &Family::hook> tries_;
  netstack::LinkedQueue<Lookup, &Lookup::hook> patience_;
  netstack::LinkedQueue<Kept, &Kept::hook> oldest_;
  std::vector<std::pair<QuestionId, Result>> ready_;
  EventLoop::TimerId deliver_timer_ = 0;
  int64_t wake_ns_ = INT64_MAX;  // when timer_ comes up
  EventLoop::TimerId timer_ = 0;
};

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_RESOLVER_H_
