// Two stacks and a wire between them in simulated time: delay, rate, queue, and by a seed loss, reordering,
// duplication and corruption. Nothing sleeps; a run is the same each time for one seed, but for the stacks' secrets.
// One thread.
//
//   SimNetwork network({.delay_ns = 5 * kMillisecond, .loss = 0.01}, seed);
//   Stream* up = network.a().Connect({network.b().address(), 80}, {.send_bytes = 1 << 20, .seed = 7});
//   ASSERT_TRUE(network.Run([&] { return up->ended; }, 60 * kSecond));
#ifndef TESTS_TESTING_NETSTACK_NETWORK_H_
#define TESTS_TESTING_NETSTACK_NETWORK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "userspace/netstack/stack.h"

namespace lattice::testing {

// The byte at `offset` of the stream `seed`; FillStream writes a piece of it.
void FillStream(uint64_t seed, uint64_t offset, absl::Span<uint8_t> out);
bool MatchesStream(uint64_t seed, uint64_t offset, absl::Span<const uint8_t> bytes);

struct StreamOptions {
  uint64_t send_bytes = 0;
  uint64_t seed = 1;                 // of what is sent
  uint64_t peer_seed = 1;            // of what is to come
  bool shut_down = true;             // when all is sent
  bool read = true;                  // false: until Pump() with read set
  bool close = true;                 // Close() when both directions are done
  size_t read_at_once = ~size_t{0};  // slow reader: this much per event or Pump()
};

// One connection seen by the application: sends a known stream and checks the one that comes.
struct Stream {
  StreamOptions options;
  netstack::TcpConnection* connection = nullptr;  // nullptr once closed
  uint64_t sent = 0, received = 0;
  bool connected = false, eof = false, ended = false, mismatch = false;
  netstack::CloseReason reason = netstack::CloseReason::kNone;
  bool done() const { return sent == options.send_bytes && eof; }
  void Pump();
  void CloseIfRead();
};

class SimHost : public netstack::Application {
 public:
  explicit SimHost(netstack::Options options, netstack::FlowJudge* judge = nullptr);

  netstack::Stack& stack() { return stack_; }
  IpAddress address() const { return address_; }
  Stream* Connect(const Endpoint& remote, const StreamOptions& options, netstack::ConnectOptions connect = {});
  // Accepted connections get these; `streams()` has them after those of Connect, in the order of their time.
  netstack::TcpListener* Listen(uint16_t port, const StreamOptions& options, size_t backlog = 128);
  const std::vector<std::unique_ptr<Stream>>& streams() const { return streams_; }
  std::vector<std::string> datagrams;  // of every socket

  void OnTcp(netstack::TcpConnection& connection, uint8_t events) override;
  void OnAccept(netstack::TcpListener& listener) override;
  void OnUdp(netstack::UdpSocket& socket) override;

 private:
  IpAddress address_;
  netstack::Stack stack_;
  StreamOptions accepted_;
  std::vector<std::unique_ptr<Stream>> streams_;
};

struct Wire {
  int64_t delay_ns = 5 * netstack::kMillisecond;  // one way
  uint64_t bits_per_second = 0;                   // 0: without limit
  size_t queue_bytes = 1 << 20;                   // before the limit; more is dropped
  double loss = 0, duplicate = 0, corrupt = 0, reorder = 0;
  int64_t reorder_ns = 2 * netstack::kMillisecond;  // at most, late
  size_t mtu = 65535;                               // larger packets get ICMP, or vanish
  bool tells_mtu = true;
};

class SimNetwork {
 public:
  SimNetwork(const Wire& wire, uint64_t seed, netstack::Options a = {}, netstack::Options b = {}, bool v6 = false,
             netstack::FlowJudge* judge_b = nullptr);
  ~SimNetwork();

  SimHost& a() { return *hosts_[0]; }
  SimHost& b() { return *hosts_[1]; }
  Wire& wire() { return wire_; }
  int64_t now() const { return now_; }
  // Until `done`, for at most `time`; true if done.
  bool Run(const std::function<bool()>& done, int64_t time);
  void RunFor(int64_t time) {
    Run([] { return false; }, time);
  }
  // Hands a packet to host 0 or 1 at once.
  void Inject(int host, absl::Span<const uint8_t> packet);
  uint64_t carried() const { return carried_; }
  uint64_t lost() const { return lost_; }
  // Sees each packet that a host sends; true: it is dropped.
  std::function<bool(int from, absl::Span<const uint8_t> packet)> filter;

 private:
  class Port;
  struct Flying {
    int64_t at;
    uint64_t number;
    int to;
    std::string packet;
    bool operator<(const Flying& other) const { return at != other.at ? at > other.at : number > other.number; }
  };
  void Carry(int from, std::string packet);
  void TellTooBig(int to, absl::Span<const uint8_t> packet);
  bool Chance(double p) { return p > 0 && std::uniform_real_distribution<double>()(random_) < p; }

  Wire wire_;
  std::mt19937_64 random_;
  int64_t now_ = netstack::kSecond;
  uint64_t number_ = 0, carried_ = 0, lost_ = 0;
  int64_t free_at_[2] = {0, 0};  // when the sender's rate allows the next packet
  std::unique_ptr<SimHost> hosts_[2];
  std::unique_ptr<Port> ports_[2];
  std::priority_queue<Flying> flying_;
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_NETSTACK_NETWORK_H_
