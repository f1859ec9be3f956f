#include "userspace/audit/chain.h"

#include <gtest/gtest.h>

#include <string>

namespace lattice::audit {
namespace {

std::string HashOf(absl::string_view text) {
  Sha256 sha;
  sha.Update(text);
  const auto hex = sha.FinishHex();
  return std::string(hex.begin(), hex.end());
}

TEST(Sha256, MatchesTheTestVectorsOfFips180) {
  EXPECT_EQ(HashOf(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HashOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HashOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256, StartsAnewAfterFinish) {
  Sha256 sha;
  sha.Update("something else");
  sha.FinishHex();
  sha.Update("ab");
  sha.Update("c");
  const auto hex = sha.FinishHex();
  EXPECT_EQ(std::string(hex.begin(), hex.end()), HashOf("abc"));
}

TEST(HashChain, PutsTheHashOfThePreviousHashAndTheLineLast) {
  HashChain chain;
  std::string text = "{\"a\":1}";
  chain.Seal(text, 0);
  const std::string h = HashOf(std::string(kChainStart) + "{\"a\":1}");
  EXPECT_EQ(text, "{\"a\":1,\"h\":\"" + h + "\"}");
  EXPECT_EQ(chain.head(), h);
}

TEST(HashChain, SealsOnlyTheLastLineOfTheText) {
  HashChain chain;
  std::string first = "{\"a\":1}";
  chain.Seal(first, 0);
  std::string both = first + "\n{\"b\":2}";
  const std::string before(chain.head());
  chain.Seal(both, first.size() + 1);
  EXPECT_EQ(both, first + "\n{\"b\":2,\"h\":\"" + HashOf(before + "{\"b\":2}") + "\"}");
}

TEST(SplitSealed, UndoesSeal) {
  HashChain chain;
  std::string line = "{\"a\":1}";
  chain.Seal(line, 0);
  std::string object;
  absl::string_view h;
  ASSERT_TRUE(SplitSealed(line, &object, &h));
  EXPECT_EQ(object, "{\"a\":1}");
  EXPECT_EQ(h, chain.head());
}

TEST(SplitSealed, RefusesOtherEnds) {
  HashChain chain;
  std::string line = "{\"a\":1}";
  chain.Seal(line, 0);
  std::string object;
  absl::string_view h;
  EXPECT_FALSE(SplitSealed("", &object, &h));
  EXPECT_FALSE(SplitSealed("{\"a\":1}", &object, &h));
  EXPECT_FALSE(SplitSealed(line + " ", &object, &h));
  std::string upper = line;
  upper[upper.size() - 3] = 'A';
  EXPECT_FALSE(SplitSealed(upper, &object, &h));
  std::string renamed = line;
  renamed[renamed.size() - 72 + 2] = 'g';
  EXPECT_FALSE(SplitSealed(renamed, &object, &h));
}

}  // namespace
}  // namespace lattice::audit
