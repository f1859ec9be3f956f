// Datagrams against a device with a live session: it neither crashes nor loses the session, whatever comes.
//
// The input is a list of records: a byte that says what it is and a byte of length, then so many bytes. 0: a datagram
// as it is. 1-4: a message of that type and its exact length (data: any), with the index of the live session and, for
// handshakes, a MAC1 that fits, so that what is behind these checks is reached. 5: an inner packet, sealed with the
// session's true keys. 6: time passes.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "glog/logging.h"
#include "userspace/wireguard/device.h"

using namespace lattice;             // NOLINT: one file
using namespace lattice::wireguard;  // NOLINT

namespace {

class StepClock : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixSeconds(1'770'000'000) + absl::Nanoseconds(ns_); }
  int64_t MonotonicNs() const override { return ns_; }
  void Advance(absl::Duration d) { ns_ += absl::ToInt64Nanoseconds(d); }

 private:
  int64_t ns_ = 1'000'000'000;
};

class CountingRandom : public Random {
 public:
  void Fill(absl::Span<uint8_t> out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>((state_ = state_ * 6364136223846793005u + 1) >> 56);
  }

 private:
  uint64_t state_ = 1;
};

class Collector : public Output {
 public:
  void Send(const Endpoint&, absl::Span<const uint8_t> datagram) override {
    sent.emplace_back(datagram.begin(), datagram.end());
  }
  void Deliver(const PublicKey&, absl::Span<uint8_t> packet) override {
    CHECK_GE(packet.size(), 20u);
    ++delivered;
  }
  std::vector<std::vector<uint8_t>> sent;
  size_t delivered = 0;
};

constexpr uint8_t kPacket[20] = {0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
const Endpoint kAttacker{.address = IpAddress::FromV4(0xc0000209), .port = 9};
const Endpoint kPeer{.address = IpAddress::FromV4(0xc0000201), .port = 1};
const Endpoint kTarget{.address = IpAddress::FromV4(0xc0000202), .port = 2};

struct World {
  World() {
    peer = Make(1, peer_output);
    target = Make(2, target_output);
    const auto all = {IpPrefix::Parse("0.0.0.0/0").value(), IpPrefix::Parse("::/0").value()};
    CHECK(peer->SetPeer({.public_key = target->public_key(), .endpoint = kTarget, .allowed_ips = all}, now()).ok());
    CHECK(target
              ->SetPeer({.public_key = peer->public_key(), .allowed_ips = {IpPrefix::Parse("10.0.0.1/32").value()}},
                        now())
              .ok());
    CHECK(peer->Seal(kPacket, batch, now()) == SealResult::kStaged);
    Exchange();
    Exchange();
    CHECK_EQ(target_output.delivered, 1u);
  }
  int64_t now() const { return clock.MonotonicNs(); }
  std::unique_ptr<Device> Make(uint8_t key, Collector& output) {
    DeviceOptions options;
    options.private_key.data()[1] = key;  // X25519 clears the lowest bits
    options.handshakes_per_second = 10;
    return Device::Create(options, clock, random, output).value();
  }
  // What each has sent, to the other.
  void Exchange() {
    for (std::vector<uint8_t>& one : std::exchange(peer_output.sent, {})) {
      // Seen by the fuzzer's records: the index under which the target receives.
      if (one.size() >= 8 && one[0] == 4) std::copy_n(one.begin() + 4, 4, index);
      target->ReceiveOne(kPeer, absl::MakeSpan(one), now());
    }
    for (std::vector<uint8_t>& one : std::exchange(target_output.sent, {})) {
      peer->ReceiveOne(kTarget, absl::MakeSpan(one), now());
    }
  }

  StepClock clock;
  CountingRandom random;
  Collector peer_output, target_output;
  std::unique_ptr<Device> peer, target;
  SendBatch batch;
  uint8_t index[4] = {};
};

void Record(World& world, uint8_t kind, absl::Span<const uint8_t> bytes) {
  std::vector<uint8_t> datagram(bytes.begin(), bytes.end());
  if (kind >= 1 && kind <= 4) {
    const size_t sizes[] = {0, sizeof(InitiationMessage), sizeof(ResponseMessage), sizeof(CookieReplyMessage),
                            std::max(bytes.size(), kDataOverhead)};
    datagram.resize(sizes[kind]);
    datagram[0] = kind;
    datagram[1] = datagram[2] = datagram[3] = 0;
    std::copy_n(world.index, 4, datagram.begin() + (kind == 2 ? 8 : 4));
    if (kind <= 2) CookieJar(world.target->public_key()).AddMacs(absl::MakeSpan(datagram), world.now());
  } else if (kind == 5) {
    world.batch.Clear();
    if (world.peer->Seal(bytes, world.batch, world.now()) != SealResult::kSealed) return;
    datagram.assign(world.batch.bytes().begin(), world.batch.bytes().end());
  } else if (kind == 6) {
    world.clock.Advance(absl::Milliseconds(100) * static_cast<int>(bytes.size()));
    world.target->HandleTimers(world.now());
    world.peer->HandleTimers(world.now());
    world.Exchange();
    return;
  }
  const auto before = world.target->Peers().at(0);
  const ReceiveResult result = world.target->ReceiveOne(kAttacker, absl::MakeSpan(datagram), world.now());
  const bool authentic = kind == 5;
  if (!authentic) {
    CHECK(result != ReceiveResult::kDelivered && result != ReceiveResult::kKeepalive &&
          result != ReceiveResult::kInitiation && result != ReceiveResult::kResponse);
    const auto after = world.target->Peers().at(0);
    CHECK(after.endpoint == before.endpoint && after.has_session == before.has_session &&
          after.rx_bytes == before.rx_bytes);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  World world;
  absl::Span<const uint8_t> input(data, size);
  while (input.size() >= 2) {
    const uint8_t kind = input[0];
    const size_t length = std::min<size_t>(input[1], input.size() - 2);
    Record(world, kind, input.subspan(2, length));
    input.remove_prefix(2 + length);
  }
  // Both still talk, after a handshake at the most.
  const size_t delivered = world.target_output.delivered;
  for (int i = 0; i < 4; ++i) {
    world.batch.Clear();
    if (world.peer->Seal(kPacket, world.batch, world.now()) == SealResult::kSealed) {
      std::vector<uint8_t> datagram(world.batch.bytes().begin(), world.batch.bytes().end());
      world.target->ReceiveOne(kPeer, absl::MakeSpan(datagram), world.now());
    }
    for (int turn = 0; turn < 60; ++turn) {
      world.clock.Advance(absl::Milliseconds(500));
      world.peer->HandleTimers(world.now());
      world.target->HandleTimers(world.now());
      world.Exchange();
    }
  }
  CHECK_GT(world.target_output.delivered, delivered);
  return 0;
}
