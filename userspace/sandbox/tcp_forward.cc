// Connections from the overlay to a socket of this host.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <utility>

#include "absl/memory/memory.h"
#include "userspace/base/status.h"
#include "userspace/sandbox/forward_listener.h"

namespace lattice::sandbox {
namespace {

constexpr size_t kBacklog = 1024;

flow::Reason ReasonOf(int error) {
  switch (error) {
    case ECONNREFUSED:
    case ENOENT:  // no Unix socket of that name
      return flow::Reason::kConnectRefused;
    case ETIMEDOUT:
      return flow::Reason::kConnectTimeout;
    case EHOSTUNREACH:
    case ENETUNREACH:
      return flow::Reason::kUnreachable;
    default:
      return flow::Reason::kNetworkError;
  }
}

class TcpForward;

class Session final : private LiveFlow, private StreamUser, private Relay::Owner {
 public:
  Session(TcpForward& forward, netstack::TcpConnection* connection);
  ~Session() override;
  void Start();
  void Sweep(int64_t now_ns);

 private:
  void OnSocket();
  void OnConnected();
  // Before there is a relay.
  void Fail(flow::Reason reason);
  void End();

  FlowTotals totals() const override;
  void Revoke() override;
  void OnStream(netstack::TcpConnection& connection, uint8_t events) override;
  void OnRelayEnd(flow::EndReason end, flow::Reason reason) override;

  TcpForward& forward_;
  netstack::TcpConnection* connection_;  // the relay's, when there is one
  std::optional<FlowLog::FlowId> flow_;
  UniqueFd socket_;
  const int64_t since_ns_;
  std::unique_ptr<Relay> relay_;
  bool ended_ = false;
};

class TcpForward final : public Forward, private ListenerUser {
 public:
  TcpForward(Egress& egress, const ForwardSpec& spec, const ForwardTarget& target, const ForwardOptions& options)
      : Forward(spec), egress_(egress), target_(target), options_(options), bury_(egress.loop, [this] {
          for (Session* const session : std::exchange(ended_, {})) sessions_.erase(session);
        }) {}
  ~TcpForward() override {
    if (listener_ != nullptr) egress_.overlay.stack().Close(listener_);
  }

  absl::Status Open() {
    LATTICE_ASSIGN_OR_RETURN(listener_, egress_.overlay.stack().Listen({.port = spec().port}, kBacklog));
    listener_->user = static_cast<ListenerUser*>(this);
    return absl::OkStatus();
  }
  void Sweep(int64_t now_ns) override {
    for (const auto& [raw, session] : sessions_) raw->Sweep(now_ns);
  }
  void Bury(Session* session) {
    ended_.push_back(session);
    bury_.Request();
  }

  Egress& egress() { return egress_; }
  const ForwardTarget& target() const { return target_; }
  const ForwardOptions& options() const { return options_; }

 private:
  void OnAccept(netstack::TcpListener& listener) override {
    while (netstack::TcpConnection* const connection = listener.Accept()) {
      if (sessions_.size() >= options_.max_flows) {
        connection->Abort();
        continue;
      }
      auto session = std::make_unique<Session>(*this, connection);
      Session* const raw = session.get();
      sessions_[raw] = std::move(session);
      raw->Start();
    }
  }

  Egress& egress_;
  const ForwardTarget target_;
  const ForwardOptions options_;
  netstack::TcpListener* listener_ = nullptr;
  absl::flat_hash_map<Session*, std::unique_ptr<Session>> sessions_;
  std::vector<Session*> ended_;
  EventLoop::EndOfTurn bury_;
};

Session::Session(TcpForward& forward, netstack::TcpConnection* connection)
    : forward_(forward), connection_(connection), since_ns_(forward.egress().clock.MonotonicNs()) {
  connection_->set_user(static_cast<StreamUser*>(this));
}

Session::~Session() {
  if (flow_.has_value()) forward_.egress().log.End(*flow_, flow::EndReason::kShutdown);
  if (socket_.ok()) forward_.egress().loop.RemoveFd(socket_.get());
  if (connection_ != nullptr && relay_ == nullptr) {
    connection_->set_user(nullptr);
    connection_->Abort();
  }
}

void Session::Start() {
  Egress& egress = forward_.egress();
  const netstack::FlowKey& key = connection_->flow();
  const Verdict verdict = egress.filter.Judge(LAT_INGRESS, key.remote, IPPROTO_TCP, key.local_port);
  flow_ = egress.log.Start({.direction = LAT_INGRESS,
                            .protocol = IPPROTO_TCP,
                            .local = {.address = key.local, .port = key.local_port},
                            .remote = {.address = key.remote, .port = key.remote_port}},
                           verdict, *this);
  const ForwardTarget& target = forward_.target();
  socket_ = UniqueFd(socket(target.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_.ok()) return Fail(flow::Reason::kNetworkError);
  const int on = 1;
  setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // fails for a Unix socket, which needs none
  const auto* address = reinterpret_cast<const sockaddr*>(&target.address);
  if (connect(socket_.get(), address, target.length) == 0) return OnConnected();
  // EAGAIN: the queue of a Unix socket is full.
  if (errno != EINPROGRESS) return Fail(ReasonOf(errno));
  if (!egress.loop.AddFd(socket_.get(), EPOLLOUT, [this](uint32_t) { OnSocket(); }).ok())
    Fail(flow::Reason::kNetworkError);
}

void Session::OnSocket() {
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  forward_.egress().loop.RemoveFd(socket_.get());
  error == 0 ? OnConnected() : Fail(ReasonOf(error));
}

void Session::OnConnected() {
  Egress& egress = forward_.egress();
  if (forward_.options().proxy_protocol) {
    const netstack::FlowKey& key = connection_->flow();
    const std::string header =
        ProxyHeader({.address = key.remote, .port = key.remote_port}, {.address = key.local, .port = key.local_port});
    // The first bytes of a connection fit the kernel's buffer.
    if (send(socket_.get(), header.data(), header.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(header.size()))
      return Fail(flow::Reason::kNetworkError);
  }
  relay_ = std::make_unique<Relay>(egress.loop, egress.clock, egress.overlay, static_cast<Relay::Owner&>(*this),
                                   std::move(socket_), connection_);
  relay_->Start("");
}

void Session::Fail(flow::Reason reason) {
  if (flow_.has_value())
    forward_.egress().log.End(*std::exchange(flow_, std::nullopt), flow::EndReason::kFailed, reason);
  End();
}

void Session::End() {
  if (std::exchange(ended_, true)) return;
  if (socket_.ok()) {
    forward_.egress().loop.RemoveFd(socket_.get());
    socket_.reset();
  }
  if (relay_ == nullptr) {
    connection_->set_user(nullptr);
    std::exchange(connection_, nullptr)->Abort();
    forward_.egress().overlay.TurnSoon();
  }
  forward_.Bury(this);
}

void Session::Sweep(int64_t now_ns) {
  if (ended_) return;
  const auto older = [now_ns](int64_t since_ns, absl::Duration limit) {
    return now_ns - since_ns > absl::ToInt64Nanoseconds(limit);
  };
  if (relay_ == nullptr) {
    if (older(since_ns_, forward_.options().connect_timeout)) Fail(flow::Reason::kConnectTimeout);
  } else if (older(relay_->active_ns(), forward_.options().idle_timeout)) {
    relay_->Abort();
    OnRelayEnd(flow::EndReason::kIdle, flow::Reason::kNone);
  }
}

FlowTotals Session::totals() const {
  // The relay's "in" is what came from the overlay, as a record's is.
  return relay_ == nullptr ? FlowTotals()
                           : FlowTotals{.bytes_out = relay_->bytes_out(), .bytes_in = relay_->bytes_in()};
}

void Session::Revoke() {
  flow_.reset();
  if (relay_ != nullptr) relay_->Abort();
  End();
}

void Session::OnStream(netstack::TcpConnection& connection, uint8_t events) {
  if (relay_ != nullptr) return relay_->OnStream(events);
  // What it sends meanwhile waits in its window. Its end before the target answered ends all.
  if ((events & netstack::kEnded) == 0) return;
  if (flow_.has_value()) {
    forward_.egress().log.End(*std::exchange(flow_, std::nullopt), EndReasonOf(connection.reason()),
                              FailureOf(connection.reason()));
  }
  End();
}

void Session::OnRelayEnd(flow::EndReason end, flow::Reason reason) {
  if (flow_.has_value()) forward_.egress().log.End(*std::exchange(flow_, std::nullopt), end, reason);
  End();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Forward>> OpenTcpForward(Egress& egress, const ForwardSpec& spec,
                                                        const ForwardTarget& target, const ForwardOptions& options) {
  auto forward = std::make_unique<TcpForward>(egress, spec, target, options);
  LATTICE_RETURN_IF_ERROR(forward->Open());
  return forward;
}

}  // namespace lattice::sandbox
