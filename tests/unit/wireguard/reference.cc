#include "tests/unit/wireguard/reference.h"

#include <openssl/evp.h>

#include <array>
#include <cstring>

#include "glog/logging.h"

namespace lattice::wireguard::reference {
namespace {

constexpr std::array<uint32_t, 8> kIv = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                         0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};
constexpr uint8_t kSigma[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

uint32_t RotateRight(uint32_t x, int n) {
  return x >> n | x << (32 - n);
}

void Compress(std::array<uint32_t, 8>& h, const std::string& block, uint64_t count, bool last) {
  std::array<uint32_t, 16> m, v;
  for (int i = 0; i < 16; ++i) {
    m[i] = 0;
    for (int j = 0; j < 4; ++j) m[i] |= uint32_t{static_cast<uint8_t>(block[4 * i + j])} << 8 * j;
  }
  for (int i = 0; i < 8; ++i) v[i] = h[i], v[i + 8] = kIv[i];
  v[12] ^= static_cast<uint32_t>(count);
  v[13] ^= static_cast<uint32_t>(count >> 32);
  if (last) v[14] = ~v[14];
  const auto mix = [&](int a, int b, int c, int d, uint32_t x, uint32_t y) {
    v[a] += v[b] + x;
    v[d] = RotateRight(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = RotateRight(v[b] ^ v[c], 12);
    v[a] += v[b] + y;
    v[d] = RotateRight(v[d] ^ v[a], 8);
    v[c] += v[d];
    v[b] = RotateRight(v[b] ^ v[c], 7);
  };
  for (const auto& s : kSigma) {
    for (int i = 0; i < 4; ++i) mix(i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
    for (int i = 0; i < 4; ++i) {
      mix(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
    }
  }
  for (int i = 0; i < 8; ++i) h[i] ^= v[i] ^ v[i + 8];
}

std::string Le32Text(uint32_t value) {
  std::string text;
  for (int i = 0; i < 4; ++i) text.push_back(static_cast<char>(value >> 8 * i));
  return text;
}

std::string WithMacs(std::string message, const std::string& receiver) {
  message += Blake2s(message, 16, Blake2s("mac1----" + receiver));
  return message + std::string(16, '\0');
}

}  // namespace

std::string Blake2s(const std::string& data, size_t out_bytes, const std::string& key) {
  std::array<uint32_t, 8> h = kIv;
  h[0] ^= 0x01010000 ^ static_cast<uint32_t>(key.size() << 8) ^ static_cast<uint32_t>(out_bytes);
  std::string all = data;
  if (!key.empty()) all = key + std::string(64 - key.size(), '\0') + data;
  size_t at = 0;
  for (; all.size() - at > 64; at += 64) Compress(h, all.substr(at, 64), at + 64, false);
  const std::string rest = all.substr(at);
  Compress(h, rest + std::string(64 - rest.size(), '\0'), all.size(), true);
  std::string out;
  for (const uint32_t word : h) out += Le32Text(word);
  return out.substr(0, out_bytes);
}

std::string Hmac(const std::string& key, const std::string& data) {
  std::string inner(64, '\x36'), outer(64, '\x5c');
  for (size_t i = 0; i < key.size(); ++i) {
    inner[i] = static_cast<char>(inner[i] ^ key[i]);
    outer[i] = static_cast<char>(outer[i] ^ key[i]);
  }
  return Blake2s(outer + Blake2s(inner + data));
}

std::string Kdf(const std::string& key, const std::string& input, int n) {
  const std::string secret = Hmac(key, input);
  std::string output;
  for (int i = 1; i <= n; ++i) output = Hmac(secret, output + static_cast<char>(i));
  return output;
}

std::string Dh(const std::string& secret, const std::string& point) {
  const auto* secret_bytes = reinterpret_cast<const uint8_t*>(secret.data());
  const auto* point_bytes = reinterpret_cast<const uint8_t*>(point.data());
  EVP_PKEY* const key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, secret_bytes, 32);
  EVP_PKEY* const peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, point_bytes, 32);
  EVP_PKEY_CTX* const context = EVP_PKEY_CTX_new(key, nullptr);
  std::string shared(32, '\0');
  size_t size = shared.size();
  CHECK_EQ(EVP_PKEY_derive_init(context), 1);
  CHECK_EQ(EVP_PKEY_derive_set_peer(context, peer), 1);
  CHECK_EQ(EVP_PKEY_derive(context, reinterpret_cast<uint8_t*>(shared.data()), &size), 1);
  EVP_PKEY_CTX_free(context);
  EVP_PKEY_free(peer);
  EVP_PKEY_free(key);
  return shared;
}

std::string Public(const std::string& secret) {
  std::string base(32, '\0');
  base[0] = 9;
  return Dh(secret, base);
}

std::string Seal(const std::string& key, uint64_t counter, const std::string& plain, const std::string& additional) {
  const std::string nonce =
      std::string(4, '\0') + Le32Text(static_cast<uint32_t>(counter)) + Le32Text(static_cast<uint32_t>(counter >> 32));
  std::string out(plain.size() + 16, '\0');
  const auto bytes = [](const std::string& text) { return reinterpret_cast<const uint8_t*>(text.data()); };
  auto* const to = reinterpret_cast<uint8_t*>(out.data());
  EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
  int n = 0;
  CHECK_EQ(EVP_EncryptInit_ex(context, EVP_chacha20_poly1305(), nullptr, bytes(key), bytes(nonce)), 1);
  CHECK_EQ(EVP_EncryptUpdate(context, nullptr, &n, bytes(additional), static_cast<int>(additional.size())), 1);
  CHECK_EQ(EVP_EncryptUpdate(context, to, &n, bytes(plain), static_cast<int>(plain.size())), 1);
  CHECK_EQ(EVP_EncryptFinal_ex(context, to + plain.size(), &n), 1);
  CHECK_EQ(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, to + plain.size()), 1);
  EVP_CIPHER_CTX_free(context);
  return out;
}

Outputs Handshake(const Inputs& in) {
  const std::string initiator = Public(in.initiator_secret), responder = Public(in.responder_secret);
  const std::string initiator_point = Public(in.initiator_ephemeral);
  const std::string responder_point = Public(in.responder_ephemeral);
  Outputs out;

  std::string c = Blake2s("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s");
  std::string h = Blake2s(Blake2s(c + "WireGuard v1 zx2c4 Jason@zx2c4.com") + responder);
  c = Kdf(c, initiator_point, 1);
  h = Blake2s(h + initiator_point);
  std::string shared = Dh(in.initiator_ephemeral, responder);
  std::string k = Kdf(c, shared, 2);
  c = Kdf(c, shared, 1);
  const std::string sealed_static = Seal(k, 0, initiator, h);
  h = Blake2s(h + sealed_static);
  shared = Dh(in.initiator_secret, responder);
  k = Kdf(c, shared, 2);
  c = Kdf(c, shared, 1);
  const std::string sealed_timestamp = Seal(k, 0, in.timestamp, h);
  h = Blake2s(h + sealed_timestamp);
  out.initiation = WithMacs(
      Le32Text(1) + Le32Text(in.initiator_index) + initiator_point + sealed_static + sealed_timestamp, responder);

  c = Kdf(c, responder_point, 1);
  h = Blake2s(h + responder_point);
  c = Kdf(c, Dh(in.responder_ephemeral, initiator_point), 1);
  c = Kdf(c, Dh(in.responder_ephemeral, initiator), 1);
  const std::string t = Kdf(c, in.preshared, 2);
  k = Kdf(c, in.preshared, 3);
  c = Kdf(c, in.preshared, 1);
  h = Blake2s(h + t);
  out.response = WithMacs(
      Le32Text(2) + Le32Text(in.responder_index) + Le32Text(in.initiator_index) + responder_point + Seal(k, 0, "", h),
      initiator);
  out.initiator_sends = Kdf(c, "", 1);
  out.responder_sends = Kdf(c, "", 2);
  return out;
}

}  // namespace lattice::wireguard::reference
