#include "bench/traffic_server.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <vector>

#include "glog/logging.h"

namespace lattice::bench {
namespace {

constexpr size_t kBlock = 256 << 10;

}  // namespace

TrafficServer::TrafficServer(const lattice::testing::NetNamespace& ns, const lattice::testing::SocketAddress& address)
    : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  auto listener = lattice::testing::BoundSocket(ns, SOCK_STREAM | SOCK_NONBLOCK, address);
  CHECK(listener.ok()) << listener.status();
  listener_ = *std::move(listener);
  // Again: the helper's queue is short for a crowd.
  PCHECK(listen(listener_.get(), 4096) == 0);
  epoll_event event{.events = EPOLLIN, .data = {.fd = listener_.get()}};
  PCHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), &event) == 0);
  thread_ = std::thread([this] { Run(); });
}

TrafficServer::~TrafficServer() {
  stop_ = true;
  thread_.join();
}

void TrafficServer::Run() {
  std::array<epoll_event, 64> events;
  while (!stop_) {
    const int count = epoll_wait(epoll_.get(), events.data(), events.size(), 100);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == listener_.get()) {
        Accept();
      } else if (const auto found = connections_.find(fd); found != connections_.end() && !Serve(found->second)) {
        connections_.erase(found);
      }
    }
  }
}

void TrafficServer::Accept() {
  while (true) {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.ok()) return;
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd.get()}};
    PCHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) == 0);
    Connection& connection = connections_[fd.get()];
    connection.fd = std::move(fd);
  }
}

// The first byte, and of a source the number. True once it is known.
bool TrafficServer::Begin(Connection& connection) {
  uint8_t head[9];
  const ssize_t peeked = recv(connection.fd.get(), head, sizeof(head), MSG_PEEK);
  if (peeked <= 0 || (head[0] == kSource && peeked < 9)) return false;
  connection.kind = head[0];
  if (head[0] == kEcho) return true;
  const size_t bytes = head[0] == kSource ? 9 : 1;
  PCHECK(recv(connection.fd.get(), head, bytes, 0) == static_cast<ssize_t>(bytes));
  for (size_t i = 1; i < bytes; ++i) connection.left = connection.left << 8 | head[i];
  return true;
}

bool TrafficServer::Serve(Connection& connection) {
  static std::vector<char>& block = *new std::vector<char>(kBlock);
  const int fd = connection.fd.get();
  if (connection.kind == 0 && !Begin(connection)) {
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK) != 0;
  }
  if (connection.kind == kSource) {
    while (connection.left > 0) {
      const ssize_t sent = send(fd, block.data(), std::min<uint64_t>(connection.left, kBlock), MSG_NOSIGNAL);
      if (sent < 0 && errno == EAGAIN) {
        epoll_event event{.events = EPOLLOUT, .data = {.fd = fd}};
        return epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0;
      }
      if (sent < 0) return false;
      connection.left -= static_cast<uint64_t>(sent);
    }
    return false;
  }
  while (true) {
    // A sink needs no copy (tcp(7), MSG_TRUNC).
    const ssize_t got = recv(fd, block.data(), kBlock, connection.kind == kSink ? MSG_TRUNC : 0);
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    // An echo is short: the socket has room for it.
    if (connection.kind == kEcho && send(fd, block.data(), static_cast<size_t>(got), MSG_NOSIGNAL) != got) return false;
  }
}

}  // namespace lattice::bench
