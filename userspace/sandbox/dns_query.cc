#include "userspace/sandbox/dns_query.h"

#include <sys/random.h>

#include <array>
#include <optional>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "userspace/base/status.h"

namespace lattice::sandbox {
namespace {

constexpr uint16_t kFirstPort = 1024;
// A random port is hardly ever taken.
constexpr int kPortTries = 16;

uint16_t Random16() {
  uint16_t value;
  PCHECK(getrandom(&value, sizeof(value), 0) == sizeof(value));
  return value;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DnsQuery>> DnsQuery::Ask(netstack::Stack& stack, const Endpoint& server,
                                                        const std::string& name, uint16_t type, Done done) {
  auto query =
      absl::WrapUnique(new DnsQuery(stack, server, {.id = Random16(), .name = name, .type = type}, std::move(done)));
  LATTICE_RETURN_IF_ERROR(query->Send());
  return query;
}

DnsQuery::~DnsQuery() {
  if (socket_ != nullptr) stack_.Close(socket_);
  if (connection_ != nullptr) connection_->Abort();
}

absl::Status DnsQuery::Send() {
  absl::StatusOr<netstack::UdpSocket*> socket;
  for (int tries = 0; tries < kPortTries && (tries == 0 || absl::IsAlreadyExists(socket.status())); ++tries) {
    const auto port = static_cast<uint16_t>(kFirstPort + Random16() % (65536 - kFirstPort));
    socket = stack_.Bind({IpAddress(), port}, server_);
  }
  LATTICE_RETURN_IF_ERROR(socket.status());
  socket_ = *socket;
  socket_->user = static_cast<DatagramUser*>(this);
  const netstack::UdpResult sent = socket_->Send(MakeDnsQuery(question_));
  // A full queue loses it, as any other on the way may.
  if (sent == netstack::UdpResult::kOk || sent == netstack::UdpResult::kFull) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot send to ", server_.ToString()));
}

void DnsQuery::OnDatagram(netstack::UdpSocket& socket) {
  while (const auto datagram = socket.Front()) {
    std::optional<DnsAnswer> answer = ReadDnsAnswer(datagram->payload, question_);
    socket.Pop();
    if (!answer.has_value()) continue;
    if (answer->kind != DnsAnswer::Kind::kTruncated) return Finish(*std::move(answer));
    stack_.Close(std::exchange(socket_, nullptr));
    return AskByTcp();
  }
  if (socket.TakeError() != netstack::CloseReason::kNone) Finish({});
}

void DnsQuery::AskByTcp() {
  const auto connection = stack_.Connect(server_, {.user = static_cast<StreamUser*>(this)});
  if (!connection.ok()) return Finish({});
  connection_ = *connection;
}

void DnsQuery::OnStream(netstack::TcpConnection& connection, uint8_t events) {
  if ((events & netstack::kConnected) != 0) {
    std::vector<uint8_t> message = MakeDnsQuery(question_);
    const size_t bytes = message.size();
    message.insert(message.begin(), {static_cast<uint8_t>(bytes >> 8), static_cast<uint8_t>(bytes)});
    if (connection.Send(message) != message.size()) return Finish({});
  }
  if (ReadTcp()) {
    std::exchange(connection_, nullptr)->Close();
    const auto answer = ReadDnsAnswer(absl::MakeConstSpan(stream_).subspan(2), question_);
    return Finish(answer.has_value() && answer->kind != DnsAnswer::Kind::kTruncated ? *answer : DnsAnswer{});
  }
  if ((events & netstack::kEnded) != 0 || connection.receive_finished()) Finish({});
}

// True: the answer is there, whole.
bool DnsQuery::ReadTcp() {
  std::array<iovec, 4> data;
  while (size_t pieces = connection_->ReceiveData(absl::MakeSpan(data))) {
    size_t bytes = 0;
    for (size_t i = 0; i < pieces; ++i) {
      const auto* const at = static_cast<const uint8_t*>(data[i].iov_base);
      stream_.insert(stream_.end(), at, at + data[i].iov_len);
      bytes += data[i].iov_len;
    }
    connection_->Consume(bytes);
    if (stream_.size() < 2) continue;
    const size_t wanted = 2 + (size_t{stream_[0]} << 8 | stream_[1]);
    if (stream_.size() < wanted) continue;
    stream_.resize(wanted);
    return true;
  }
  return false;
}

void DnsQuery::Finish(DnsAnswer answer) {
  const Done done = std::move(done_);
  done(std::move(answer));
}

}  // namespace lattice::sandbox
