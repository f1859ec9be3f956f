// The other end of the engines' benchmarks, on the kernel's TCP: the first byte of a connection says what it is to do
// with it. One thread for all connections.
#ifndef BENCH_TRAFFIC_SERVER_H_
#define BENCH_TRAFFIC_SERVER_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <thread>

#include "tests/testing/netns.h"
#include "tests/testing/sockets.h"
#include "userspace/base/unique_fd.h"

namespace lattice::bench {

class TrafficServer {
 public:
  enum Kind : uint8_t {
    kEcho = 1,    // send back what comes, that byte too
    kSink = 2,    // read to the end and close
    kSource = 3,  // send as many bytes as the next eight say, big-endian, and close
  };
  TrafficServer(const lattice::testing::NetNamespace& ns, const lattice::testing::SocketAddress& address);
  ~TrafficServer();
  TrafficServer(const TrafficServer&) = delete;
  TrafficServer& operator=(const TrafficServer&) = delete;

 private:
  struct Connection {
    UniqueFd fd;
    uint8_t kind = 0;
    uint64_t left = 0;  // of a source
  };
  void Run();
  void Accept();
  bool Serve(Connection& connection);  // false: it is over
  static bool Begin(Connection& connection);

  UniqueFd listener_, epoll_;
  std::map<int, Connection> connections_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace lattice::bench

#endif  // BENCH_TRAFFIC_SERVER_H_
