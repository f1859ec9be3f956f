// Two engines under load and in trouble: many connections, slow readers, resets, budgets, changing paths.
#include <cstdlib>

#include "gtest/gtest.h"
#include "tests/testing/netstack_network.h"
#include "tests/testing/seed.h"
#include "userspace/base/checksum.h"

namespace lattice::testing {
namespace {

using netstack::CloseReason;
using netstack::kMillisecond;
using netstack::kSecond;

bool AllEnded(SimHost& host) {
  for (const auto& stream : host.streams()) {
    if (!stream->ended) return false;
  }
  return true;
}

void ExpectEmpty(SimNetwork& network) {
  network.RunFor(200 * kSecond);
  for (SimHost* host : {&network.a(), &network.b()}) {
    EXPECT_EQ(host->stack().connections(), 0u);
    EXPECT_EQ(host->stack().buffered_bytes(), 0u);
    EXPECT_EQ(host->stack().time_wait(), 0u);
    EXPECT_EQ(host->stack().NextDeadline(), netstack::kNever) << "something keeps a timer";
  }
}

TEST(Load, TenThousandConnectionsOverALossyWire) {
  constexpr size_t kCount = 10'000;
  netstack::Options options;
  options.max_half_open = 2 * kCount;
  SimNetwork network({.loss = 0.01}, TestSeed(), options, options);
  network.b().Listen(80, {.send_bytes = 3000, .seed = 2, .peer_seed = 1}, 2 * kCount);
  for (size_t i = 0; i < kCount; ++i) {
    network.a().Connect({network.b().address(), 80}, {.send_bytes = 2000, .seed = 1, .peer_seed = 2});
  }
  EXPECT_TRUE(network.Run(
      [&] { return network.b().streams().size() == kCount && AllEnded(network.a()) && AllEnded(network.b()); },
      600 * kSecond));
  ASSERT_EQ(network.b().streams().size(), kCount);
  for (size_t i = 0; i < kCount; ++i) {
    const Stream &up = *network.a().streams()[i], &down = *network.b().streams()[i];
    ASSERT_TRUE(up.received == 3000 && !up.mismatch && up.reason == CloseReason::kFinished)
        << i << ": " << up.received << " received, " << up.sent << " sent, ended " << up.ended << " "
        << netstack::CloseReasonName(up.reason);
    ASSERT_TRUE(down.received == 2000 && !down.mismatch && down.reason == CloseReason::kFinished)
        << i << ": " << down.received << " received, " << down.sent << " sent, ended " << down.ended << " "
        << netstack::CloseReasonName(down.reason);
  }
  ExpectEmpty(network);
}

TEST(Load, SynFloodDoesNotKeepOthersOut) {
  netstack::Options options;
  options.max_half_open = 64;
  SimNetwork network({}, TestSeed(), {}, options);
  network.b().Listen(80, {.send_bytes = 5000, .seed = 2, .peer_seed = 1});
  // SYNs from addresses that never answer.
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    uint8_t packet[40] = {};
    const IpAddress from = IpAddress::FromV4(0xcb007100 + static_cast<uint32_t>(random() % 250));
    const size_t ip = netstack::WriteIp(packet, from, network.b().address(), netstack::kTcp, 20);
    netstack::Store32(packet + ip, static_cast<uint32_t>(random()));
    netstack::Store16(packet + ip + 2, 80);
    packet[ip + 12] = 0x50;
    packet[ip + 13] = netstack::kSyn;
    Checksum checksum;
    checksum.AddPseudoHeader(from, network.b().address(), netstack::kTcp, 20);
    checksum.Add({packet + ip, 20});
    netstack::Store16(packet + ip + 16, checksum.Finish());
    network.Inject(1, packet);
    if (i % 100 == 0) network.RunFor(kMillisecond);
  }
  EXPECT_LE(network.b().stack().half_open(), 64u);
  Stream* stream = network.a().Connect({network.b().address(), 80}, {.send_bytes = 5000, .seed = 1, .peer_seed = 2});
  EXPECT_TRUE(network.Run([&] { return stream->ended; }, 10 * kSecond));
  EXPECT_EQ(stream->received, 5000u);
  EXPECT_GE(network.b().stack().counters().syn_cookies_accepted, 1u);
}

TEST(Load, SlowReaderHoldsTheSenderBack) {
  netstack::Options options;
  options.initial_receive_window = 64 * 1024;
  SimNetwork network({}, TestSeed(), options, options);
  network.b().Listen(80, {.peer_seed = 1, .read_at_once = 0});
  network.a().Connect({network.b().address(), 80}, {.send_bytes = 1 << 20, .seed = 1});
  network.RunFor(5 * kSecond);
  EXPECT_LE(network.b().stack().buffered_bytes(), 96u * 1024);
  ASSERT_EQ(network.b().streams().size(), 1u);
  Stream& reader = *network.b().streams()[0];
  // Ten kilobytes every ten milliseconds: the window shuts and opens all the way.
  for (int i = 0; i < 2000 && reader.received < 1 << 20; ++i) {
    reader.options.read_at_once = 10'000;
    reader.Pump();
    reader.options.read_at_once = 0;
    network.RunFor(10 * kMillisecond);
  }
  EXPECT_EQ(reader.received, 1u << 20);
  EXPECT_FALSE(reader.mismatch);
}

TEST(Load, AbortInTheMiddleFreesBothEnds) {
  SimNetwork network({.bits_per_second = 100'000'000, .loss = 0.02}, TestSeed());
  network.b().Listen(80, {.send_bytes = 100 << 20, .seed = 2, .peer_seed = 1});
  for (int i = 0; i < 20; ++i) {
    network.a().Connect({network.b().address(), 80}, {.send_bytes = 100 << 20, .seed = 1, .peer_seed = 2});
  }
  network.RunFor(2 * kSecond);
  for (const auto& stream : network.a().streams()) {
    EXPECT_TRUE(stream->connected);
    EXPECT_FALSE(stream->mismatch);
    stream->connection->Abort();
    stream->connection = nullptr;
  }
  // The RST may be lost; what the other end sends then gets another one.
  EXPECT_TRUE(network.Run([&] { return AllEnded(network.b()); }, 300 * kSecond));
  for (const auto& stream : network.b().streams()) EXPECT_EQ(stream->reason, CloseReason::kReset);
  ExpectEmpty(network);
}

TEST(Load, BudgetIsKeptAndEverythingArrives) {
  netstack::Options options;
  options.memory_budget = 2 << 20;
  SimNetwork network({.bits_per_second = 200'000'000, .loss = 0.005}, TestSeed(), {}, options);
  network.b().Listen(80, {.send_bytes = 300'000, .seed = 2, .peer_seed = 1});
  for (int i = 0; i < 40; ++i) {
    network.a().Connect({network.b().address(), 80}, {.send_bytes = 1 << 20, .seed = 1, .peer_seed = 2});
  }
  size_t most = 0;
  EXPECT_TRUE(network.Run(
      [&] {
        most = std::max(most, network.b().stack().buffered_bytes());
        return network.b().streams().size() == 40 && AllEnded(network.a()) && AllEnded(network.b());
      },
      600 * kSecond));
  EXPECT_LE(most, 2u << 20);
  for (const auto& stream : network.b().streams()) {
    EXPECT_EQ(stream->received, 1u << 20);
    EXPECT_FALSE(stream->mismatch);
  }
  for (const auto& stream : network.a().streams()) EXPECT_EQ(stream->received, 300'000u);
  ExpectEmpty(network);
}

struct PathCase {
  bool v6, tells;
};

class PathChange : public ::testing::TestWithParam<PathCase> {};

TEST_P(PathChange, NarrowerPathInTheMiddle) {
  SimNetwork network({}, TestSeed(), {}, {}, GetParam().v6);
  network.b().Listen(80, {.send_bytes = 4 << 20, .seed = 2, .peer_seed = 1});
  Stream* up = network.a().Connect({network.b().address(), 80}, {.send_bytes = 4 << 20, .seed = 1, .peer_seed = 2});
  network.Run([&] { return up->received > 500'000; }, 60 * kSecond);
  network.wire().mtu = 1290;
  network.wire().tells_mtu = GetParam().tells;
  EXPECT_TRUE(network.Run([&] { return up->ended && AllEnded(network.b()); }, 300 * kSecond));
  EXPECT_EQ(up->received, 4u << 20);
  EXPECT_EQ(network.b().streams()[0]->received, 4u << 20);
  EXPECT_FALSE(up->mismatch || network.b().streams()[0]->mismatch);
  const netstack::Counters& counters = network.a().stack().counters();
  EXPECT_GE(GetParam().tells ? counters.pmtu_lowered : counters.black_holes, 1u);
}

std::string PathName(const ::testing::TestParamInfo<PathCase>& info) {
  return std::string(info.param.v6 ? "V6" : "V4") + (info.param.tells ? "Told" : "BlackHole");
}

INSTANTIATE_TEST_SUITE_P(Paths, PathChange,
                         ::testing::Values(PathCase{false, true}, PathCase{true, true}, PathCase{false, false},
                                           PathCase{true, false}),
                         PathName);

// A wire that is dead for a while, in both directions, with data on its way.
TEST(Load, OutageIsSurvived) {
  SimNetwork network({}, TestSeed());
  network.b().Listen(80, {.send_bytes = 8 << 20, .seed = 2, .peer_seed = 1});
  Stream* up = network.a().Connect({network.b().address(), 80}, {.send_bytes = 8 << 20, .seed = 1, .peer_seed = 2});
  network.Run([&] { return up->received > 500'000; }, 60 * kSecond);
  network.wire().loss = 1;
  network.RunFor(20 * kSecond);
  network.wire().loss = 0;
  EXPECT_TRUE(network.Run([&] { return up->ended; }, 60 * kSecond));
  EXPECT_EQ(up->received, 8u << 20);
  EXPECT_EQ(up->reason, CloseReason::kFinished);
}

TEST(Load, DeadPeerIsGivenUp) {
  SimNetwork network({}, TestSeed());
  network.b().Listen(80, {.send_bytes = 8 << 20, .seed = 2, .peer_seed = 1});
  Stream* up = network.a().Connect({network.b().address(), 80}, {.send_bytes = 8 << 20, .seed = 1, .peer_seed = 2});
  network.Run([&] { return up->received > 500'000; }, 60 * kSecond);
  network.wire().loss = 1;
  EXPECT_TRUE(network.Run([&] { return up->ended && AllEnded(network.b()); }, 300 * kSecond));
  EXPECT_EQ(up->reason, CloseReason::kTimeout);
  ExpectEmpty(network);
}

// With LATTICE_LONG past the wrap of sequence numbers.
TEST(Load, Large) {
  const uint64_t bytes = std::getenv("LATTICE_LONG") != nullptr ? uint64_t{5} << 30 : uint64_t{64} << 20;
  SimNetwork network({.bits_per_second = 2'000'000'000, .queue_bytes = 4 << 20, .loss = 0.0005, .reorder = 0.001},
                     TestSeed());
  network.b().Listen(80, {.send_bytes = bytes / 8, .seed = 2, .peer_seed = 1});
  Stream* up = network.a().Connect({network.b().address(), 80}, {.send_bytes = bytes, .seed = 1, .peer_seed = 2});
  EXPECT_TRUE(network.Run([&] { return up->ended; }, 3600 * kSecond));
  ASSERT_EQ(network.b().streams().size(), 1u);
  EXPECT_EQ(network.b().streams()[0]->received, bytes);
  EXPECT_EQ(up->received, bytes / 8);
  EXPECT_FALSE(up->mismatch || network.b().streams()[0]->mismatch);
}

}  // namespace
}  // namespace lattice::testing
