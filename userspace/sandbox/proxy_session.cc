#include "userspace/sandbox/proxy_session.h"

#include <errno.h>
#include <glog/logging.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/socket_address.h"
#include "userspace/socks/sniff.h"

namespace lattice::sandbox {
namespace {

constexpr size_t kReadBytes = 16 * 1024;
constexpr absl::Duration kLeaveFor = absl::Seconds(2);

// What the control plane stores whole; a record it has to refuse would be a way around it.
constexpr size_t kMaxTraceIdBytes = 128;

constexpr char kNotAProxyRequest[] = "this port speaks SOCKS5 and HTTP (CONNECT)";

socks::Reply ReplyOf(flow::Reason failure) {
  switch (failure) {
    case flow::Reason::kConnectRefused:
      return socks::Reply::kConnectionRefused;
    case flow::Reason::kConnectTimeout:
      return socks::Reply::kTtlExpired;
    case flow::Reason::kUnreachable:
      return socks::Reply::kNetworkUnreachable;
    case flow::Reason::kNameNotFound:
      return socks::Reply::kHostUnreachable;
    default:
      return socks::Reply::kGeneralFailure;
  }
}

// Of a client's user name, which may hold any bytes.
std::string TraceId(const std::string& user) {
  return absl::CHexEscape(user).substr(0, kMaxTraceIdBytes);
}

int StatusOf(flow::Reason failure) {
  return failure == flow::Reason::kConnectTimeout ? 504 : 502;
}

}  // namespace

std::string DenialText(const Endpoint& remote, absl::string_view protocol, const Verdict& verdict) {
  const std::string where = absl::StrCat(remote.ToString(), "/", protocol);
  if (!verdict.rule.empty()) return absl::StrCat("denied by policy: rule \"", verdict.rule, "\" denies ", where);
  if (verdict.reason == flow::FromKernelReason(LAT_REASON_NO_POLICY))
    return absl::StrCat("denied by policy: ", where, ": no flow is allowed now");
  return absl::StrCat("denied by policy: no rule allows ", where, "; --egress-allow ", remote.ToString(), " would");
}

ProxySession::ProxySession(ProxyContext& context, UniqueFd socket, Client client,
                           std::function<void(ProxySession*)> ended)
    : context_(context),
      socket_(std::move(socket)),
      client_(std::move(client)),
      ended_(std::move(ended)),
      since_ns_(context.egress.clock.MonotonicNs()) {}

ProxySession::~ProxySession() {
  if (flow_.has_value()) context_.egress.log.End(*flow_, flow::EndReason::kShutdown);
  if (socket_.ok()) context_.egress.loop.RemoveFd(socket_.get());
}

absl::Status ProxySession::Start() {
  return context_.egress.loop.AddFd(socket_.get(), EPOLLIN, [this](uint32_t events) { OnSocket(events); });
}

void ProxySession::OnSocket(uint32_t events) {
  if ((events & EPOLLERR) != 0 || (events & (EPOLLIN | EPOLLHUP)) == EPOLLHUP) return End();
  std::array<uint8_t, kReadBytes> buffer;
  size_t got;
  if (!Read(absl::MakeSpan(buffer), &got)) return;
  // kAssociated: nothing more is said on this connection.
  if (state_ == State::kAsking) OnInput(absl::MakeConstSpan(buffer.data(), got));
}

// False: nothing was there. The client's end ends a session that is not dialling or relaying.
bool ProxySession::Read(absl::Span<uint8_t> buffer, size_t* got) {
  const ssize_t count = recv(socket_.get(), buffer.data(), buffer.size(), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (count <= 0) {
    End();
    return false;
  }
  *got = static_cast<size_t>(count);
  return true;
}

void ProxySession::OnInput(absl::Span<const uint8_t> input) {
  if (socks_ == nullptr && http_ == nullptr) {
    switch (socks::Sniff(input[0])) {
      case socks::Protocol::kSocks5:
        socks_ = std::make_unique<socks::ServerHandshake>(context_.accounts);
        break;
      case socks::Protocol::kHttp:
        http_ = std::make_unique<socks::HttpRequestHead>(context_.accounts);
        break;
      case socks::Protocol::kSocks4:
        // Its refusal (SOCKS4: version 0, code 91) is what its clients understand.
        return Refuse(std::string("\0\x5b\0\0\0\0\0\0", 8), "SOCKS4 knows no IPv6 and no password; use SOCKS5");
      case socks::Protocol::kTls:
      case socks::Protocol::kUnknown:
        return Refuse(socks::ErrorResponse(400, kNotAProxyRequest), kNotAProxyRequest);
    }
  }
  http() ? OnHttp(input) : OnSocks(input);
}

void ProxySession::OnSocks(absl::Span<const uint8_t> input) {
  std::string answer;
  size_t consumed = 0;
  const auto state = socks_->Feed(input, &consumed, &answer);
  if (state == socks::ServerHandshake::State::kFailed) return Refuse(answer, socks_->error());
  if (!Answer(answer) || state == socks::ServerHandshake::State::kMore) return;
  early_.append(reinterpret_cast<const char*>(input.data()) + consumed, input.size() - consumed);
  client_.trace_id = TraceId(socks_->user());
  if (socks_->command() == socks::Command::kUdpAssociate) return Associate();
  OnRequest(socks_->target());
}

void ProxySession::OnHttp(absl::Span<const uint8_t> input) {
  std::string answer;
  size_t consumed = 0;
  const auto state = http_->Feed(input, &consumed, &answer);
  if (state == socks::HttpRequestHead::State::kFailed) return Refuse(answer, http_->error());
  if (state == socks::HttpRequestHead::State::kMore) return;
  early_ = http_->forward();
  early_.append(reinterpret_cast<const char*>(input.data()) + consumed, input.size() - consumed);
  client_.trace_id = TraceId(http_->user());
  OnRequest(http_->target());
}

void ProxySession::OnRequest(const socks::Target& target) {
  state_ = State::kDialling;
  since_ns_ = context_.egress.clock.MonotonicNs();
  // What the client sends now waits in the kernel; that it is gone is told even so.
  if (!context_.egress.loop.ModifyFd(socket_.get(), 0).ok()) return End();
  dial_ = std::make_unique<Dial>(context_.egress, target, client_, static_cast<LiveFlow&>(*this),
                                 [this](const Dial::Result& result) { OnDialled(result); });
}

void ProxySession::OnDialled(const Dial::Result& result) {
  dial_ = nullptr;
  if (result.outcome == Dial::Outcome::kDenied) {
    const std::string why = DenialText(result.remote, "tcp", result.verdict);
    return Refuse(http() ? socks::ErrorResponse(403, why) : socks::EncodeReply(socks::Reply::kNotAllowed), "");
  }
  if (result.outcome == Dial::Outcome::kFailed) {
    const std::string why = absl::StrCat(flow::ReasonName(result.failure), ": ", result.detail);
    return Refuse(
        http() ? socks::ErrorResponse(StatusOf(result.failure), why) : socks::EncodeReply(ReplyOf(result.failure)), "");
  }
  flow_ = result.flow;
  result.connection->set_user(static_cast<StreamUser*>(this));
  state_ = State::kRelaying;
  context_.egress.loop.RemoveFd(socket_.get());
  const netstack::FlowKey& flow = result.connection->flow();
  std::string answer;
  if (!http()) {
    answer = socks::EncodeReply(socks::Reply::kSucceeded, {.address = flow.local, .port = flow.local_port});
  } else if (http_->is_connect()) {
    answer = socks::ConnectEstablished();
  }
  const int fd = socket_.get();
  relay_ = std::make_unique<Relay>(context_.egress.loop, context_.egress.clock, context_.egress.overlay,
                                   static_cast<Relay::Owner&>(*this), std::move(socket_), result.connection);
  // The first bytes of a connection: they fit the kernel's buffer, or the client is gone.
  if (!answer.empty() && send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(answer.size())) {
    relay_->Abort();
    return OnRelayEnd(flow::EndReason::kRst, flow::Reason::kNone);
  }
  socks_ = nullptr;
  http_ = nullptr;
  const std::string early = std::exchange(early_, std::string());
  relay_->Start(early);
}

void ProxySession::Associate() {
  const std::optional<Endpoint> here = LocalEnd(socket_.get());
  const std::optional<Endpoint> client = RemoteEnd(socket_.get());
  if (!here.has_value() || !client.has_value()) {
    return Refuse(socks::EncodeReply(socks::Reply::kCommandNotSupported),
                  "UDP ASSOCIATE needs a proxy on a TCP address, not a Unix socket");
  }
  auto association = UdpAssociation::Create(context_.egress, client_, here->address, client->address, context_.udp);
  if (!association.ok())
    return Refuse(socks::EncodeReply(socks::Reply::kGeneralFailure), association.status().message());
  association_ = *std::move(association);
  state_ = State::kAssociated;
  Answer(socks::EncodeReply(socks::Reply::kSucceeded, association_->local()));
}

// `why` is for the log; empty where a record tells.
void ProxySession::Refuse(const std::string& answer, absl::string_view why) {
  if (!why.empty()) {
    ++context_.refused;
    VLOG(1) << "proxy: refused: " << absl::CHexEscape(why);
  }
  if (Answer(answer)) Leave();
}

// False: the session has ended.
bool ProxySession::Answer(const std::string& answer) {
  if (answer.empty()) return true;
  // Answers are short, and nothing else was sent: what does not fit is for a client that is gone.
  if (send(socket_.get(), answer.data(), answer.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(answer.size()))
    return true;
  End();
  return false;
}

void ProxySession::Leave() {
  shutdown(socket_.get(), SHUT_WR);
  state_ = State::kLeaving;
  since_ns_ = context_.egress.clock.MonotonicNs();
  if (!context_.egress.loop.ModifyFd(socket_.get(), EPOLLIN).ok()) End();
}

void ProxySession::End() {
  if (state_ == State::kEnded) return;
  state_ = State::kEnded;
  dial_ = nullptr;
  association_ = nullptr;
  if (socket_.ok()) {
    context_.egress.loop.RemoveFd(socket_.get());
    socket_.reset();
  }
  ended_(this);
}

void ProxySession::Sweep(int64_t now_ns) {
  const auto older = [now_ns](int64_t since_ns, absl::Duration limit) {
    return now_ns - since_ns > absl::ToInt64Nanoseconds(limit);
  };
  switch (state_) {
    case State::kAsking:
      if (!older(since_ns_, context_.handshake_timeout)) return;
      ++context_.refused;
      VLOG(1) << "proxy: no request within " << context_.handshake_timeout;
      return End();
    case State::kLeaving:
      return older(since_ns_, kLeaveFor) ? End() : void();
    case State::kAssociated:
      return association_->Sweep(now_ns);
    case State::kRelaying:
      if (context_.idle_timeout == absl::ZeroDuration() || !older(relay_->active_ns(), context_.idle_timeout)) return;
      relay_->Abort();
      return OnRelayEnd(flow::EndReason::kIdle, flow::Reason::kNone);
    case State::kDialling:  // the resolver's and the stack's own limits end it
    case State::kEnded:
      return;
  }
}

FlowTotals ProxySession::totals() const {
  if (relay_ == nullptr) return {};
  return {.bytes_out = relay_->bytes_out(), .bytes_in = relay_->bytes_in()};
}

void ProxySession::Revoke() {
  if (dial_ != nullptr) {
    dial_->Forget();
    dial_ = nullptr;
    constexpr char kWhy[] = "denied by policy: it changed while the connection was being made";
    return Refuse(http() ? socks::ErrorResponse(403, kWhy) : socks::EncodeReply(socks::Reply::kNotAllowed), "");
  }
  flow_.reset();
  relay_->Abort();
  End();
}

void ProxySession::OnStream(netstack::TcpConnection& connection, uint8_t events) {
  relay_->OnStream(events);
}

void ProxySession::OnRelayEnd(flow::EndReason end, flow::Reason reason) {
  if (flow_.has_value()) context_.egress.log.End(*std::exchange(flow_, std::nullopt), end, reason);
  End();
}

}  // namespace lattice::sandbox
