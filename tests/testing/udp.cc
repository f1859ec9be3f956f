#include "tests/testing/udp.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/time/clock.h"
#include "userspace/base/status.h"

namespace lattice::testing {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(50);
constexpr absl::Duration kLastEchoes = absl::Seconds(5);

}  // namespace

absl::StatusOr<std::unique_ptr<UdpServer>> UdpServer::Create(const NetNamespace& ns, const SocketAddress& local,
                                                             bool echo) {
  LATTICE_ASSIGN_OR_RETURN(UniqueFd fd, BoundSocket(ns, SOCK_DGRAM, local));
  SetReceiveTimeout(fd.get(), kPoll);
  const int room = 4 << 20;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  auto server = absl::WrapUnique(new UdpServer(std::move(fd)));
  server->thread_ = std::thread([s = server.get(), echo] { s->Serve(echo); });
  return server;
}

UdpServer::~UdpServer() {
  stop_ = true;
  thread_.join();
}

void UdpServer::Serve(bool echo) {
  std::vector<char> buffer(65536);
  while (!stop_) {
    sockaddr_storage from;
    socklen_t length = sizeof from;
    const ssize_t n =
        ::recvfrom(fd_.get(), buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (n < 0) continue;
    ++datagrams_;
    bytes_ += static_cast<uint64_t>(n);
    if (!echo) continue;
    // A lost echo shows at the stream that waits for it.
    (void)::sendto(fd_.get(), buffer.data(), static_cast<size_t>(n), 0, reinterpret_cast<sockaddr*>(&from), length);
  }
}

absl::StatusOr<std::unique_ptr<UdpStream>> UdpStream::Create(const NetNamespace& ns, const SocketAddress& local,
                                                             const SocketAddress& remote, UdpStreamOptions options) {
  LATTICE_ASSIGN_OR_RETURN(UniqueFd fd, BoundSocket(ns, SOCK_DGRAM, local));
  if (::connect(fd.get(), remote.get(), remote.length()) != 0) return ErrnoStatus(errno, "connect");
  SetReceiveTimeout(fd.get(), kPoll);
  auto stream = absl::WrapUnique(new UdpStream(std::move(fd), options));
  stream->thread_ = std::thread([s = stream.get()] { s->Run(); });
  return stream;
}

UdpStream::~UdpStream() {
  Stop();
}

void UdpStream::Stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void UdpStream::Send() {
  std::vector<char> payload(options_.payload, 'x');
  const uint64_t number = sent_;
  std::memcpy(payload.data(), &number, std::min(sizeof number, payload.size()));
  if (::send(fd_.get(), payload.data(), payload.size(), 0) < 0) ++send_errors_;
  ++sent_;
}

bool UdpStream::ReceiveOne() {
  char buffer[65536];
  if (::recv(fd_.get(), buffer, sizeof buffer, 0) < 0) return false;
  ++answered_;
  return true;
}

void UdpStream::Run() {
  while (!stop_) {
    if (options_.window != 0 && sent_ - answered_ >= options_.window) {
      ReceiveOne();
      continue;
    }
    Send();
    if (options_.window == 0) absl::SleepFor(options_.pace);
  }
  if (options_.window == 0) return;
  const absl::Time deadline = absl::Now() + kLastEchoes;
  while (answered_ < sent_ && absl::Now() < deadline) ReceiveOne();
}

namespace {

bool Echoes(const UniqueFd& fd, const SocketAddress& remote, size_t payload, absl::Duration timeout) {
  if (!fd.ok() || ::connect(fd.get(), remote.get(), remote.length()) != 0) return false;
  SetReceiveTimeout(fd.get(), timeout);
  const std::string sent(payload, 'e');
  if (::send(fd.get(), sent.data(), sent.size(), 0) < 0) return false;
  std::string got(65536, '\0');
  const ssize_t n = ::recv(fd.get(), got.data(), got.size(), 0);
  return n == static_cast<ssize_t>(payload) && got.compare(0, payload, sent) == 0;
}

}  // namespace

bool UdpEchoes(const NetNamespace& ns, const SocketAddress& remote, size_t payload, absl::Duration timeout) {
  return Echoes(ns.Socket(remote.family(), SOCK_DGRAM, 0), remote, payload, timeout);
}

bool UdpEchoesFrom(const NetNamespace& ns, const SocketAddress& local, const SocketAddress& remote, size_t payload,
                   absl::Duration timeout) {
  absl::StatusOr<UniqueFd> fd = BoundSocket(ns, SOCK_DGRAM, local);
  return fd.ok() && Echoes(*fd, remote, payload, timeout);
}

}  // namespace lattice::testing
