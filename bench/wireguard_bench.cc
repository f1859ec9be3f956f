// What a packet of 1,420 bytes costs in the WireGuard engine, per direction, against a bare EVP cipher. Prints
//   figure, value, bar, aim, met|short
// and after "#" what it is made of; exit status 1 when a bar is missed. The engine's figure is all of a packet's way:
// route, counter, header, padding, timers; and back: index, window, allowed IPs, delivery. Sealed as the driver does
// it, 44 segments in one buffer. Medians over rounds in which the engine and the cipher are neighbours in time.
#include <openssl/evp.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "tests/testing/fake_clock.h"
#include "userspace/wireguard/device.h"

namespace {
uint64_t g_allocations = 0;
}  // namespace

// That no packet costs an allocation is a promise of the engine, and is held to here.
void* operator new(size_t size) {
  ++g_allocations;
  void* const place = std::malloc(size);
  CHECK(place != nullptr);
  return place;
}
void operator delete(void* place) noexcept {
  std::free(place);
}
void operator delete(void* place, size_t) noexcept {
  std::free(place);
}

namespace lattice::wireguard {
namespace {

constexpr double kBar = 1.2, kAim = 1.1;
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

int64_t ThreadCpuNs() {
  timespec now{};
  PCHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

double NsPerPacket(
    const std::function<void()>& burst, const std::function<void()>& before = [] {}) {
  int64_t spent_ns = 0;
  for (int i = 0; i < kBursts; ++i) {
    before();
    const uint64_t allocations = g_allocations;
    const int64_t begin_ns = ThreadCpuNs();
    burst();
    spent_ns += ThreadCpuNs() - begin_ns;
    CHECK_EQ(g_allocations, allocations);
  }
  return static_cast<double>(spent_ns) / (kBursts * static_cast<double>(kBurst));
}

double Median(std::vector<double>& values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

Endpoint At(size_t i) {
  return {.address = IpAddress::FromV4(0x7f000001), .port = static_cast<uint16_t>(i + 1)};
}

// Two devices with a session: the first seals, the second opens.
class Engine {
 public:
  Engine() {
    for (size_t i = 0; i < 2; ++i) {
      DeviceOptions options;
      options.private_key.data()[1] = static_cast<uint8_t>(1 + i);  // X25519 clears the lowest bits
      devices_[i] = Device::Create(options, clock_, SystemRandom(), sinks_[i]).value();
    }
    for (size_t i = 0; i < 2; ++i) {
      const absl::Status set = devices_[i]->SetPeer(
          {.public_key = devices_[1 - i]->public_key(),
           .endpoint = At(1 - i),
           .allowed_ips = {IpPrefix(IpAddress::FromV4(0x0a000002u - static_cast<uint32_t>(i)), 32)}},
          now_ns_);
      CHECK(set.ok()) << set;
    }
    const uint8_t header[20] = {
        0x45, 0, kPacketBytes >> 8, kPacketBytes & 0xff, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
    std::copy(std::begin(header), std::end(header), packet.begin());
    CHECK(devices_[0]->Seal(packet, batch_, now_ns_) == SealResult::kStaged);
    for (size_t turn = 0; turn < 4; ++turn) {
      const size_t i = turn % 2;
      for (auto& one : std::exchange(sinks_[i].sent, {})) {
        devices_[1 - i]->ReceiveOne(At(i), absl::MakeSpan(one), now_ns_);
      }
    }
  }

  void Seal() {
    batch_.Clear();
    for (size_t i = 0; i < kBurst; ++i) CHECK(devices_[0]->Seal(packet, batch_, now_ns_) == SealResult::kSealed);
  }
  void Arrive() {
    Seal();
    received_.assign(batch_.bytes().begin(), batch_.bytes().end());
  }
  void Open() { devices_[1]->Receive(At(0), absl::MakeSpan(received_), batch_.segment_bytes(), now_ns_); }
  uint64_t delivered() const { return devices_[1]->counters().of(ReceiveResult::kDelivered); }

  std::vector<uint8_t> packet = std::vector<uint8_t>(kPacketBytes);

 private:
  testing::FakeClock clock_;
  const int64_t now_ns_ = clock_.MonotonicNs();
  Sink sinks_[2];
  std::unique_ptr<Device> devices_[2];
  SendBatch batch_;
  std::vector<uint8_t> received_;
};

// The same bursts by the cipher alone.
class Bare {
 public:
  explicit Bare(const std::vector<uint8_t>& packet) : packet_(packet) {}
  void Seal() { SealBy(sealer_); }
  void Arrive() { SealBy(source_); }
  void Open() {
    for (size_t i = 0; i < kBurst; ++i) CHECK(opener_.Open(out_.data() + i * kSealedBytes));
  }

 private:
  static constexpr size_t kSealedBytes = kPacketBytes + 16;
  void SealBy(BareCipher& cipher) {
    for (size_t i = 0; i < kBurst; ++i) cipher.Seal(packet_.data(), out_.data() + i * kSealedBytes);
  }
  const std::vector<uint8_t>& packet_;
  std::vector<uint8_t> out_ = std::vector<uint8_t>(kBurst * kSealedBytes);
  BareCipher sealer_{true}, source_{true}, opener_{false};
};

int Main() {
  Engine engine;
  Bare bare(engine.packet);
  std::vector<double> seal, open, evp_seal, evp_open, seal_ratio, open_ratio;
  for (int round = 0; round < kRounds; ++round) {
    evp_seal.push_back(NsPerPacket([&] { bare.Seal(); }));
    seal.push_back(NsPerPacket([&] { engine.Seal(); }));
    evp_open.push_back(NsPerPacket([&] { bare.Open(); }, [&] { bare.Arrive(); }));
    open.push_back(NsPerPacket([&] { engine.Open(); }, [&] { engine.Arrive(); }));
    seal_ratio.push_back(seal.back() / evp_seal.back());
    open_ratio.push_back(open.back() / evp_open.back());
  }
  CHECK_EQ(engine.delivered(), uint64_t{kRounds} * kBursts * kBurst + 1);
  bool met = true;
  const auto print = [&](const char* figure, double ratio, double by_engine, double by_evp) {
    met = met && ratio <= kBar;
    std::printf("%s, %.2f, %.1f, %.1f, %s\n", figure, ratio, kBar, kAim, ratio <= kBar ? "met" : "short");
    std::printf("# %.0f ns by the engine (%s), %.0f ns by EVP\n", by_engine, Aead::Name(Aead::Best()), by_evp);
  };
  print("seal a packet in the engine / bare EVP seal", Median(seal_ratio), Median(seal), Median(evp_seal));
  print("open a packet in the engine / bare EVP open", Median(open_ratio), Median(open), Median(evp_open));
  return met ? 0 : 1;
}

}  // namespace
}  // namespace lattice::wireguard

int main(int, char** argv) {
  google::InitGoogleLogging(argv[0]);
  return lattice::wireguard::Main();
}
