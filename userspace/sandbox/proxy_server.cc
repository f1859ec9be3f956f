#include "userspace/sandbox/proxy_server.h"

#include <errno.h>
#include <glog/logging.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::sandbox {
namespace {

constexpr absl::Duration kSweepEvery = absl::Seconds(1);
// In one turn of the loop.
constexpr int kMaxAccepts = 64;

// Who is at the other end of a Unix socket.
Client ClientOf(int fd) {
  ucred who{};
  socklen_t size = sizeof(who);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || who.pid <= 0) return {};
  Client client{.pid = static_cast<uint32_t>(who.pid)};
  const absl::StatusOr<std::string> comm = ReadFile(absl::StrCat("/proc/", who.pid, "/comm"), 64);
  if (comm.ok()) client.comm = std::string(absl::StripSuffix(*comm, "\n"));
  return client;
}

}  // namespace

absl::Status CheckLoopback(const std::string& address, absl::string_view remedy) {
  if (absl::StartsWith(address, "/")) return absl::OkStatus();
  std::string host, port;
  if (!http::SplitHostPort(address, &host, &port)) return absl::OkStatus();  // Listener says what is wrong
  if (host == "localhost") return absl::OkStatus();
  const absl::StatusOr<IpAddress> ip = IpAddress::Parse(host);
  if (ip.ok() && (ip->is_v4() ? ip->v4_host_order() >> 24 == 127 : ip->ToString() == "::1")) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(address, ": not a loopback address; ", remedy));
}

absl::StatusOr<std::unique_ptr<ProxyServer>> ProxyServer::Create(Egress& egress, const ProxyOptions& options) {
  if (options.accounts.empty()) {
    LATTICE_RETURN_IF_ERROR(
        Annotate(CheckLoopback(options.address, "anybody who reaches it could use the overlay: add --proxy-auth"),
                 "--proxy-addr"));
  }
  auto listener = http::Listener::Open(options.address, "--proxy-addr");
  LATTICE_RETURN_IF_ERROR(listener.status());
  auto server = absl::WrapUnique(new ProxyServer(egress, options, *std::move(listener)));
  LATTICE_RETURN_IF_ERROR(
      egress.loop.AddFd(server->listener_.fd(), EPOLLIN, [raw = server.get()](uint32_t) { raw->OnAccept(); }));
  server->accepting_ = true;
  return server;
}

ProxyServer::ProxyServer(Egress& egress, const ProxyOptions& options, http::Listener listener)
    : context_{.egress = egress,
               .accounts = options.accounts,
               .handshake_timeout = options.handshake_timeout,
               .idle_timeout = options.idle_timeout},
      max_sessions_(options.max_sessions),
      listener_(std::move(listener)),
      bury_(egress.loop, [this] { Bury(); }),
      sweep_(egress.loop.AddTimer(kSweepEvery, [this] { Sweep(); })) {}

ProxyServer::~ProxyServer() {
  context_.egress.loop.RemoveTimer(sweep_);
  context_.egress.loop.RemoveFd(listener_.fd());
}

void ProxyServer::OnAccept() {
  for (int count = 0; count < kMaxAccepts; ++count) {
    if (sessions_.size() >= max_sessions_) return SetAccepting(false);
    UniqueFd socket(accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.ok()) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        LOG_EVERY_N(WARNING, 100) << "proxy: no file descriptor for another client; raise the limit (ulimit -n)";
        return SetAccepting(false);
      }
      // EAGAIN, or a client that left before it was accepted.
      return;
    }
    ++accepted_;
    Client client;
    if (listener_.is_unix()) {
      client = ClientOf(socket.get());
    } else {
      const int on = 1;
      setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // only a matter of speed
    }
    auto session =
        std::make_unique<ProxySession>(context_, std::move(socket), std::move(client), [this](ProxySession* ended) {
          ended_.push_back(ended);
          bury_.Request();
        });
    if (session->Start().ok()) sessions_[session.get()] = std::move(session);
  }
}

// Between two clients that leave, or until the next sweep.
void ProxyServer::SetAccepting(bool accepting) {
  if (std::exchange(accepting_, accepting) == accepting) return;
  const absl::Status status = context_.egress.loop.ModifyFd(listener_.fd(), accepting ? EPOLLIN : 0u);
  LOG_IF(ERROR, !status.ok()) << "proxy: " << status.message();
}

void ProxyServer::Sweep() {
  const int64_t now = context_.egress.clock.MonotonicNs();
  // A session that ends here stays in the table until the end of the turn.
  for (const auto& [raw, session] : sessions_) raw->Sweep(now);
  SetAccepting(sessions_.size() < max_sessions_);
}

void ProxyServer::Bury() {
  for (ProxySession* const session : std::exchange(ended_, {})) sessions_.erase(session);
  SetAccepting(sessions_.size() < max_sessions_);
}

}  // namespace lattice::sandbox
