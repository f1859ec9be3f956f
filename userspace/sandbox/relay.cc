#include "userspace/sandbox/relay.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <utility>

#include "absl/types/span.h"

namespace lattice::sandbox {
namespace {

// Of one socket in one turn of the loop: others wait.
constexpr size_t kTurnBytes = 512 * 1024;
constexpr size_t kMaxPieces = 8;

bool WouldBlock(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

// The socket's peer gets RST, not the end of a stream that was whole.
void CloseWithReset(UniqueFd& socket) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));  // a Unix socket has no RST
  socket.reset();
}

}  // namespace

flow::EndReason EndReasonOf(netstack::CloseReason reason) {
  switch (reason) {
    case netstack::CloseReason::kNone:
    case netstack::CloseReason::kFinished:
      return flow::EndReason::kFin;
    case netstack::CloseReason::kReset:
    case netstack::CloseReason::kAborted:
      return flow::EndReason::kRst;
    default:
      return flow::EndReason::kFailed;
  }
}

flow::Reason FailureOf(netstack::CloseReason reason) {
  switch (reason) {
    case netstack::CloseReason::kRefused:
      return flow::Reason::kConnectRefused;
    case netstack::CloseReason::kTimeout:
      return flow::Reason::kConnectTimeout;
    case netstack::CloseReason::kUnreachable:
    case netstack::CloseReason::kProhibited:
      return flow::Reason::kUnreachable;
    case netstack::CloseReason::kTooBig:
    case netstack::CloseReason::kMemory:
      return flow::Reason::kNetworkError;
    default:
      return flow::Reason::kNone;
  }
}

Relay::Relay(EventLoop& loop, const Clock& clock, OverlayStack& overlay, Owner& owner, UniqueFd socket,
             netstack::TcpConnection* connection)
    : loop_(loop),
      clock_(clock),
      overlay_(overlay),
      owner_(owner),
      socket_(std::move(socket)),
      connection_(connection),
      active_ns_(clock.MonotonicNs()) {}

Relay::~Relay() {
  Abort();
}

void Relay::Abort() {
  if (connection_ == nullptr) return;
  Unwatch();
  connection_->set_user(nullptr);
  std::exchange(connection_, nullptr)->Abort();
  CloseWithReset(socket_);
  overlay_.TurnSoon();
}

void Relay::Start(absl::string_view early) {
  early_ = std::string(early);
  if (ReadSocket() && WriteSocket()) Watch();
}

void Relay::OnStream(uint8_t events) {
  if (connection_ == nullptr) return;
  if ((events & netstack::kWritable) != 0) ring_full_ = false;
  if (!WriteSocket()) return;
  if ((events & netstack::kEnded) != 0) return OnConnectionEnd();
  if ((events & netstack::kWritable) != 0 && !ReadSocket()) return;
  Watch();
}

void Relay::OnSocket(uint32_t events) {
  if ((events & EPOLLOUT) != 0) socket_full_ = false;
  if ((events & EPOLLERR) != 0) {
    // What was received before the reset is still passed on.
    if (!ring_full_ && !ReadSocket()) return;
    return End(flow::EndReason::kRst);
  }
  if (!WriteSocket() || !ReadSocket()) return;
  // The client has closed both ways, and nothing is to be read now: epoll would tell of it for ever. The next event of
  // the connection looks again.
  if ((events & EPOLLHUP) != 0 && (ring_full_ || socket_finished_)) return Unwatch();
  Watch();
}

bool Relay::ReadSocket() {
  if (!early_.empty()) {
    const size_t sent =
        connection_->Send(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(early_.data()), early_.size()));
    bytes_out_ += sent;
    early_.erase(0, sent);
    overlay_.TurnSoon();
    if (!early_.empty()) {
      ring_full_ = true;
      return true;
    }
    early_ = std::string();
  }
  for (size_t total = 0; !socket_finished_ && !ring_full_ && total < kTurnBytes;) {
    std::array<iovec, kMaxPieces> space;
    const size_t pieces = connection_->SendSpace(absl::MakeSpan(space));
    if (pieces == 0) {
      ring_full_ = true;
      break;
    }
    const ssize_t got = readv(socket_.get(), space.data(), static_cast<int>(pieces));
    const int error = errno;
    connection_->Commit(got > 0 ? static_cast<size_t>(got) : 0);
    if (got < 0 && WouldBlock(error)) break;
    if (got < 0) {
      End(flow::EndReason::kRst);
      return false;
    }
    overlay_.TurnSoon();
    if (got == 0) {
      socket_finished_ = true;
      connection_->ShutdownWrite();
      return !FinishIfDone();
    }
    total += static_cast<size_t>(got);
    bytes_out_ += static_cast<uint64_t>(got);
    active_ns_ = clock_.MonotonicNs();
  }
  return true;
}

bool Relay::WriteSocket() {
  while (!socket_full_) {
    std::array<iovec, kMaxPieces> data;
    const size_t pieces = connection_->ReceiveData(absl::MakeSpan(data));
    if (pieces == 0) break;
    const msghdr message{.msg_iov = data.data(), .msg_iovlen = pieces};
    const ssize_t sent = sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (sent < 0 && WouldBlock(errno)) {
      socket_full_ = true;
      break;
    }
    if (sent < 0) {
      End(flow::EndReason::kRst);
      return false;
    }
    connection_->Consume(static_cast<size_t>(sent));
    bytes_in_ += static_cast<uint64_t>(sent);
    active_ns_ = clock_.MonotonicNs();
    overlay_.TurnSoon();
  }
  if (!stream_finished_ && connection_->receive_finished()) {
    stream_finished_ = true;
    shutdown(socket_.get(), SHUT_WR);  // fails where the client is gone, which reading tells
    return !FinishIfDone();
  }
  return true;
}

bool Relay::FinishIfDone() {
  if (!socket_finished_ || !stream_finished_) return false;
  End(flow::EndReason::kFin);
  return true;
}

void Relay::OnConnectionEnd() {
  const netstack::CloseReason reason = connection_->reason();
  if (reason == netstack::CloseReason::kFinished && connection_->available() > 0) {
    // Both sides have sent all they had, and the client is slow to take it: the rest goes when it does.
    return Watch();
  }
  End(EndReasonOf(reason), FailureOf(reason));
}

void Relay::Watch() {
  const uint32_t wanted = (socket_finished_ || ring_full_ ? 0u : EPOLLIN) | (socket_full_ ? EPOLLOUT : 0u);
  if (watching_ && wanted == watched_) return;
  const absl::Status status = watching_ ? loop_.ModifyFd(socket_.get(), wanted)
                                        : loop_.AddFd(socket_.get(), wanted, [this](uint32_t got) { OnSocket(got); });
  watching_ = true;
  watched_ = wanted;
  // Only for want of memory in the kernel.
  if (!status.ok()) End(flow::EndReason::kFailed, flow::Reason::kNetworkError);
}

void Relay::Unwatch() {
  if (std::exchange(watching_, false)) loop_.RemoveFd(socket_.get());
}

void Relay::End(flow::EndReason end, flow::Reason reason) {
  Unwatch();
  connection_->set_user(nullptr);
  netstack::TcpConnection* const connection = std::exchange(connection_, nullptr);
  if (end == flow::EndReason::kFin) {
    connection->Close();
    socket_.reset();
  } else {
    connection->Abort();
    CloseWithReset(socket_);
  }
  overlay_.TurnSoon();
  owner_.OnRelayEnd(end, reason);
}

}  // namespace lattice::sandbox
