#include "tests/unit/netstack/harness.h"

#include <algorithm>
#include <cstring>
#include <ostream>

#include "glog/logging.h"
#include "userspace/base/checksum.h"

namespace lattice::netstack {

std::ostream& operator<<(std::ostream& out, const Segment& s) {
  for (const auto& [flag, name] : {std::pair{kSyn, 'S'}, {kFin, 'F'}, {kRst, 'R'}, {kPsh, 'P'}, {kAck, 'A'}}) {
    if (s.Has(flag)) out << name;
  }
  return out << " seq " << s.seq << " ack " << s.ack << " window " << s.window << " bytes " << s.payload.size();
}

Harness::Harness(PeerTraits t, Options options, FlowJudge* judge) : traits(t) {
  ours = *IpAddress::Parse(t.v6 ? "2001:db8::1" : "192.0.2.1");
  theirs = *IpAddress::Parse(t.v6 ? "2001:db8::9" : "192.0.2.9");
  options.addresses = {ours};
  peer_seq = t.isn;
  stack_ = std::make_unique<Stack>(std::move(options), *this, judge);
}

void Harness::OnTcp(TcpConnection& c, uint8_t events) {
  events_ |= events;
  if ((events & kEnded) == 0 || &c != connection) return;
  ended = c.reason();
  if (!close_on_end) return;
  connection = nullptr;
  c.Close();
}

void Harness::OnAccept(TcpListener& l) {
  connection = l.Accept();
}

void Harness::OnUdp(UdpSocket& socket) {
  while (const auto datagram = socket.Front()) {
    datagrams.emplace_back(datagram->payload.begin(), datagram->payload.end());
    socket.Pop();
  }
}

void Harness::Take(const PacketBurst& burst) {
  for (size_t i = 0; i < burst.count; ++i) {
    std::string packet(burst.PacketBytes(i), '\0');
    burst.Copy(i, reinterpret_cast<uint8_t*>(packet.data()));
    IpPacket ip;
    ASSERT_EQ(ParseIp({reinterpret_cast<const uint8_t*>(packet.data()), packet.size()}, &ip), Drop::kNone);
    if (ip.protocol != kTcp) {
      other.push_back(packet);
      continue;
    }
    TcpSegment tcp;
    ASSERT_EQ(ParseTcp(ip, &tcp), Drop::kNone) << "the engine sent a broken segment";
    segments_.push_back({tcp.seq, tcp.ack, tcp.flags, tcp.window, tcp.source_port, tcp.destination_port, tcp.options,
                         std::string(tcp.payload.begin(), tcp.payload.end())});
    if (tcp.options.has_timestamps) last_timestamp = tcp.options.timestamp;
    // What a right peer would acknowledge: in order only.
    if (tcp.Has(kSyn)) peer_ack = tcp.seq + 1;
    if (!tcp.Has(kSyn) && tcp.seq == peer_ack) peer_ack += tcp.Length();
  }
}

std::string Harness::Build(PeerSegment s) {
  TcpOptions options;
  const bool syn = (s.flags & kSyn) != 0;
  options.has_timestamps = traits.timestamps && !s.no_timestamps;
  options.timestamp = s.timestamp.value_or(static_cast<uint32_t>(now / kMillisecond));
  options.echo = s.echo.value_or(last_timestamp);
  if (syn) {
    options.mss = traits.mss;
    options.sack_permitted = traits.sack;
    if (traits.scaling) options.window_scale = traits.scale;
  }
  options.sack_count = static_cast<uint8_t>(s.sack.size());
  std::copy(s.sack.begin(), s.sack.end(), options.sack.begin());
  uint8_t header[kTcpHeader + kMaxTcpOptions] = {};
  const size_t length = kTcpHeader + WriteTcpOptions(header + kTcpHeader, options);
  Store16(header, peer_port);
  Store16(header + 2, engine_port);
  Store32(header + 4, s.seq.value_or(peer_seq));
  Store32(header + 8, (s.flags & kAck) != 0 ? s.ack.value_or(peer_ack) : 0);
  header[12] = static_cast<uint8_t>(length / 4 << 4);
  header[13] = s.flags;
  Store16(header + 14, s.window);
  std::string tcp(reinterpret_cast<const char*>(header), length);
  tcp += s.payload;
  auto* bytes = reinterpret_cast<uint8_t*>(tcp.data());
  Checksum checksum;
  checksum.AddPseudoHeader(theirs, ours, kTcp, tcp.size());
  checksum.Add({bytes, tcp.size()});
  Store16(bytes + 16, static_cast<uint16_t>(checksum.Finish() ^ (s.break_checksum ? 1 : 0)));
  std::string packet(kIpv6Header, '\0');
  packet.resize(WriteIp(reinterpret_cast<uint8_t*>(packet.data()), theirs, ours, kTcp, tcp.size()));
  return packet + tcp;
}

void Harness::Peer(PeerSegment s) {
  const std::string packet = Build(s);
  // Only what goes on from where the test is moves it on.
  if (!s.seq.has_value() && !s.break_checksum) {
    peer_seq +=
        static_cast<uint32_t>(s.payload.size()) + ((s.flags & kSyn) != 0 ? 1 : 0) + ((s.flags & kFin) != 0 ? 1 : 0);
  }
  Packet({reinterpret_cast<const uint8_t*>(packet.data()), packet.size()});
}

void Harness::Packet(absl::Span<const uint8_t> packet) {
  stack_->Receive(packet, now);
  Poll();
}

void Harness::Poll() {
  // Events may lead to more to send; a right driver polls while the stack asks for it.
  for (int i = 0; i < 100; ++i) {
    stack_->Poll(now, *this);
    if (stack_->NextDeadline() > now || room == 0) return;
  }
  FAIL() << "the stack wants to be polled for ever";
}

void Harness::Advance(int64_t ns) {
  const int64_t end = now + ns;
  for (int64_t next; (next = stack_->NextDeadline()) <= end;) {
    now = std::max(now, next);
    Poll();
  }
  now = end;
  Poll();
}

std::vector<Segment> Harness::Take() {
  std::vector<Segment> taken(segments_.begin(), segments_.end());
  segments_.clear();
  return taken;
}

Segment Harness::One() {
  const std::vector<Segment> taken = Take();
  EXPECT_EQ(taken.size(), 1u) << ::testing::PrintToString(taken);
  return taken.empty() ? Segment() : taken[0];
}

void Harness::None() {
  const std::vector<Segment> taken = Take();
  EXPECT_TRUE(taken.empty()) << ::testing::PrintToString(taken);
}

Segment Harness::StartConnect(ConnectOptions options) {
  auto connected = stack_->Connect({theirs, peer_port}, options);
  CHECK(connected.ok()) << connected.status();
  connection = *connected;
  engine_port = connection->flow().local_port;
  Poll();
  return One();
}

void Harness::SynAck() {
  Peer({.flags = kSyn | kAck});
}

TcpConnection* Harness::Connect(ConnectOptions options) {
  StartConnect(options);
  SynAck();
  const Segment ack = One();
  EXPECT_EQ(ack.flags, kAck);
  EXPECT_EQ(Events() & kConnected, kConnected);
  return connection;
}

void Harness::PeerSyn(uint16_t port) {
  engine_port = 80;
  if (port != 0) peer_port = port;
  Peer({.flags = kSyn});
}

TcpConnection* Harness::Accept(size_t backlog) {
  listener = *stack_->Listen({IpAddress(), 80}, backlog);
  PeerSyn();
  const Segment answer = One();
  EXPECT_EQ(answer.flags, kSyn | kAck);
  Peer({});
  None();
  EXPECT_NE(connection, nullptr);
  return connection;
}

void Harness::Write(const std::string& text) {
  EXPECT_EQ(connection->Send({reinterpret_cast<const uint8_t*>(text.data()), text.size()}), text.size());
  Poll();
}

std::string Harness::Read() {
  std::string text;
  iovec pieces[8];
  const size_t count = connection->ReceiveData(absl::MakeSpan(pieces));
  for (size_t i = 0; i < count; ++i) text.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
  connection->Consume(text.size());
  Poll();
  return text;
}

}  // namespace lattice::netstack
