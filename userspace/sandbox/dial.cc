#include "userspace/sandbox/dial.h"

#include <netinet/in.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/sandbox/relay.h"

namespace lattice::sandbox {
namespace {

// Of the idle time before the first probe: NATs and dead peers are found out.
constexpr int64_t kKeepaliveNs = 60 * netstack::kSecond;

}  // namespace

IpAddress Egress::LocalFor(const IpAddress& remote) const {
  const auto found = std::find_if(addresses.begin(), addresses.end(),
                                  [&](const IpAddress& ours) { return ours.is_v4() == remote.is_v4(); });
  return found == addresses.end() ? IpAddress() : *found;
}

Dial::Dial(Egress& egress, const socks::Target& target, Client client, LiveFlow& flow_owner,
           std::function<void(const Result&)> done)
    : egress_(egress),
      target_(target),
      client_(std::move(client)),
      flow_owner_(flow_owner),
      done_(std::move(done)),
      begin_(egress.loop, [this] { TryNext(); }) {
  if (target_.address.has_value()) {
    addresses_ = {*target_.address};
    begin_.Request();
    return;
  }
  question_ = egress_.resolver.Resolve(target_.name, [this](absl::StatusOr<std::vector<IpAddress>> addresses) {
    question_.reset();
    OnAddresses(std::move(addresses));
  });
}

Dial::~Dial() {
  if (question_.has_value()) egress_.resolver.Cancel(*question_);
  if (flow_.has_value()) egress_.log.End(*flow_, flow::EndReason::kRst);
  if (connection_ == nullptr) return;
  connection_->set_user(nullptr);
  connection_->Abort();
  egress_.overlay.TurnSoon();
}

FlowFacts Dial::Facts(const Endpoint& local, const Endpoint& remote) const {
  return {.direction = LAT_EGRESS,
          .protocol = IPPROTO_TCP,
          .local = local,
          .remote = remote,
          .host = target_.name,
          .trace_id = client_.trace_id,
          .pid = client_.pid,
          .comm = client_.comm};
}

void Dial::OnAddresses(absl::StatusOr<std::vector<IpAddress>> addresses) {
  if (addresses.ok()) {
    addresses_ = *std::move(addresses);
    std::reverse(addresses_.begin(), addresses_.end());
    return TryNext();
  }
  // Whether the name may be asked for is not judged: its address is. The record has the port and no address.
  result_.failure = absl::IsNotFound(addresses.status()) ? flow::Reason::kNameNotFound : flow::Reason::kNetworkError;
  result_.detail = std::string(addresses.status().message());
  egress_.log.Failed(Facts({}, {.port = target_.port}), {.allow = true}, result_.failure);
  Finish();
}

void Dial::TryNext() {
  std::optional<std::pair<Endpoint, Verdict>> denied;
  while (!addresses_.empty()) {
    const Endpoint remote{.address = addresses_.back(), .port = target_.port};
    addresses_.pop_back();
    Verdict verdict = egress_.filter.Judge(LAT_EGRESS, remote.address, IPPROTO_TCP, remote.port);
    if (!verdict.allow) {
      if (!denied.has_value()) denied.emplace(remote, std::move(verdict));
    } else if (Connect(remote, verdict)) {
      return;
    }
  }
  // Of a name's addresses those that are denied matter only when none was allowed.
  if (denied.has_value() && result_.failure == flow::Reason::kNone) {
    result_.outcome = Outcome::kDenied;
    std::tie(result_.remote, result_.verdict) = *denied;
    egress_.log.Denied(Facts({.address = egress_.LocalFor(result_.remote.address)}, result_.remote), result_.verdict);
  }
  Finish();
}

void Dial::Finish() {
  // The owner may destroy us.
  const auto done = done_;
  const Result result = std::move(result_);
  done(result);
}

// Whether it is on its way. If not, result_ has the failure.
bool Dial::Connect(const Endpoint& remote, const Verdict& verdict) {
  result_.remote = remote;
  result_.verdict = verdict;
  absl::StatusOr<netstack::TcpConnection*> connection =
      egress_.overlay.Reaches(remote.address)
          ? egress_.overlay.stack().Connect(remote,
                                            {.keepalive_ns = kKeepaliveNs, .user = static_cast<StreamUser*>(this)})
          : absl::NotFoundError(absl::StrCat("no peer of the overlay has ", remote.address.ToString()));
  if (!connection.ok()) {
    result_.failure = absl::IsNotFound(connection.status()) || absl::IsInvalidArgument(connection.status())
                          ? flow::Reason::kUnreachable
                          : flow::Reason::kNetworkError;
    result_.detail = std::string(connection.status().message());
    egress_.log.Failed(Facts({.address = egress_.LocalFor(remote.address)}, remote), verdict, result_.failure);
    return false;
  }
  connection_ = *connection;
  const netstack::FlowKey& flow = connection_->flow();
  flow_ = egress_.log.Start(Facts({.address = flow.local, .port = flow.local_port}, remote), verdict, flow_owner_);
  egress_.overlay.TurnSoon();
  return true;
}

void Dial::OnStream(netstack::TcpConnection& connection, uint8_t events) {
  if ((events & netstack::kConnected) != 0) {
    result_.outcome = Outcome::kConnected;
    result_.connection = std::exchange(connection_, nullptr);
    result_.flow = *std::exchange(flow_, std::nullopt);
    result_.failure = flow::Reason::kNone;
    return Finish();
  }
  if ((events & netstack::kEnded) == 0) return;
  const netstack::CloseReason reason = connection.reason();
  result_.failure = FailureOf(reason);
  if (result_.failure == flow::Reason::kNone) result_.failure = flow::Reason::kNetworkError;
  result_.detail = netstack::CloseReasonName(reason);
  egress_.log.End(*std::exchange(flow_, std::nullopt), flow::EndReason::kFailed, result_.failure);
  connection_ = nullptr;
  connection.Close();
  TryNext();
}

}  // namespace lattice::sandbox
