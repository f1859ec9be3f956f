#include "tests/testing/slow_proxy.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "absl/memory/memory.h"
#include "absl/time/clock.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::testing {
namespace {

constexpr int kTurnsPerSecond = 100;
// Small, so that what waits in the proxy's own buffer is little beside what is let through.
constexpr int kReceiveBuffer = 4096;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// Moves at most `most` bytes; false when the connection is over.
bool Relay(int from, int to, size_t most) {
  char buffer[65536];
  const ssize_t n = ::recv(from, buffer, std::min(most, sizeof buffer), MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  return n > 0 && WriteAll(to, absl::string_view(buffer, static_cast<size_t>(n))).ok();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SlowProxy>> SlowProxy::Start(int server_port, size_t bytes_per_second) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address = Loopback(0);
  socklen_t length = sizeof address;
  const bool listening =
      listener.ok() && ::setsockopt(listener.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof(int)) == 0 &&
      ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length) == 0 && ::listen(listener.get(), 8) == 0 &&
      ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0;
  if (!listening) return ErrnoStatus(errno, "listening");
  auto proxy =
      absl::WrapUnique(new SlowProxy(std::move(listener), ntohs(address.sin_port), server_port, bytes_per_second));
  proxy->thread_ = std::thread([p = proxy.get()] { p->Run(); });
  return proxy;
}

SlowProxy::~SlowProxy() {
  stop_ = true;
  thread_.join();
}

void SlowProxy::Accept() {
  UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client.ok()) return;
  UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = Loopback(server_port_);
  if (::connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return;
  pairs_.push_back({std::move(client), std::move(server)});
}

void SlowProxy::Run() {
  while (!stop_) {
    Accept();
    const auto over = [this](const Pair& pair) {
      return !Relay(pair.server.get(), pair.client.get(), SIZE_MAX) ||
             !Relay(pair.client.get(), pair.server.get(), bytes_per_second_ / kTurnsPerSecond);
    };
    pairs_.erase(std::remove_if(pairs_.begin(), pairs_.end(), over), pairs_.end());
    absl::SleepFor(absl::Seconds(1) / kTurnsPerSecond);
  }
}

}  // namespace lattice::testing
