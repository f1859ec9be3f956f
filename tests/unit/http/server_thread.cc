#include "tests/unit/http/server_thread.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/synchronization/notification.h"
#include "glog/logging.h"
#include "userspace/http/listen.h"

namespace lattice::http {

ServerThread::ServerThread(const ServerOptions& options, const std::function<void(Server&)>& setup) {
  auto loop = EventLoop::Create();
  CHECK(loop.ok()) << loop.status();
  loop_ = *std::move(loop);
  auto server = Server::Create(*loop_, options);
  CHECK(server.ok()) << server.status();
  server_ = *std::move(server);
  setup(*server_);
  address_ = server_->address();
  thread_ = std::thread([this] {
    const absl::Status run = loop_->Run();
    CHECK(run.ok()) << run;
  });
}

void ServerThread::Stop() {
  if (!thread_.joinable()) return;
  loop_->Stop();
  thread_.join();
  server_.reset();
}

void ServerThread::OnLoop(const std::function<void()>& action) {
  absl::Notification done;
  loop_->Post([&] {
    action();
    done.Notify();
  });
  done.WaitForNotification();
}

int ServerThread::connections() {
  int count = 0;
  OnLoop([&] { count = server_->connections(); });
  return count;
}

RawClient::RawClient(const std::string& address) {
  if (address[0] == '/') {
    sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = {}};
    std::strncpy(name.sun_path, address.c_str(), sizeof(name.sun_path) - 1);
    fd_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    PCHECK(connect(fd_.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0) << address;
    return;
  }
  std::string host, port;
  CHECK(SplitHostPort(address, &host, &port)) << address;
  int number = 0;
  CHECK(absl::SimpleAtoi(port, &number));
  sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(number))};
  CHECK(inet_pton(AF_INET, host.c_str(), &name.sin_addr) == 1) << host;
  fd_.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  PCHECK(connect(fd_.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0) << address;
}

bool RawClient::Send(const std::string& text) {
  return send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

std::string RawClient::ReadUntil(const std::string& text) {
  std::string all;
  char buffer[16384];
  while (text.empty() || all.find(text) == std::string::npos) {
    const ssize_t n = recv(fd_.get(), buffer, sizeof(buffer), 0);
    if (n <= 0) break;  // closed, or reset
    all.append(buffer, static_cast<size_t>(n));
  }
  return all;
}

}  // namespace lattice::http
