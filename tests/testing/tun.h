// A TUN device of our own inside a namespace: the test is its other end, so a packet
// is written and read byte by byte, without a tunnel in between. One thread.
#ifndef TESTS_TESTING_TUN_H_
#define TESTS_TESTING_TUN_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tests/testing/netns.h"
#include "userspace/base/unique_fd.h"

namespace lattice::testing {

class TunDevice {
 public:
  // Up, MTU 1420, with the addresses "A/LEN".
  static absl::StatusOr<std::unique_ptr<TunDevice>> Create(const NetNamespace& ns, const std::string& name,
                                                           const std::vector<std::string>& addresses);
  int fd() const { return fd_.get(); }
  // What the kernel sends out; nothing if none comes within `timeout`.
  std::optional<std::string> Read(absl::Duration timeout);
  // Comes in on the device.
  absl::Status Write(absl::string_view packet);

 private:
  explicit TunDevice(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// Reads all that comes out of a device and counts what is wanted, on a thread of its own, so
// that the queue never overruns.
class TunCounter {
 public:
  // `wanted` runs on that thread. The device must outlive this and nobody else may read it.
  TunCounter(TunDevice& device, std::function<bool(absl::string_view packet)> wanted);
  ~TunCounter();
  uint64_t count() const { return count_; }  // any thread

 private:
  std::atomic<uint64_t> count_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// True if `packet` is IPv4 without options for `destination`, and for `port` of TCP or UDP unless that is 0.
bool IsFor(absl::string_view packet, absl::string_view destination, uint16_t port = 0);

}  // namespace lattice::testing

#endif  // TESTS_TESTING_TUN_H_
