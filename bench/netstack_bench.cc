// The TCP/IP engine alone: what a full segment costs from one engine into another, as a multiple of copying its bytes
// once; what comes through paths of simulated time; what a held connection costs. Prints
//   figure, value, bar, aim, met|short
// and exits 1 when a bar is missed. Figures of simulated time do not depend on the machine.
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "glog/logging.h"
#include "tests/testing/netstack_network.h"
#include "userspace/base/clock.h"

namespace lattice::testing {
namespace {

using netstack::kMillisecond;
using netstack::kSecond;

bool g_short = false;

void Report(const char* figure, double value, double bar, double aim, bool more_is_better) {
  const bool met = more_is_better ? value >= bar : value <= bar;
  g_short |= !met;
  std::printf("%s, %.2f, %g, %g, %s\n", figure, value, bar, aim, met ? "met" : "short");
  std::fflush(stdout);
}

// Takes packets as a driver does: one copy of each, into buffers that are reused.
class Buffers : public netstack::PacketSink {
 public:
  static constexpr size_t kPackets = 1024, kBytes = 1500;
  Buffers() : bytes_(kPackets * kBytes), lengths_(kPackets) {}
  size_t Room() override { return kPackets - count_; }
  void Take(const netstack::PacketBurst& burst) override {
    for (size_t i = 0; i < burst.count; ++i, ++count_) lengths_[count_] = burst.Copy(i, &bytes_[count_ * kBytes]);
  }
  void Deliver(netstack::Stack& to, int64_t now) {
    for (size_t i = 0; i < count_; ++i) to.Receive({&bytes_[i * kBytes], lengths_[i]}, now);
    count_ = 0;
  }

 private:
  std::vector<uint8_t> bytes_;
  std::vector<size_t> lengths_;
  size_t count_ = 0;
};

// Sends from one buffer without looking at it, and drops what it receives: what is timed is the engines.
class Bulk : public netstack::Application {
 public:
  void OnTcp(netstack::TcpConnection& connection, uint8_t events) override {
    connection_ = &connection;
    received += connection.available();
    connection.Consume(connection.available());
    if (send_) Fill();
  }
  void OnAccept(netstack::TcpListener& listener) override { connection_ = listener.Accept(); }
  void OnUdp(netstack::UdpSocket& socket) override {}
  void Send() {
    send_ = true;
    Fill();
  }
  uint64_t received = 0;

 private:
  void Fill() {
    iovec space[8];
    for (;;) {
      const size_t count = connection_->SendSpace(absl::MakeSpan(space));
      size_t bytes = 0;
      for (size_t i = 0; i < count; ++i) bytes += space[i].iov_len;
      connection_->Commit(bytes);
      if (bytes == 0) return;
    }
  }
  netstack::TcpConnection* connection_ = nullptr;
  bool send_ = false;
};

double NanosecondsPerSegment() {
  Bulk sender, receiver;
  netstack::Stack a({.addresses = {IpAddress::FromV4(0xc0000201)}}, sender);
  netstack::Stack b({.addresses = {IpAddress::FromV4(0xc0000202)}}, receiver);
  CHECK(b.Listen({IpAddress(), 80}, 1).ok());
  CHECK(a.Connect({IpAddress::FromV4(0xc0000202), 80}, {}).ok());
  Buffers from_a, from_b;
  int64_t now = kSecond, start = 0;
  uint64_t start_bytes = 0;
  constexpr uint64_t kBytes = uint64_t{2} << 30;
  while (receiver.received < kBytes) {
    now += 20'000;  // as fast as the clock of the engines goes: pacing is not what is timed
    a.Poll(now, from_a);
    from_a.Deliver(b, now);
    b.Poll(now, from_b);
    from_b.Deliver(a, now);
    if (now == kSecond + 100'000) sender.Send();
    if (start == 0 && receiver.received > kBytes / 4) {
      start = RealClock().MonotonicNs();
      start_bytes = receiver.received;
    }
  }
  const double segments = static_cast<double>(receiver.received - start_bytes) / 1368;
  return static_cast<double>(RealClock().MonotonicNs() - start) / segments;
}

// Between buffers as large as the windows are, as the engines' own copies.
double NanosecondsPerCopy() {
  constexpr size_t kSegment = 1368, kCount = 12'000;
  std::vector<uint8_t> from(kSegment * kCount, 1), to(kSegment * kCount);
  double best = 1e9;
  for (int round = 0; round < 30; ++round) {
    const int64_t start = RealClock().MonotonicNs();
    for (size_t i = 0; i < kCount; ++i) {
      std::memcpy(&to[i * kSegment], &from[i * kSegment], kSegment);
      asm volatile("" : : "r"(to.data()) : "memory");
    }
    best = std::min(best, static_cast<double>(RealClock().MonotonicNs() - start) / kCount);
  }
  return best;
}

// Mbit/s of `bytes` from the start of the connection to the last byte.
double Goodput(const Wire& wire, uint64_t bytes, netstack::Congestion congestion) {
  netstack::Options options;
  options.congestion = congestion;
  SimNetwork network(wire, /*seed=*/20261124, options, options);
  network.b().Listen(80, {});
  network.a().Connect({network.b().address(), 80}, {.send_bytes = bytes});
  const int64_t start = network.now();
  const bool done = network.Run(
      [&] { return !network.b().streams().empty() && network.b().streams()[0]->received == bytes; }, 600 * kSecond);
  CHECK(done) << "the path of " << wire.delay_ns << " ns carried only " << network.b().streams()[0]->received;
  return static_cast<double>(bytes) * 8e3 / static_cast<double>(network.now() - start);
}

double KibPerHeldConnection() {
  constexpr int kConnections = 10'000;
  netstack::Options options;
  SimNetwork network({.delay_ns = kMillisecond}, 1, options, options);
  network.b().Listen(80, {.send_bytes = 1000, .shut_down = false}, kConnections);
  const size_t before = mallinfo2().uordblks;
  for (int i = 0; i < kConnections; ++i) {
    network.a().Connect({network.b().address(), 80}, {.send_bytes = 1000, .shut_down = false});
  }
  network.RunFor(20 * kSecond);
  CHECK_EQ(network.a().stack().connections() + network.b().stack().connections(), 2u * kConnections);
  CHECK_EQ(network.a().stack().buffered_bytes(), 0u);
  return static_cast<double>(mallinfo2().uordblks - before) / (2.0 * kConnections) / 1024;
}

int Main() {
  const Wire lossy{
      .delay_ns = 5 * kMillisecond, .bits_per_second = 1'000'000'000, .queue_bytes = 2 << 20, .loss = 0.01};
  const Wire lengthy{.delay_ns = 25 * kMillisecond, .bits_per_second = 1'000'000'000, .queue_bytes = 8 << 20};
  using netstack::Congestion;
  Report("goodput at 10 ms RTT, 1 % loss, 1 Gbit/s (Mbit/s)", Goodput(lossy, 128 << 20, Congestion::kBbr), 100, 250,
         true);
  Report("goodput at 50 ms RTT, no loss, 1 Gbit/s (Mbit/s)", Goodput(lengthy, 256 << 20, Congestion::kBbr), 400, 600,
         true);
  std::printf("note: CUBIC on the same paths: %.0f and %.0f Mbit/s\n", Goodput(lossy, 8 << 20, Congestion::kCubic),
              Goodput(lengthy, 256 << 20, Congestion::kCubic));
  Report("KiB for each end of a held connection", KibPerHeldConnection(), 8, 4, false);
  const double segment = NanosecondsPerSegment(), copy = NanosecondsPerCopy();
  std::printf("note: %.0f ns for each full segment, %.0f ns to copy it once\n", segment, copy);
  Report("full segment out of one engine into the other / one copy of its bytes", segment / copy, 20, 10, false);
  return g_short ? 1 : 0;
}

}  // namespace
}  // namespace lattice::testing

int main() {
  return lattice::testing::Main();
}
