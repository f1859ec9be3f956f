// What a packet of 1,420 bytes costs in the WireGuard engine, per direction, beside the cipher alone. Prints
//   figure, ns per packet, ratio to a bare EVP seal or open of the same bytes
// The engine's figure is all of a packet's way: route, counter, header, padding, timers, and back: index, window,
// allowed IPs, delivery. Sealed as the driver does it, 44 segments in one buffer. Medians of interleaved rounds, so
// that a slow moment of the machine meets all of them.
#include <openssl/evp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "glog/logging.h"
#include "tests/testing/fake_clock.h"
#include "userspace/wireguard/device.h"

namespace lattice::wireguard {
namespace {

constexpr size_t kPacketBytes = 1420;
constexpr size_t kBurst = SendBatch::kMaxSegments;
constexpr int kBursts = 200;  // of a round
constexpr int kRounds = 41;

struct Sink : Output {
  void Send(const Endpoint&, absl::Span<const uint8_t> datagram) override {
    sent.emplace_back(datagram.begin(), datagram.end());
  }
  void Deliver(const PublicKey&, absl::Span<uint8_t> packet) override { bytes += packet.size(); }
  std::vector<std::vector<uint8_t>> sent;
  uint64_t bytes = 0;
};

// ChaCha20-Poly1305 by EVP, one context, a nonce per packet: the least that any engine of OpenSSL's does.
class BareCipher {
 public:
  explicit BareCipher(bool seal) : context_(EVP_CIPHER_CTX_new()) {
    const uint8_t key[32] = {1};
    CHECK_EQ(EVP_CipherInit_ex(context_, EVP_chacha20_poly1305(), nullptr, key, nullptr, seal), 1);
  }
  ~BareCipher() { EVP_CIPHER_CTX_free(context_); }
  void Seal(const uint8_t* plain, uint8_t* out) {
    int n = 0;
    CHECK(EVP_EncryptInit_ex(context_, nullptr, nullptr, nullptr, Nonce()) == 1 &&
          EVP_EncryptUpdate(context_, out, &n, plain, kPacketBytes) == 1 &&
          EVP_EncryptFinal_ex(context_, out + kPacketBytes, &n) == 1 &&
          EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_GET_TAG, 16, out + kPacketBytes) == 1);
  }
  bool Open(uint8_t* sealed) {
    int n = 0;
    return EVP_DecryptInit_ex(context_, nullptr, nullptr, nullptr, Nonce()) == 1 &&
           EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_SET_TAG, 16, sealed + kPacketBytes) == 1 &&
           EVP_DecryptUpdate(context_, sealed, &n, sealed, kPacketBytes) == 1 &&
           EVP_DecryptFinal_ex(context_, sealed + kPacketBytes, &n) == 1;
  }

 private:
  const uint8_t* Nonce() {
    ++counter_;
    for (int i = 0; i < 8; ++i) nonce_[4 + i] = static_cast<uint8_t>(counter_ >> 8 * i);
    return nonce_;
  }
  EVP_CIPHER_CTX* context_;
  uint64_t counter_ = 0;
  uint8_t nonce_[12] = {};
};

double NsPerPacket(
    const std::function<void()>& burst, const std::function<void()>& before = [] {}) {
  std::chrono::steady_clock::duration spent{};
  for (int i = 0; i < kBursts; ++i) {
    before();
    const auto begin = std::chrono::steady_clock::now();
    burst();
    spent += std::chrono::steady_clock::now() - begin;
  }
  return std::chrono::duration<double, std::nano>(spent).count() / (kBursts * kBurst);
}

double Median(std::vector<double>& values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

int Main() {
  testing::FakeClock clock;
  Sink sinks[2];
  std::unique_ptr<Device> devices[2];
  for (int i = 0; i < 2; ++i) {
    DeviceOptions options;
    options.private_key.data()[1] = static_cast<uint8_t>(1 + i);  // X25519 clears the lowest bits
    devices[i] = Device::Create(options, clock, SystemRandom(), sinks[i]).value();
  }
  const int64_t now = clock.MonotonicNs();
  const auto at = [](int i) { return Endpoint{.address = IpAddress::FromV4(0x7f000001), .port = uint16_t(i + 1)}; };
  for (int i = 0; i < 2; ++i) {
    CHECK(devices[i]
              ->SetPeer({.public_key = devices[1 - i]->public_key(),
                         .endpoint = at(1 - i),
                         .allowed_ips = {IpPrefix(IpAddress::FromV4(0x0a000001u + (1 - i)), 32)}},
                        now)
              .ok());
  }
  std::vector<uint8_t> packet(kPacketBytes);
  const uint8_t header[20] = {
      0x45, 0, kPacketBytes >> 8, kPacketBytes & 0xff, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
  std::copy(std::begin(header), std::end(header), packet.begin());
  SendBatch batch;
  CHECK(devices[0]->Seal(packet, batch, now) == SealResult::kStaged);
  for (int turn = 0; turn < 4; ++turn) {
    const int i = turn % 2;
    for (auto& one : std::exchange(sinks[i].sent, {})) devices[1 - i]->ReceiveOne(at(i), absl::MakeSpan(one), now);
  }

  const auto seal_burst = [&] {
    batch.Clear();
    for (size_t i = 0; i < kBurst; ++i) CHECK(devices[0]->Seal(packet, batch, now) == SealResult::kSealed);
  };
  std::vector<uint8_t> received;
  const auto arrive = [&] {
    seal_burst();
    received.assign(batch.bytes().begin(), batch.bytes().end());
  };
  const auto open_burst = [&] { devices[1]->Receive(at(0), absl::MakeSpan(received), batch.segment_bytes(), now); };
  constexpr size_t kSealedBytes = kPacketBytes + 16;
  std::vector<uint8_t> out(kBurst * kSealedBytes);
  BareCipher sealer(true), opener(false), source(true);
  const auto bare_seal = [&] {
    for (size_t i = 0; i < kBurst; ++i) sealer.Seal(packet.data(), out.data() + i * kSealedBytes);
  };
  const auto bare_arrive = [&] {
    for (size_t i = 0; i < kBurst; ++i) source.Seal(packet.data(), out.data() + i * kSealedBytes);
  };
  const auto bare_open = [&] {
    for (size_t i = 0; i < kBurst; ++i) CHECK(opener.Open(out.data() + i * kSealedBytes));
  };

  std::vector<double> seal, open, evp_seal, evp_open, seal_ratio, open_ratio;
  for (int round = 0; round < kRounds; ++round) {
    evp_seal.push_back(NsPerPacket(bare_seal));
    seal.push_back(NsPerPacket(seal_burst));
    evp_open.push_back(NsPerPacket(bare_open, bare_arrive));
    open.push_back(NsPerPacket(open_burst, arrive));
    seal_ratio.push_back(seal.back() / evp_seal.back());
    open_ratio.push_back(open.back() / evp_open.back());
  }
  CHECK_EQ(devices[1]->counters().of(ReceiveResult::kDelivered), uint64_t{kRounds} * kBursts * kBurst + 1);
  std::printf("cipher, %s\n", Aead::Name(Aead::Best()));
  std::printf("evp seal, %.0f, 1\n", Median(evp_seal));
  std::printf("engine seal, %.0f, %.2f\n", Median(seal), Median(seal_ratio));
  std::printf("evp open, %.0f, 1\n", Median(evp_open));
  std::printf("engine open, %.0f, %.2f\n", Median(open), Median(open_ratio));
  return 0;
}

}  // namespace
}  // namespace lattice::wireguard

int main(int, char** argv) {
  google::InitGoogleLogging(argv[0]);
  return lattice::wireguard::Main();
}
