#include "userspace/wireguard/crypto.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/wireguard/hex.h"
#include "tests/unit/wireguard/reference.h"

namespace lattice::wireguard {
namespace {

template <typename T>
std::string Hex(const T& value) {
  return ToHex({value.data(), value.size()});
}

TEST(Crypto, IsReady) {
  EXPECT_TRUE(CryptoReady().ok()) << CryptoReady();
}

// RFC 7693, appendix B.
TEST(Crypto, Blake2sOfTheRfc) {
  constexpr char kWant[] = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
  EXPECT_EQ(Hex(Blake2s({AsBytes("abc")})), kWant);
  EXPECT_EQ(Hex(Blake2s({AsBytes("a"), {}, AsBytes("bc")})), kWant);
  // The reference that the other tests lean on.
  EXPECT_EQ(ToHex(AsBytes(reference::Blake2s("abc"))), kWant);
}

TEST(Crypto, MacHmacAndKdfAreTheReferences) {
  for (const size_t size : {0u, 1u, 63u, 64u, 65u, 128u, 148u, 1000u}) {
    std::string data, key(32, '\0');
    for (size_t i = 0; i < size; ++i) data.push_back(static_cast<char>(i * 7));
    for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<char>(i + size);
    const Bytes half = AsBytes(data).first(size / 2), rest = AsBytes(data).subspan(size / 2);
    EXPECT_EQ(Hex(Blake2s({half, rest})), ToHex(AsBytes(reference::Blake2s(data))));
    EXPECT_EQ(Hex(Blake2sMac(AsBytes(key), {half, rest})), ToHex(AsBytes(reference::Blake2s(data, 16, key))));
    const std::string short_key = key.substr(0, 16);
    EXPECT_EQ(Hex(Blake2sMac(AsBytes(short_key), {half, rest})),
              ToHex(AsBytes(reference::Blake2s(data, 16, short_key))));
    EXPECT_EQ(Hex(HmacBlake2s(AsBytes(key), {half, rest})), ToHex(AsBytes(reference::Hmac(key, data))));
    SymmetricKey chain = KeyFromHex<SymmetricKey>(ToHex(AsBytes(key)));
    SymmetricKey second, third;
    Kdf(chain, AsBytes(data), {&chain, &second, &third});
    EXPECT_EQ(Hex(chain), ToHex(AsBytes(reference::Kdf(key, data, 1))));
    EXPECT_EQ(Hex(second), ToHex(AsBytes(reference::Kdf(key, data, 2))));
    EXPECT_EQ(Hex(third), ToHex(AsBytes(reference::Kdf(key, data, 3))));
  }
}

// RFC 7748, 5.2 and 6.1.
TEST(Crypto, X25519OfTheRfc) {
  SecretBytes<32> shared;
  ASSERT_TRUE(SharedSecret(KeyFromHex<PrivateKey>("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
                           PointFromHex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"), &shared));
  EXPECT_EQ(Hex(shared), "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  const auto alice = KeyFromHex<PrivateKey>("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  const auto bob = KeyFromHex<PrivateKey>("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
  EXPECT_EQ(Hex(PublicOf(alice).bytes), "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(Hex(PublicOf(bob).bytes), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  for (const auto& [secret, point] : {std::pair(alice, PublicOf(bob)), std::pair(bob, PublicOf(alice))}) {
    ASSERT_TRUE(SharedSecret(secret, point, &shared));
    EXPECT_EQ(Hex(shared), "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
  }
}

TEST(Crypto, PointsOfSmallOrderShareNothing) {
  const auto secret = KeyFromHex<PrivateKey>("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  SecretBytes<32> shared;
  for (const char* point : {"0000000000000000000000000000000000000000000000000000000000000000",
                            "0100000000000000000000000000000000000000000000000000000000000000",
                            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    EXPECT_FALSE(SharedSecret(secret, PointFromHex(point), &shared)) << point;
  }
}

// RFC 8439, A.5.
TEST(Crypto, ChaCha20Poly1305OfTheRfc) {
  const auto key = KeyFromHex<SymmetricKey>("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
  const uint64_t counter = 0x0807060504030201;
  const std::string additional = FromHex("f33388860000000000004e91");
  const std::string plain =
      "Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, or "
      "obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts as reference material or "
      "to cite them other than as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d";
  const std::string sealed = FromHex(
      "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b01"
      "00d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61c186324e2b35"
      "06383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf4534d7f8"
      "3fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a67276"
      "27097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709beead9d67890cbb223923"
      "36fea1851f38");
  std::string out(sealed.size(), '\0');
  auto* const bytes = reinterpret_cast<uint8_t*>(out.data());
  SealOnce(key, counter, AsBytes(additional), AsBytes(plain), bytes);
  EXPECT_EQ(ToHex(AsBytes(out)), ToHex(AsBytes(sealed)));
  ASSERT_TRUE(OpenOnce(key, counter, AsBytes(additional), AsBytes(sealed), bytes));
  EXPECT_EQ(out.substr(0, plain.size()), plain);
  std::string forged = sealed;
  forged[0] ^= 1;
  EXPECT_FALSE(OpenOnce(key, counter, AsBytes(additional), AsBytes(forged), bytes));
  EXPECT_FALSE(OpenOnce(key, counter + 1, AsBytes(additional), AsBytes(sealed), bytes));
  EXPECT_FALSE(OpenOnce(key, counter, AsBytes("other"), AsBytes(sealed), bytes));
}

// draft-irtf-cfrg-xchacha-03, A.3.1.
TEST(Crypto, XChaCha20Poly1305OfTheDraft) {
  const auto key = KeyFromHex<SymmetricKey>("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  const std::string nonce = FromHex("404142434445464748494a4b4c4d4e4f5051525354555657");
  const std::string additional = FromHex("50515253c0c1c2c3c4c5c6c7");
  const std::string plain =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be "
      "it.";
  const std::string sealed = FromHex(
      "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c2"
      "16cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c6"
      "8b13b52ec0875924c1c7987947deafd8780acf49");
  std::string out(sealed.size(), '\0');
  auto* const bytes = reinterpret_cast<uint8_t*>(out.data());
  XSeal(key, AsBytes(nonce).data(), AsBytes(additional), AsBytes(plain), bytes);
  EXPECT_EQ(ToHex(AsBytes(out)), ToHex(AsBytes(sealed)));
  ASSERT_TRUE(XOpen(key, AsBytes(nonce).data(), AsBytes(additional), AsBytes(sealed), bytes));
  EXPECT_EQ(out.substr(0, plain.size()), plain);
  EXPECT_FALSE(XOpen(key, AsBytes(nonce).data(), AsBytes("other"), AsBytes(sealed), bytes));
}

TEST(Crypto, SecretsCompareByValueAndAreZeroedByClear) {
  auto key = KeyFromHex<PrivateKey>("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  PrivateKey copy = key;
  EXPECT_TRUE(copy == key);
  copy.data()[31] ^= 1;
  EXPECT_FALSE(copy == key);
  key.Clear();
  EXPECT_TRUE(key.is_zero());
  EXPECT_FALSE(copy.is_zero());
}

TEST(Crypto, SecretsAreZeroedWhenTheyGo) {
  alignas(PrivateKey) uint8_t place[sizeof(PrivateKey)];
  auto* const key = new (place)
      PrivateKey(KeyFromHex<PrivateKey>("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  ASSERT_NE(place[0], 0);
  key->~PrivateKey();
  EXPECT_THAT(place, ::testing::Each(0));
}

}  // namespace
}  // namespace lattice::wireguard
