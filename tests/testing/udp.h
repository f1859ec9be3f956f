// UDP traffic that can be counted to the packet: an echo server, a sink, a stream
// clocked by its own echoes and a stream nobody answers. Each has one thread of its
// own; the counters may be read from any.
#ifndef TESTS_TESTING_UDP_H_
#define TESTS_TESTING_UDP_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/testing/netns.h"
#include "tests/testing/sockets.h"
#include "userspace/base/unique_fd.h"

namespace lattice::testing {

// Receives on one address; sends back what it gets when `echo`.
class UdpServer {
 public:
  static absl::StatusOr<std::unique_ptr<UdpServer>> Create(const NetNamespace& ns, const SocketAddress& local,
                                                           bool echo);
  ~UdpServer();
  uint64_t datagrams() const { return datagrams_; }
  uint64_t bytes() const { return bytes_; }  // of payload

 private:
  explicit UdpServer(UniqueFd fd) : fd_(std::move(fd)) {}
  void Serve(bool echo);
  UniqueFd fd_;
  std::atomic<uint64_t> datagrams_{0}, bytes_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct UdpStreamOptions {
  size_t payload = 100;
  // Unanswered datagrams at most in flight: the stream is as fast as the path, and
  // what is missing at the end was lost, not overrun. 0: nobody answers, it is paced.
  uint32_t window = 16;
  absl::Duration pace = absl::Microseconds(500);  // between datagrams without a window
};

// Sends numbered datagrams until Stop().
class UdpStream {
 public:
  static absl::StatusOr<std::unique_ptr<UdpStream>> Create(const NetNamespace& ns, const SocketAddress& local,
                                                           const SocketAddress& remote, UdpStreamOptions options = {});
  ~UdpStream();
  // Ends it; with a window waits up to 5 s for the echoes still under way.
  void Stop();
  uint64_t sent() const { return sent_; }
  uint64_t answered() const { return answered_; }
  uint64_t send_errors() const { return send_errors_; }

 private:
  UdpStream(UniqueFd fd, UdpStreamOptions options) : fd_(std::move(fd)), options_(options) {}
  void Send();
  bool ReceiveOne();
  void Run();
  UniqueFd fd_;
  const UdpStreamOptions options_;
  std::atomic<uint64_t> sent_{0}, answered_{0}, send_errors_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Sends one datagram of `payload` bytes to a server that echoes; true if the echo comes back whole.
bool UdpEchoes(const NetNamespace& ns, const SocketAddress& remote, size_t payload,
               absl::Duration timeout = absl::Seconds(2));
// The same from a given source, so that a test knows its flows: ephemeral ports repeat.
bool UdpEchoesFrom(const NetNamespace& ns, const SocketAddress& local, const SocketAddress& remote, size_t payload,
                   absl::Duration timeout = absl::Seconds(2));

}  // namespace lattice::testing

#endif  // TESTS_TESTING_UDP_H_
