#include "userspace/wireguard/aead.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/seed.h"
#include "userspace/wireguard/aead_assembly.h"

namespace lattice::wireguard {
namespace {

// Of EVP always, of the assembly where this build has it.
class AeadTest : public ::testing::TestWithParam<Aead::Cipher> {
 protected:
  AeadTest() : random_(testing::TestSeed()) {
    for (size_t i = 0; i < key_.size(); ++i) key_.data()[i] = static_cast<uint8_t>(random_());
  }
  std::vector<uint8_t> RandomBytes(size_t size) {
    std::vector<uint8_t> bytes(size);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random_());
    return bytes;
  }

  std::mt19937_64 random_;
  SymmetricKey key_;
};

// The one-shot cipher of another library, whose vectors are tested, seals the same; over all ends of blocks of 16, 64
// and 512 bytes, with padding and without, from elsewhere and in place.
TEST_P(AeadTest, SealsAsTheOtherLibraryDoes) {
  Aead aead(key_, Aead::Direction::kSeal, GetParam());
  for (size_t size = 0; size < 1600; size += 1 + random_() % 7) {
    const size_t zeros = random_() % 16;
    const uint64_t counter = random_();
    const std::vector<uint8_t> plain = RandomBytes(size);
    std::vector<uint8_t> padded = plain;
    padded.resize(size + zeros);
    std::vector<uint8_t> want(size + zeros + kTagBytes), got = RandomBytes(size + zeros + kTagBytes);
    SealOnce(key_, counter, {}, padded, want.data());
    aead.Seal(counter, plain, zeros, got.data());
    ASSERT_EQ(got, want) << size << " + " << zeros;
    std::copy(plain.begin(), plain.end(), got.begin());
    aead.Seal(counter, {got.data(), size}, zeros, got.data());
    ASSERT_EQ(got, want) << "in place, " << size << " + " << zeros;
  }
}

TEST_P(AeadTest, OpensWhatWasSealedInPlace) {
  Aead aead(key_, Aead::Direction::kOpen, GetParam());
  for (size_t size = 0; size < 1600; size += 1 + random_() % 7) {
    const uint64_t counter = random_();
    const std::vector<uint8_t> plain = RandomBytes(size);
    std::vector<uint8_t> sealed(size + kTagBytes);
    SealOnce(key_, counter, {}, plain, sealed.data());
    ASSERT_TRUE(aead.Open(counter, absl::MakeSpan(sealed))) << size;
    sealed.resize(size);
    ASSERT_EQ(sealed, plain);
  }
}

TEST_P(AeadTest, RefusesAnyChangedBitAndAnotherCounter) {
  Aead aead(key_, Aead::Direction::kOpen, GetParam());
  for (const size_t size : {0u, 1u, 16u, 100u, 600u}) {
    std::vector<uint8_t> sealed(size + kTagBytes);
    SealOnce(key_, 7, {}, RandomBytes(size), sealed.data());
    for (size_t bit = 0; bit < sealed.size() * 8; bit += 1 + random_() % 5) {
      std::vector<uint8_t> forged = sealed;
      forged[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      ASSERT_FALSE(aead.Open(7, absl::MakeSpan(forged))) << size << " bytes, bit " << bit;
    }
    std::vector<uint8_t> copy = sealed;
    EXPECT_FALSE(aead.Open(8, absl::MakeSpan(copy)));
    EXPECT_TRUE(aead.Open(7, absl::MakeSpan(sealed)));
  }
}

std::vector<Aead::Cipher> Ciphers() {
  std::vector<Aead::Cipher> ciphers = {Aead::Cipher::kEvp};
  if (Aead::Best() == Aead::Cipher::kAssembly) ciphers.push_back(Aead::Cipher::kAssembly);
  return ciphers;
}

INSTANTIATE_TEST_SUITE_P(Each, AeadTest, ::testing::ValuesIn(Ciphers()),
                         [](const auto& test) { return Aead::Name(test.param); });

TEST(AeadChoice, IsTheAssemblyWhereItIsBuilt) {
  EXPECT_TRUE(Aead::Ready().ok());
  EXPECT_EQ(Aead::Best() == Aead::Cipher::kAssembly, assembly::Built()) << "built, and EVP disagrees with it";
}

}  // namespace
}  // namespace lattice::wireguard
