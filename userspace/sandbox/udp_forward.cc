// Datagrams from the overlay to a socket of this host, and its answers back. Each sender has a socket of its own here,
// so that answers find their way.
#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <utility>

#include "absl/memory/memory.h"
#include "userspace/base/status.h"
#include "userspace/sandbox/forward_listener.h"

namespace lattice::sandbox {
namespace {

constexpr size_t kMaxDatagram = 65536;
constexpr int kMaxBurst = 64;

class UdpForward;

// The datagrams of one sender.
class Flow final : private LiveFlow {
 public:
  Flow(UdpForward& forward, const Endpoint& remote, const IpAddress& local)
      : forward_(forward), remote_(remote), local_(local) {}
  ~Flow() override;
  absl::Status Open(const Verdict& verdict);
  void Send(absl::Span<const uint8_t> payload);
  int64_t active_ns() const { return active_ns_; }
  void set_end_reason(flow::EndReason reason) { end_reason_ = reason; }

 private:
  void OnSocket();
  FlowTotals totals() const override { return totals_; }
  void Revoke() override;

  UdpForward& forward_;
  const Endpoint remote_;
  const IpAddress local_;
  UniqueFd socket_;
  std::optional<FlowLog::FlowId> id_;
  FlowTotals totals_;
  int64_t active_ns_ = 0;
  flow::EndReason end_reason_ = flow::EndReason::kFin;
};

class UdpForward final : public Forward, private DatagramUser {
 public:
  UdpForward(Egress& egress, const ForwardSpec& spec, const ForwardTarget& target, const ForwardOptions& options)
      : Forward(spec), egress_(egress), target_(target), options_(options) {}
  ~UdpForward() override {
    flows_.clear();
    if (socket_ != nullptr) egress_.overlay.stack().Close(socket_);
  }

  absl::Status Open() {
    LATTICE_ASSIGN_OR_RETURN(socket_, egress_.overlay.stack().Bind({.port = spec().port}));
    socket_->user = static_cast<DatagramUser*>(this);
    return absl::OkStatus();
  }

  void Sweep(int64_t now_ns) override {
    const int64_t idle_since = now_ns - absl::ToInt64Nanoseconds(options_.udp_idle_timeout);
    for (auto it = flows_.begin(); it != flows_.end();) {
      const auto next = std::next(it);
      if (it->second->active_ns() < idle_since) {
        it->second->set_end_reason(flow::EndReason::kIdle);
        flows_.erase(it);
      }
      it = next;
    }
  }

  Egress& egress() { return egress_; }
  const ForwardTarget& target() const { return target_; }
  netstack::UdpSocket& socket() { return *socket_; }
  void Erase(const Endpoint& remote) { flows_.erase(remote); }

 private:
  void OnDatagram(netstack::UdpSocket& socket) override {
    for (auto datagram = socket.Front(); datagram.has_value(); datagram = socket.Front()) {
      Flow* const flow = FlowOf(datagram->remote, datagram->local);
      if (flow != nullptr) flow->Send(datagram->payload);
      socket.Pop();
    }
  }

  Flow* FlowOf(const Endpoint& remote, const IpAddress& local) {
    const auto found = flows_.find(remote);
    if (found != flows_.end()) return found->second.get();
    if (flows_.size() >= options_.max_flows) return nullptr;
    const Verdict verdict = egress_.filter.Judge(LAT_INGRESS, remote.address, IPPROTO_UDP, spec().port);
    auto flow = std::make_unique<Flow>(*this, remote, local);
    if (!flow->Open(verdict).ok()) return nullptr;
    return (flows_[remote] = std::move(flow)).get();
  }

  Egress& egress_;
  const ForwardTarget target_;
  const ForwardOptions options_;
  netstack::UdpSocket* socket_ = nullptr;
  absl::flat_hash_map<Endpoint, std::unique_ptr<Flow>> flows_;
};

Flow::~Flow() {
  if (id_.has_value()) forward_.egress().log.End(*id_, end_reason_);
  if (socket_.ok()) forward_.egress().loop.RemoveFd(socket_.get());
}

absl::Status Flow::Open(const Verdict& verdict) {
  Egress& egress = forward_.egress();
  const FlowFacts facts{.direction = LAT_INGRESS,
                        .protocol = IPPROTO_UDP,
                        .local = {.address = local_, .port = forward_.spec().port},
                        .remote = remote_};
  const ForwardTarget& target = forward_.target();
  socket_ = UniqueFd(socket(target.address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  absl::Status opened = absl::OkStatus();
  if (!socket_.ok() || connect(socket_.get(), reinterpret_cast<const sockaddr*>(&target.address), target.length) != 0) {
    opened = ErrnoStatus(errno, "while opening a socket to the target");
  }
  if (opened.ok()) opened = egress.loop.AddFd(socket_.get(), EPOLLIN, [this](uint32_t) { OnSocket(); });
  if (!opened.ok()) {
    egress.log.Failed(facts, verdict, flow::Reason::kNetworkError);
    return opened;
  }
  id_ = egress.log.Start(facts, verdict, *this);
  return absl::OkStatus();
}

void Flow::Send(absl::Span<const uint8_t> payload) {
  active_ns_ = forward_.egress().clock.MonotonicNs();
  totals_.bytes_in += payload.size();
  ++totals_.packets_in;
  // Lost where the target takes none, as datagrams may be.
  [[maybe_unused]] const ssize_t sent = send(socket_.get(), payload.data(), payload.size(), MSG_NOSIGNAL);
}

void Flow::OnSocket() {
  std::array<uint8_t, kMaxDatagram> buffer;
  for (int count = 0; count < kMaxBurst; ++count) {
    const ssize_t got = recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0) return;  // nothing more, or the target's port is closed: the next datagram may find it open
    active_ns_ = forward_.egress().clock.MonotonicNs();
    if (forward_.socket().Send(absl::MakeConstSpan(buffer.data(), static_cast<size_t>(got)), remote_) !=
        netstack::UdpResult::kOk) {
      continue;
    }
    totals_.bytes_out += static_cast<uint64_t>(got);
    ++totals_.packets_out;
    forward_.egress().overlay.TurnSoon();
  }
}

void Flow::Revoke() {
  id_.reset();
  forward_.Erase(remote_);  // destroys this
}

}  // namespace

absl::StatusOr<std::unique_ptr<Forward>> OpenUdpForward(Egress& egress, const ForwardSpec& spec,
                                                        const ForwardTarget& target, const ForwardOptions& options) {
  auto forward = std::make_unique<UdpForward>(egress, spec, target, options);
  LATTICE_RETURN_IF_ERROR(forward->Open());
  return forward;
}

}  // namespace lattice::sandbox
