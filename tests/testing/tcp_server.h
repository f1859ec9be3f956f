// A TCP server inside a namespace, one thread for all its connections: echoes what
// it gets, or answers each HTTP request with a fixed page and closes.
#ifndef TESTS_TESTING_TCP_SERVER_H_
#define TESTS_TESTING_TCP_SERVER_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "tests/testing/netns.h"
#include "tests/testing/sockets.h"
#include "userspace/base/unique_fd.h"

namespace lattice::testing {

class TcpServer {
 public:
  static absl::StatusOr<std::unique_ptr<TcpServer>> Echo(const NetNamespace& ns, const SocketAddress& local);
  static absl::StatusOr<std::unique_ptr<TcpServer>> Http(const NetNamespace& ns, const SocketAddress& local,
                                                         std::string body = "hello\n");
  ~TcpServer();
  uint64_t accepted() const { return accepted_; }  // any thread

 private:
  TcpServer(UniqueFd listener, std::string page) : listener_(std::move(listener)), page_(std::move(page)) {}
  static absl::StatusOr<std::unique_ptr<TcpServer>> Start(const NetNamespace& ns, const SocketAddress& local,
                                                          std::string page);
  void Run();
  void Accept();
  bool Serve(int fd, std::string& request);  // false: the connection is over

  UniqueFd listener_;
  const std::string page_;  // empty: echo
  std::map<int, std::pair<UniqueFd, std::string>> connections_;
  std::atomic<uint64_t> accepted_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Sends `text` over a connection to an echo server; true if it comes back in time.
bool TcpEchoes(int fd, const std::string& text, absl::Duration timeout = absl::Seconds(5));

}  // namespace lattice::testing

#endif  // TESTS_TESTING_TCP_SERVER_H_
