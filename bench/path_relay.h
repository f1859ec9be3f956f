// A path with delay and loss between two UDP ends, for kernels without netem: datagrams of a client go to a target and
// those of the target back, each as late as told, some not at all. A thread of its own.
#ifndef BENCH_PATH_RELAY_H_
#define BENCH_PATH_RELAY_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "absl/time/time.h"
#include "tests/testing/netns.h"
#include "userspace/tunnel/udp_socket.h"

namespace lattice::bench {

class PathRelay {
 public:
  struct Options {
    Endpoint target;
    absl::Duration one_way;
    double loss = 0;  // of datagrams, each direction
    uint64_t seed = 1;
  };
  // Inside `ns`, where it listens on 127.0.0.1.
  PathRelay(const lattice::testing::NetNamespace& ns, const Options& options);
  ~PathRelay();
  PathRelay(const PathRelay&) = delete;
  PathRelay& operator=(const PathRelay&) = delete;

  uint16_t port() const { return front_->port(); }

 private:
  void Run();

  const Options options_;
  std::unique_ptr<tunnel::UdpSocket> front_, back_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace lattice::bench

#endif  // BENCH_PATH_RELAY_H_
