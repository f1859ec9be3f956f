#include "userspace/sandbox/udp_association.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/socket_address.h"
#include "userspace/base/status.h"

namespace lattice::sandbox {
namespace {

constexpr size_t kMaxDatagram = 65536;
// In one turn of the loop.
constexpr int kMaxBurst = 64;

}  // namespace

// The datagrams between the client and one remote.
class UdpAssociation::Flow final : private LiveFlow, private DatagramUser {
 public:
  Flow(UdpAssociation& association, const Endpoint& remote) : association_(association), remote_(remote) {}
  ~Flow() override {
    if (id_.has_value()) association_.egress_.log.End(*id_, end_reason_);
    if (socket_ != nullptr) association_.egress_.overlay.stack().Close(socket_);
  }

  absl::Status Open(const std::string& host, const Verdict& verdict) {
    netstack::Stack& stack = association_.egress_.overlay.stack();
    const IpAddress local = association_.egress_.LocalFor(remote_.address);
    LATTICE_ASSIGN_OR_RETURN(socket_, stack.Bind({.address = local}, remote_));
    socket_->user = static_cast<DatagramUser*>(this);
    id_ = association_.egress_.log.Start(association_.Facts(socket_->local(), remote_, host), verdict, *this);
    return absl::OkStatus();
  }

  void Send(absl::Span<const uint8_t> payload) {
    active_ns_ = association_.egress_.clock.MonotonicNs();
    if (socket_->Send(payload) != netstack::UdpResult::kOk) return;  // lost on its way, as datagrams may be
    totals_.bytes_out += payload.size();
    ++totals_.packets_out;
    association_.egress_.overlay.TurnSoon();
  }

  int64_t active_ns() const { return active_ns_; }
  void set_end_reason(flow::EndReason reason) { end_reason_ = reason; }

 private:
  FlowTotals totals() const override { return totals_; }
  void Revoke() override {
    id_.reset();
    association_.flows_.erase(remote_);  // destroys this
  }
  void OnDatagram(netstack::UdpSocket& socket) override {
    for (auto datagram = socket.Front(); datagram.has_value(); datagram = socket.Front()) {
      active_ns_ = association_.egress_.clock.MonotonicNs();
      totals_.bytes_in += datagram->payload.size();
      ++totals_.packets_in;
      association_.Answer(datagram->remote, datagram->payload);
      socket.Pop();
    }
    socket.TakeError();  // SOCKS has no word for it; the client's own time-out tells
  }

  UdpAssociation& association_;
  const Endpoint remote_;
  netstack::UdpSocket* socket_ = nullptr;
  std::optional<FlowLog::FlowId> id_;
  FlowTotals totals_;
  int64_t active_ns_ = 0;
  flow::EndReason end_reason_ = flow::EndReason::kFin;
};

UdpAssociation::UdpAssociation(Egress& egress, Client client, const IpAddress& client_address, const Limits& limits)
    : egress_(egress), client_(std::move(client)), client_address_(client_address), limits_(limits) {}

absl::StatusOr<std::unique_ptr<UdpAssociation>> UdpAssociation::Create(Egress& egress, Client client,
                                                                       const IpAddress& here,
                                                                       const IpAddress& client_address,
                                                                       const Limits& limits) {
  auto association = absl::WrapUnique(new UdpAssociation(egress, std::move(client), client_address, limits));
  const int family = here.is_v4() ? AF_INET : AF_INET6;
  association->socket_ = UniqueFd(socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!association->socket_.ok()) return ErrnoStatus(errno, "socket");
  sockaddr_storage address;
  const socklen_t length = ToSocketAddress({.address = here}, &address);
  const int fd = association->socket_.get();
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), length) != 0) return ErrnoStatus(errno, "bind");
  association->local_ = LocalEnd(fd).value_or(Endpoint());
  LATTICE_RETURN_IF_ERROR(egress.loop.AddFd(fd, EPOLLIN, [raw = association.get()](uint32_t) { raw->OnSocket(); }));
  return association;
}

UdpAssociation::~UdpAssociation() {
  for (const auto& [key, waiting] : waiting_) {
    if (waiting.question.has_value()) egress_.resolver.Cancel(*waiting.question);
  }
  egress_.loop.RemoveFd(socket_.get());
}

FlowFacts UdpAssociation::Facts(const Endpoint& local, const Endpoint& remote, const std::string& host) const {
  return {.direction = LAT_EGRESS,
          .protocol = IPPROTO_UDP,
          .local = local,
          .remote = remote,
          .host = host,
          .trace_id = client_.trace_id,
          .pid = client_.pid,
          .comm = client_.comm};
}

void UdpAssociation::OnSocket() {
  std::array<uint8_t, kMaxDatagram> buffer;
  for (int count = 0; count < kMaxBurst; ++count) {
    sockaddr_storage address{};
    socklen_t length = sizeof(address);
    const ssize_t got =
        recvfrom(socket_.get(), buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&address), &length);
    if (got < 0) return;  // nothing more, or an ICMP error about an answer of ours
    const std::optional<Endpoint> from = FromSocketAddress(address);
    if (!from.has_value() || from->address != client_address_) continue;
    if (client_end_.has_value() && *client_end_ != *from) continue;
    client_end_ = from;
    const auto datagram = socks::ParseUdp(absl::MakeConstSpan(buffer.data(), static_cast<size_t>(got)));
    if (datagram.has_value()) OnDatagram(*datagram);
  }
}

void UdpAssociation::OnDatagram(const socks::UdpDatagram& datagram) {
  const socks::Target& target = datagram.target;
  if (target.address.has_value())
    return Send({.address = *target.address, .port = target.port}, /*host=*/"", datagram.payload);
  if (waiting_datagrams_ >= limits_.max_waiting) return;
  const std::string key = target.ToString();
  Waiting& waiting = waiting_[key];
  waiting.payloads.emplace_back(datagram.payload.begin(), datagram.payload.end());
  ++waiting_datagrams_;
  if (waiting.question.has_value()) return;
  waiting.question = egress_.resolver.Resolve(
      target.name,
      [this, key, target](absl::StatusOr<std::vector<IpAddress>> addresses) { OnAddresses(key, target, addresses); });
}

void UdpAssociation::OnAddresses(const std::string& key, const socks::Target& target,
                                 const absl::StatusOr<std::vector<IpAddress>>& addresses) {
  const Waiting waiting = std::move(waiting_.extract(key).mapped());
  waiting_datagrams_ -= waiting.payloads.size();
  if (!addresses.ok()) {
    const flow::Reason reason =
        absl::IsNotFound(addresses.status()) ? flow::Reason::kNameNotFound : flow::Reason::kNetworkError;
    return egress_.log.Failed(Facts({}, {.port = target.port}, target.name), {.allow = true}, reason);
  }
  // The first that is allowed; all of them denied is the denial of the first.
  IpAddress chosen = addresses->front();
  for (const IpAddress& address : *addresses) {
    if (!egress_.filter.Judge(LAT_EGRESS, address, IPPROTO_UDP, target.port).allow) continue;
    chosen = address;
    break;
  }
  for (const auto& payload : waiting.payloads) Send({.address = chosen, .port = target.port}, target.name, payload);
}

void UdpAssociation::Send(const Endpoint& remote, const std::string& host, absl::Span<const uint8_t> payload) {
  const auto found = flows_.find(remote);
  Flow* const flow = found != flows_.end() ? found->second.get() : NewFlow(remote, host);
  if (flow != nullptr) flow->Send(payload);
}

UdpAssociation::Flow* UdpAssociation::NewFlow(const Endpoint& remote, const std::string& host) {
  const Verdict verdict = egress_.filter.Judge(LAT_EGRESS, remote.address, IPPROTO_UDP, remote.port);
  const Endpoint local{.address = egress_.LocalFor(remote.address)};
  if (!verdict.allow) {
    egress_.log.Denied(Facts(local, remote, host), verdict);
    return nullptr;
  }
  auto flow = std::make_unique<Flow>(*this, remote);
  const absl::Status opened = flows_.size() >= limits_.max_flows ? absl::ResourceExhaustedError("too many flows")
                              : egress_.overlay.Reaches(remote.address)
                                  ? flow->Open(host, verdict)
                                  : absl::NotFoundError("no peer of the overlay has it");
  if (!opened.ok()) {
    egress_.log.Failed(Facts(local, remote, host), verdict,
                       absl::IsResourceExhausted(opened) ? flow::Reason::kNetworkError : flow::Reason::kUnreachable);
    return nullptr;
  }
  return (flows_[remote] = std::move(flow)).get();
}

void UdpAssociation::Answer(const Endpoint& remote, absl::Span<const uint8_t> payload) {
  if (!client_end_.has_value()) return;
  std::string header = socks::EncodeUdpHeader(remote);
  std::array<iovec, 2> parts{
      iovec{header.data(), header.size()},
      iovec{const_cast<uint8_t*>(payload.data()), payload.size()},  // sendmsg only reads
  };
  sockaddr_storage address;
  const socklen_t length = ToSocketAddress(*client_end_, &address);
  const msghdr message{
      .msg_name = &address, .msg_namelen = length, .msg_iov = parts.data(), .msg_iovlen = parts.size()};
  // A client that does not read loses datagrams, as from any UDP socket.
  [[maybe_unused]] const ssize_t sent = sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
}

void UdpAssociation::Sweep(int64_t now_ns) {
  const int64_t idle_since = now_ns - absl::ToInt64Nanoseconds(limits_.idle);
  for (auto it = flows_.begin(); it != flows_.end();) {
    const auto next = std::next(it);
    if (it->second->active_ns() < idle_since) {
      it->second->set_end_reason(flow::EndReason::kIdle);
      flows_.erase(it);
    }
    it = next;
  }
}

}  // namespace lattice::sandbox
