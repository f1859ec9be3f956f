// Raw packets into a stack that has a listener, an established connection in each direction and UDP sockets. The
// input is a list of packets, each led by a byte of what is done to it and two of its length: addresses, ports and
// numbers can be set to those of the connections, and checksums made right, or else nothing gets past the first check.
// Memory stays bounded, and closing everything leaves nothing behind.
#include <cstdint>
#include <cstring>
#include <vector>

#include "glog/logging.h"
#include "userspace/base/checksum.h"
#include "userspace/netstack/stack.h"

namespace lattice::netstack {
namespace {

class Fuzzed : public Application, public PacketSink {
 public:
  void OnTcp(TcpConnection& c, uint8_t events) override {
    iovec pieces[2];
    const size_t count = c.ReceiveData(absl::MakeSpan(pieces));
    for (size_t i = 0; i < count; ++i) sum += static_cast<const uint8_t*>(pieces[i].iov_base)[pieces[i].iov_len - 1];
    c.Consume(c.available() / 2 + 1);
    c.Send(std::vector<uint8_t>(3000, 7));
    if ((events & kEnded) == 0) return;
    std::erase(open, &c);
    c.Close();
  }
  void OnAccept(TcpListener& listener) override {
    while (TcpConnection* c = listener.Accept()) open.push_back(c);
  }
  void OnUdp(UdpSocket& socket) override {
    while (const auto datagram = socket.Front()) {
      for (const uint8_t byte : datagram->payload) sum += byte;
      socket.Pop();
    }
  }
  size_t Room() override { return 100; }
  void Take(const PacketBurst& burst) override {
    for (size_t i = 0; i < burst.count; ++i) {
      std::vector<uint8_t> packet(burst.PacketBytes(i));
      burst.Copy(i, packet.data());
      IpPacket ip;
      CHECK(ParseIp(packet, &ip) == Drop::kNone);
      TcpSegment tcp;
      if (ip.protocol == kTcp) CHECK(ParseTcp(ip, &tcp) == Drop::kNone);
      if (ip.protocol == kTcp) last = tcp;
    }
  }
  std::vector<TcpConnection*> open;
  TcpSegment last;
  uint64_t sum = 0;
};

enum Change : uint8_t { kToUs = 1, kPorts = 2, kNumbers = 4, kChecksums = 8, kV6 = 16, kWait = 32, kListener = 64 };

struct Fixture {
  Fixture()
      : v4(IpAddress::FromV4(0xc0000201)),
        peer4(IpAddress::FromV4(0xc0000209)),
        v6(*IpAddress::Parse("2001:db8::1")),
        peer6(*IpAddress::Parse("2001:db8::9")),
        stack({.addresses = {v4, v6}, .memory_budget = 1 << 20, .max_connections = 16, .max_half_open = 4}, app) {
    CHECK(stack.Listen({IpAddress(), 80}, 4).ok());
    CHECK(stack.Bind({IpAddress(), 53}).ok());
    for (const IpAddress& peer : {peer4, peer6}) {
      auto c = stack.Connect({peer, 443}, {.keepalive_ns = kSecond});
      CHECK(c.ok());
      app.open.push_back(*c);
      ports.push_back((*c)->flow().local_port);
      stack.Poll(now, app);
      uint8_t tcp[24] = {};
      TcpOptions options;
      options.sack_permitted = true;
      tcp[12] = 0x60;
      tcp[13] = kSyn | kAck;
      Store16(tcp + 14, 8000);
      WriteTcpOptions(tcp + 20, options);
      Store32(tcp + 4, 1000);
      Store32(tcp + 8, app.last.seq + 1);
      Give(peer, ports.back(), 443, tcp, sizeof(tcp), true);
      CHECK((*c)->state() == TcpState::kEstablished);
    }
  }
  void Give(const IpAddress& from, uint16_t to_port, uint16_t from_port, uint8_t* tcp, size_t length, bool checksum) {
    const IpAddress& to = from.is_v4() ? v4 : v6;
    Store16(tcp, from_port);
    Store16(tcp + 2, to_port);
    if (checksum) {
      Store16(tcp + 16, 0);
      Checksum sum;
      sum.AddPseudoHeader(from, to, kTcp, length);
      sum.Add({tcp, length});
      Store16(tcp + 16, sum.Finish());
    }
    std::vector<uint8_t> packet(kIpv6Header + length);
    const size_t ip = WriteIp(packet.data(), from, to, kTcp, length);
    std::memcpy(&packet[ip], tcp, length);
    packet.resize(ip + length);
    stack.Receive(packet, now);
    stack.Poll(now, app);
  }
  Fuzzed app;
  int64_t now = kSecond;
  IpAddress v4, peer4, v6, peer6;
  Stack stack;
  std::vector<uint16_t> ports;
};

}  // namespace
}  // namespace lattice::netstack

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lattice::netstack;
  Fixture f;
  while (size >= 3) {
    const uint8_t change = data[0];
    const size_t length = std::min<size_t>(size - 3, data[1] + (data[2] & 3) * 256);
    std::vector<uint8_t> packet(data + 3, data + 3 + length);
    data += 3 + length;
    size -= 3 + length;
    if ((change & kWait) != 0) f.now += (int64_t{1} << (length % 38));
    const bool v6 = (change & kV6) != 0;
    if ((change & kToUs) == 0) {
      f.stack.Receive(packet, f.now);
      f.stack.Poll(f.now, f.app);
      continue;
    }
    if (length < kTcpHeader) continue;
    if ((change & kNumbers) != 0) {
      // Near to what is expected.
      Store32(&packet[4], 1001 + packet[7]);
      Store32(&packet[8], f.app.last.seq + packet[11]);
    }
    const uint16_t to = (change & kListener) != 0 ? 80 : f.ports[v6 ? 1 : 0];
    f.Give(v6 ? f.peer6 : f.peer4, to, (change & kPorts) != 0 ? 443 : Load16(packet.data()), packet.data(), length,
           (change & kChecksums) != 0);
    CHECK_LE(f.stack.buffered_bytes(), size_t{1} << 20);
    CHECK_LE(f.stack.connections(), 16u);
  }
  while (!f.app.open.empty()) {
    TcpConnection* c = f.app.open.back();
    f.app.open.pop_back();
    c->Abort();
  }
  // What is left are orphans' timers and half-open connections.
  for (int i = 0; i < 100; ++i) {
    f.stack.Poll(f.now, f.app);
    f.now += 10 * kSecond;
  }
  f.stack.Poll(f.now, f.app);
  CHECK_EQ(f.stack.connections(), 0u);
  CHECK_EQ(f.stack.half_open(), 0u);
  CHECK_EQ(f.stack.buffered_bytes(), 0u);
  return 0;
}
