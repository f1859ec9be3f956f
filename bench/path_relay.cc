#include "bench/path_relay.h"

#include <poll.h>

#include <algorithm>
#include <deque>
#include <random>
#include <vector>

#include "glog/logging.h"
#include "userspace/base/clock.h"

namespace lattice::bench {
namespace {

// What is on its way in one direction.
class Line {
 public:
  Line(absl::Duration delay, double loss, uint64_t seed) : delay_ns_(ToInt64Nanoseconds(delay)), loss_(loss) {
    random_.seed(seed);
  }

  // A group stays a group, so that the relay costs little; what is lost falls out of it.
  void Enter(const tunnel::Received& group, int64_t now_ns) {
    Held held{now_ns + delay_ns_, {}, group.segment_bytes};
    held.bytes.reserve(group.bytes.size());
    for (size_t at = 0; at < group.bytes.size(); at += group.segment_bytes) {
      if (loss_ > 0 && std::uniform_real_distribution<>()(random_) < loss_) continue;
      const auto one = group.bytes.subspan(at, group.segment_bytes);
      held.bytes.insert(held.bytes.end(), one.begin(), one.end());
    }
    if (!held.bytes.empty()) queue_.push_back(std::move(held));
  }

  void Leave(tunnel::UdpSocket& socket, const Endpoint& to, int64_t now_ns) {
    while (!queue_.empty() && queue_.front().due_ns <= now_ns) {
      const Held& held = queue_.front();
      if (socket.Send({{to, held.bytes, held.segment_bytes}}) == 0) return;  // full: the next turn
      queue_.pop_front();
    }
  }

  int64_t due_ns() const { return queue_.empty() ? INT64_MAX : queue_.front().due_ns; }

 private:
  struct Held {
    int64_t due_ns;
    std::vector<uint8_t> bytes;
    size_t segment_bytes;
  };
  const int64_t delay_ns_;
  const double loss_;
  std::mt19937_64 random_;
  std::deque<Held> queue_;
};

}  // namespace

PathRelay::PathRelay(const lattice::testing::NetNamespace& ns, const Options& options) : options_(options) {
  ns.Run([this] {
    for (auto* socket : {&front_, &back_}) {
      auto opened = tunnel::UdpSocket::Open(
          {.address = socket == &front_ ? IpAddress::FromV4({127, 0, 0, 1}) : IpAddress::FromV4(uint32_t{0})});
      CHECK(opened.ok()) << opened.status();
      *socket = *std::move(opened);
    }
  });
  thread_ = std::thread([this] { Run(); });
}

PathRelay::~PathRelay() {
  stop_ = true;
  thread_.join();
}

void PathRelay::Run() {
  Line there(options_.one_way, options_.loss, options_.seed);
  Line back(options_.one_way, options_.loss, options_.seed + 1);
  Endpoint client;
  while (!stop_) {
    const int64_t due = std::min(there.due_ns(), back.due_ns());
    const int64_t wait = std::clamp<int64_t>(due == INT64_MAX ? due : due - RealClock().MonotonicNs(), 0, 100'000'000);
    const timespec timeout{.tv_nsec = wait};
    pollfd fds[] = {{.fd = front_->fd(), .events = POLLIN}, {.fd = back_->fd(), .events = POLLIN}};
    if (ppoll(fds, 2, &timeout, nullptr) < 0) PCHECK(errno == EINTR);
    const int64_t now_ns = RealClock().MonotonicNs();
    for (tunnel::UdpSocket* socket : {front_.get(), back_.get()}) {
      const auto received = socket->Receive();
      CHECK(received.ok()) << received.status();
      for (const tunnel::Received& group : *received) {
        if (socket == front_.get()) client = group.peer;
        (socket == front_.get() ? there : back).Enter(group, now_ns);
      }
    }
    there.Leave(*back_, options_.target, now_ns);
    back.Leave(*front_, client, now_ns);
  }
}

}  // namespace lattice::bench
