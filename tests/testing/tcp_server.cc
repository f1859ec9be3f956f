#include "tests/testing/tcp_server.h"

#include <poll.h>

#include <cerrno>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::testing {

absl::StatusOr<std::unique_ptr<TcpServer>> TcpServer::Start(const NetNamespace& ns, const SocketAddress& local,
                                                            std::string page) {
  LATTICE_ASSIGN_OR_RETURN(UniqueFd listener, BoundSocket(ns, SOCK_STREAM, local));
  auto server = absl::WrapUnique(new TcpServer(std::move(listener), std::move(page)));
  server->thread_ = std::thread([s = server.get()] { s->Run(); });
  return server;
}

absl::StatusOr<std::unique_ptr<TcpServer>> TcpServer::Echo(const NetNamespace& ns, const SocketAddress& local) {
  return Start(ns, local, "");
}

absl::StatusOr<std::unique_ptr<TcpServer>> TcpServer::Http(const NetNamespace& ns, const SocketAddress& local,
                                                           std::string body) {
  return Start(ns, local,
               absl::StrCat("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ", body.size(), "\r\n\r\n", body));
}

TcpServer::~TcpServer() {
  stop_ = true;
  thread_.join();
}

void TcpServer::Accept() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd.ok()) return;
  ++accepted_;
  const int key = fd.get();
  connections_[key] = {std::move(fd), ""};
}

bool TcpServer::Serve(int fd, std::string& request) {
  char buffer[65536];
  const ssize_t n = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) return false;
  if (page_.empty()) return WriteAll(fd, absl::string_view(buffer, static_cast<size_t>(n))).ok();
  request.append(buffer, static_cast<size_t>(n));
  if (request.find("\r\n\r\n") == std::string::npos) return true;
  // A client that has gone away is its own business.
  (void)WriteAll(fd, page_);
  return false;
}

void TcpServer::Run() {
  while (!stop_) {
    std::vector<pollfd> fds = {{listener_.get(), POLLIN, 0}};
    for (const auto& [fd, connection] : connections_) fds.push_back({fd, POLLIN, 0});
    if (::poll(fds.data(), fds.size(), 50) <= 0) continue;
    for (size_t i = 1; i < fds.size(); ++i) {
      if (fds[i].revents != 0 && !Serve(fds[i].fd, connections_[fds[i].fd].second)) connections_.erase(fds[i].fd);
    }
    if (fds[0].revents != 0) Accept();
  }
}

bool TcpEchoes(int fd, const std::string& text, absl::Duration timeout) {
  if (!WriteAll(fd, text).ok()) return false;
  SetReceiveTimeout(fd, timeout);
  std::string got;
  char buffer[65536];
  while (got.size() < text.size()) {
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    got.append(buffer, static_cast<size_t>(n));
  }
  return got == text;
}

}  // namespace lattice::testing
