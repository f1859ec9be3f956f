#include "tests/testing/netstack_network.h"

#include <algorithm>
#include <cstring>

#include "glog/logging.h"
#include "userspace/base/checksum.h"
#include "userspace/netstack/headers.h"

namespace lattice::testing {

using netstack::CloseReason;
using netstack::TcpConnection;

namespace {

uint64_t Word(uint64_t seed, uint64_t index) {
  uint64_t z = seed * 0x9e3779b97f4a7c15 + index * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 30)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

netstack::Options WithAddress(netstack::Options options, const char* v4, const char* v6) {
  if (options.addresses.empty()) options.addresses = {*IpAddress::Parse(v4), *IpAddress::Parse(v6)};
  return options;
}

}  // namespace

void FillStream(uint64_t seed, uint64_t offset, absl::Span<uint8_t> out) {
  for (size_t i = 0; i < out.size();) {
    const uint64_t word = Word(seed, (offset + i) / 8);
    const size_t from = (offset + i) % 8, take = std::min(8 - from, out.size() - i);
    std::memcpy(&out[i], reinterpret_cast<const char*>(&word) + from, take);
    i += take;
  }
}

bool MatchesStream(uint64_t seed, uint64_t offset, absl::Span<const uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const uint64_t word = Word(seed, (offset + i) / 8);
    const size_t from = (offset + i) % 8, take = std::min(8 - from, bytes.size() - i);
    if (std::memcmp(&bytes[i], reinterpret_cast<const char*>(&word) + from, take) != 0) return false;
    i += take;
  }
  return true;
}

void Stream::Pump() {
  if (connection == nullptr) return;
  iovec pieces[8];
  while (sent < options.send_bytes) {
    size_t written = 0;
    const size_t count = connection->SendSpace(absl::MakeSpan(pieces));
    for (size_t i = 0; i < count && sent + written < options.send_bytes; ++i) {
      const auto take = static_cast<size_t>(std::min<uint64_t>(pieces[i].iov_len, options.send_bytes - sent - written));
      FillStream(options.seed, sent + written, {static_cast<uint8_t*>(pieces[i].iov_base), take});
      written += take;
    }
    connection->Commit(written);
    sent += written;
    if (written == 0) break;
  }
  if (connected && sent == options.send_bytes && options.shut_down) connection->ShutdownWrite();
  size_t left = options.read ? options.read_at_once : 0;
  while (left > 0 && connection->available() > 0) {
    const size_t count = connection->ReceiveData(absl::MakeSpan(pieces));
    size_t taken = 0;
    for (size_t i = 0; i < count && left > 0; ++i) {
      const size_t take = std::min(left, pieces[i].iov_len);
      mismatch |=
          !MatchesStream(options.peer_seed, received + taken, {static_cast<uint8_t*>(pieces[i].iov_base), take});
      taken += take;
      left -= take;
    }
    received += taken;
    connection->Consume(taken);
  }
  eof |= connection->receive_finished();
  if (ended) CloseIfRead();
}

// What is unread when both sides are done is still there.
void Stream::CloseIfRead() {
  if (connection == nullptr || connection->available() > 0) return;
  connection->Close();
  connection = nullptr;
}

SimHost::SimHost(netstack::Options options, netstack::FlowJudge* judge)
    : address_(options.addresses[0]), stack_(std::move(options), *this, judge) {}

Stream* SimHost::Connect(const Endpoint& remote, const StreamOptions& options, netstack::ConnectOptions connect) {
  auto connection = stack_.Connect(remote, connect);
  CHECK(connection.ok()) << connection.status();
  streams_.push_back(std::make_unique<Stream>());
  streams_.back()->options = options;
  streams_.back()->connection = *connection;
  (*connection)->set_user(streams_.back().get());
  return streams_.back().get();
}

netstack::TcpListener* SimHost::Listen(uint16_t port, const StreamOptions& options, size_t backlog) {
  accepted_ = options;
  auto listener = stack_.Listen({IpAddress(), port}, backlog);
  CHECK(listener.ok()) << listener.status();
  return *listener;
}

void SimHost::OnTcp(TcpConnection& connection, uint8_t events) {
  auto* stream = static_cast<Stream*>(connection.user());
  if ((events & netstack::kConnected) != 0) stream->connected = true;
  stream->Pump();
  if ((events & netstack::kEnded) != 0) {
    stream->ended = true;
    stream->reason = connection.reason();
    stream->CloseIfRead();
  }
}

void SimHost::OnAccept(netstack::TcpListener& listener) {
  while (TcpConnection* connection = listener.Accept()) {
    streams_.push_back(std::make_unique<Stream>());
    Stream* stream = streams_.back().get();
    stream->options = accepted_;
    stream->connection = connection;
    stream->connected = true;
    connection->set_user(stream);
    stream->Pump();
  }
}

void SimHost::OnUdp(netstack::UdpSocket& socket) {
  while (const auto datagram = socket.Front()) {
    datagrams.emplace_back(datagram->payload.begin(), datagram->payload.end());
    socket.Pop();
  }
}

// Where a host's packets enter the wire.
class SimNetwork::Port : public netstack::PacketSink {
 public:
  Port(SimNetwork& network, int host) : network_(network), host_(host) {}
  size_t Room() override { return netstack::kMaxBurst; }
  void Take(const netstack::PacketBurst& burst) override {
    for (size_t i = 0; i < burst.count; ++i) {
      std::string packet(burst.PacketBytes(i), '\0');
      burst.Copy(i, reinterpret_cast<uint8_t*>(packet.data()));
      network_.Carry(host_, std::move(packet));
    }
  }

 private:
  SimNetwork& network_;
  const int host_;
};

SimNetwork::SimNetwork(const Wire& wire, uint64_t seed, netstack::Options a, netstack::Options b, bool v6,
                       netstack::FlowJudge* judge_b)
    : wire_(wire), random_(seed) {
  a = WithAddress(std::move(a), "192.0.2.1", "2001:db8::1");
  b = WithAddress(std::move(b), "192.0.2.2", "2001:db8::2");
  if (v6) {
    std::reverse(a.addresses.begin(), a.addresses.end());
    std::reverse(b.addresses.begin(), b.addresses.end());
  }
  hosts_[0] = std::make_unique<SimHost>(std::move(a));
  hosts_[1] = std::make_unique<SimHost>(std::move(b), judge_b);
  for (int i = 0; i < 2; ++i) ports_[i] = std::make_unique<Port>(*this, i);
}

SimNetwork::~SimNetwork() = default;

// A router with a narrower link behind it.
void SimNetwork::TellTooBig(int to, absl::Span<const uint8_t> packet) {
  netstack::IpPacket parsed;
  CHECK(netstack::ParseIp(packet, &parsed) == netstack::Drop::kNone);
  std::string out(1280, '\0');
  auto* bytes = reinterpret_cast<uint8_t*>(out.data());
  const size_t quote = std::min<size_t>(packet.size(), 548 - 40);
  const IpAddress router = *IpAddress::Parse(parsed.v4 ? "198.51.100.1" : "2001:db8:1::1");
  const size_t length = netstack::kIcmpHeader + quote;
  uint8_t* icmp =
      bytes + netstack::WriteIp(bytes, router, parsed.source, parsed.v4 ? netstack::kIcmp : netstack::kIcmpV6, length);
  icmp[0] = parsed.v4 ? 3 : 2;
  icmp[1] = parsed.v4 ? 4 : 0;
  netstack::Store32(icmp + 4, static_cast<uint32_t>(wire_.mtu));
  std::memcpy(icmp + netstack::kIcmpHeader, packet.data(), quote);
  Checksum checksum;
  if (!parsed.v4) checksum.AddPseudoHeader(router, parsed.source, netstack::kIcmpV6, length);
  checksum.Add({icmp, length});
  netstack::Store16(icmp + 2, checksum.Finish());
  out.resize(static_cast<size_t>(icmp - bytes) + length);
  flying_.push({now_ + wire_.delay_ns, number_++, to, std::move(out)});
}

void SimNetwork::Carry(int from, std::string packet) {
  const absl::Span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(packet.data()), packet.size());
  if (filter && filter(from, bytes)) return;
  if (packet.size() > wire_.mtu) {
    if (wire_.tells_mtu) TellTooBig(from, bytes);
    return;
  }
  int64_t leaves = now_;
  if (wire_.bits_per_second != 0) {
    const auto bits = static_cast<double>(packet.size()) * 8;
    const auto waiting = static_cast<double>(std::max<int64_t>(free_at_[from] - now_, 0));
    if (waiting * static_cast<double>(wire_.bits_per_second) / 8e9 > static_cast<double>(wire_.queue_bytes)) {
      ++lost_;
      return;
    }
    free_at_[from] =
        std::max(free_at_[from], now_) + static_cast<int64_t>(bits * 1e9 / static_cast<double>(wire_.bits_per_second));
    leaves = free_at_[from];
  }
  if (Chance(wire_.loss)) {
    ++lost_;
    return;
  }
  ++carried_;
  if (Chance(wire_.corrupt)) packet[random_() % packet.size()] ^= static_cast<char>(1 + random_() % 255);
  const int copies = Chance(wire_.duplicate) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    int64_t at = leaves + wire_.delay_ns;
    if (Chance(wire_.reorder)) at += static_cast<int64_t>(random_() % static_cast<uint64_t>(wire_.reorder_ns));
    flying_.push({at, number_++, 1 - from, packet});
  }
}

void SimNetwork::Inject(int host, absl::Span<const uint8_t> packet) {
  hosts_[host]->stack().Receive(packet, now_);
}

bool SimNetwork::Run(const std::function<bool()>& done, int64_t time) {
  const int64_t end = now_ + time;
  for (;;) {
    for (int i = 0; i < 2; ++i) hosts_[i]->stack().Poll(now_, *ports_[i]);
    if (done()) return true;
    int64_t next = std::min(hosts_[0]->stack().NextDeadline(), hosts_[1]->stack().NextDeadline());
    if (!flying_.empty()) next = std::min(next, flying_.top().at);
    if (next > end) {
      now_ = end;
      return false;
    }
    now_ = std::max(now_, next);
    while (!flying_.empty() && flying_.top().at <= now_) {
      const Flying arrived = flying_.top();
      flying_.pop();
      Inject(arrived.to, {reinterpret_cast<const uint8_t*>(arrived.packet.data()), arrived.packet.size()});
    }
  }
}

}  // namespace lattice::testing
