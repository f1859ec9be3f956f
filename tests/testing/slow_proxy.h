// A TCP relay to a port of 127.0.0.1 that lets through so many bytes a second from client to server, and
// everything the other way. One thread of its own; any number of connections, each with the full rate.
#ifndef TESTS_TESTING_SLOW_PROXY_H_
#define TESTS_TESTING_SLOW_PROXY_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/base/unique_fd.h"

namespace lattice::testing {

class SlowProxy {
 public:
  static absl::StatusOr<std::unique_ptr<SlowProxy>> Start(int server_port, size_t bytes_per_second);
  ~SlowProxy();
  int port() const { return port_; }  // of 127.0.0.1

 private:
  struct Pair {
    UniqueFd client;
    UniqueFd server;
  };
  SlowProxy(UniqueFd listener, int port, int server_port, size_t bytes_per_second)
      : listener_(std::move(listener)), port_(port), server_port_(server_port), bytes_per_second_(bytes_per_second) {}
  void Run();
  void Accept();

  const UniqueFd listener_;
  const int port_;
  const int server_port_;
  const size_t bytes_per_second_;
  std::vector<Pair> pairs_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_SLOW_PROXY_H_
