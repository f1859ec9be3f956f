// The small parts: keys as text, messages by their length, indices, the staged queue, the batch.
#include <set>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/wireguard/hex.h"
#include "tests/unit/wireguard/seeded_random.h"
#include "userspace/wireguard/index_table.h"
#include "userspace/wireguard/key.h"
#include "userspace/wireguard/messages.h"
#include "userspace/wireguard/results.h"
#include "userspace/wireguard/send_batch.h"
#include "userspace/wireguard/staged_queue.h"

namespace lattice::wireguard {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Key, ReadsWhatItPrints) {
  SeededRandom random(1);
  for (int i = 0; i < 100; ++i) {
    PublicKey key;
    random.Fill(absl::MakeSpan(key.bytes));
    EXPECT_EQ(key.ToString().size(), 44u);
    EXPECT_EQ(PublicKey::Parse(key.ToString()).value(), key);
  }
  // `echo YAnz5TF+lXXJte14tji3zlMNftqK3sM6Tc3XrrQ1fWU= | base64 -d | xxd`
  EXPECT_EQ(ToHex(PublicKey::Parse("YAnz5TF+lXXJte14tji3zlMNftqK3sM6Tc3XrrQ1fWU=")->bytes),
            "6009f3e5317e9575c9b5ed78b638b7ce530d7eda8adec33a4dcdd7aeb4357d65");
}

TEST(Key, RefusesAllElse) {
  const std::string good = "YAnz5TF+lXXJte14tji3zlMNftqK3sM6Tc3XrrQ1fWU=";
  for (const std::string& bad :
       {std::string(), good.substr(1), good + "=", good + "\n", " " + good, good.substr(0, 43) + "A",  // no padding
        good.substr(0, 42) + "==",                                                                     // 31 bytes
        good.substr(0, 42) + "V=",                   // bits beyond the 256
        "-" + good.substr(1), "_" + good.substr(1),  // the alphabet of URLs
        std::string("\0", 1) + good.substr(1), good.substr(0, 20) + "=" + good.substr(21)}) {
    EXPECT_FALSE(PublicKey::Parse(bad).ok()) << absl::CEscape(bad);
    const auto secret = PrivateKey::Parse(bad);
    ASSERT_FALSE(secret.ok());
    EXPECT_THAT(std::string(secret.status().message()), HasSubstr("wg genkey"));
    EXPECT_THAT(std::string(secret.status().message()), Not(HasSubstr(good.substr(3, 20))));
    EXPECT_FALSE(PresharedKey::Parse(bad).ok());
  }
}

struct LengthCase {
  const char* name;
  uint32_t type;
  size_t bytes;
  bool good;
};

class MessageLength : public ::testing::TestWithParam<LengthCase> {};

TEST_P(MessageLength, DecidesWithTheType) {
  std::vector<uint8_t> datagram(GetParam().bytes);
  for (size_t i = 0; i < 4 && i < datagram.size(); ++i) datagram[i] = static_cast<uint8_t>(GetParam().type >> 8 * i);
  MessageType type;
  EXPECT_EQ(ClassifyMessage(datagram, &type), GetParam().good);
}

INSTANTIATE_TEST_SUITE_P(
    Named, MessageLength,
    ::testing::Values(LengthCase{"Empty", 1, 0, false}, LengthCase{"ThreeBytes", 1, 3, false},
                      LengthCase{"TypeZero", 0, 148, false}, LengthCase{"Initiation", 1, 148, true},
                      LengthCase{"InitiationShort", 1, 147, false}, LengthCase{"InitiationLong", 1, 149, false},
                      LengthCase{"Response", 2, 92, true}, LengthCase{"ResponseShort", 2, 91, false},
                      LengthCase{"ResponseLong", 2, 148, false}, LengthCase{"CookieReply", 3, 64, true},
                      LengthCase{"CookieReplyShort", 3, 63, false}, LengthCase{"CookieReplyLong", 3, 65, false},
                      LengthCase{"Keepalive", 4, 32, true}, LengthCase{"DataShort", 4, 31, false},
                      LengthCase{"DataLong", 4, 65507, true}, LengthCase{"TypeFive", 5, 148, false},
                      LengthCase{"ReservedBytesSet", 0x00000101, 148, false},
                      LengthCase{"ReservedTopByteSet", 0x01000004, 64, false}),
    [](const auto& test) { return test.param.name; });

TEST(IndexTable, GivesEachIndexOnce) {
  // A generator that repeats itself: what is taken is drawn again.
  class Stubborn : public Random {
   public:
    void Fill(absl::Span<uint8_t> out) override {
      for (uint8_t& byte : out) byte = static_cast<uint8_t>(calls_ / 3);
      ++calls_;
    }

   private:
    int calls_ = 0;
  } random;
  IndexTable table(random);
  std::set<uint32_t> given;
  for (PeerSlot peer = 0; peer < 20; ++peer) {
    const uint32_t index = table.Add(peer);
    EXPECT_TRUE(given.insert(index).second);
    EXPECT_EQ(table.Find(index).peer, peer);
    EXPECT_EQ(table.Find(index).keypair, nullptr);
  }
  EXPECT_EQ(table.size(), 20u);
  table.Remove(*given.begin());
  EXPECT_EQ(table.Find(*given.begin()).peer, kNoPeer);
}

TEST(StagedQueue, DropsTheOldestWhenFull) {
  StagedQueue queue;
  for (size_t i = 0; i < StagedQueue::kMaxPackets; ++i) EXPECT_TRUE(queue.Push({.packet_bytes = i}));
  EXPECT_FALSE(queue.Push({.packet_bytes = 1000}));
  EXPECT_EQ(queue.size(), StagedQueue::kMaxPackets);
  EXPECT_EQ(queue.Pop().packet_bytes, 1u);
  EXPECT_EQ(queue.Clear(), StagedQueue::kMaxPackets - 1);
  EXPECT_TRUE(queue.empty());
}

Endpoint At(uint16_t port) {
  return {.address = IpAddress::FromV4(0x7f000001), .port = port};
}

TEST(SendBatch, TakesEqualSegmentsAndOneShorterLast) {
  SendBatch batch;
  EXPECT_TRUE(batch.empty());
  uint8_t* const first = batch.Reserve(At(1), 1000);
  EXPECT_EQ(batch.Reserve(At(1), 1001), nullptr) << "longer than the first";
  EXPECT_EQ(batch.Reserve(At(2), 1000), nullptr) << "another endpoint";
  EXPECT_EQ(batch.Reserve(At(1), 1000), first + 1000);
  EXPECT_EQ(batch.Reserve(At(1), 500), first + 2000);
  EXPECT_EQ(batch.Reserve(At(1), 500), nullptr) << "after a shorter one";
  EXPECT_EQ(batch.segments(), 3u);
  EXPECT_EQ(batch.segment_bytes(), 1000u);
  EXPECT_EQ(batch.bytes().size(), 2500u);
  EXPECT_EQ(batch.to(), At(1));
  batch.Clear();
  EXPECT_TRUE(batch.empty());
  EXPECT_EQ(batch.Reserve(At(2), 2000), first);
}

TEST(SendBatch, EndsAtItsSegmentsAndBytes) {
  SendBatch batch;
  for (size_t i = 0; i < SendBatch::kMaxSegments; ++i) EXPECT_NE(batch.Reserve(At(1), 1452), nullptr);
  EXPECT_EQ(batch.Reserve(At(1), 1452), nullptr);
  batch.Clear();
  EXPECT_NE(batch.Reserve(At(1), 40'000), nullptr);
  EXPECT_EQ(batch.Reserve(At(1), 40'000), nullptr);
  SendBatch single(1);
  EXPECT_NE(single.Reserve(At(1), 100), nullptr);
  EXPECT_EQ(single.Reserve(At(1), 100), nullptr);
}

TEST(ResultNames, AreDistinctWords) {
  std::set<std::string> names;
  for (size_t i = 0; i < kReceiveResults; ++i) names.insert(std::string(Name(static_cast<ReceiveResult>(i))));
  EXPECT_EQ(names.size(), kReceiveResults);
  names.clear();
  for (size_t i = 0; i < kSealResults; ++i) names.insert(std::string(Name(static_cast<SealResult>(i))));
  EXPECT_EQ(names.size(), kSealResults);
  EXPECT_FALSE(names.contains(""));
}

TEST(EndpointText, HasBracketsForIpv6) {
  EXPECT_EQ((Endpoint{.address = IpAddress::Parse("192.0.2.1").value(), .port = 1}.ToString()), "192.0.2.1:1");
  EXPECT_EQ((Endpoint{.address = IpAddress::Parse("fe80::1").value(), .port = 2, .scope = 3}.ToString()),
            "[fe80::1%3]:2");
}

}  // namespace
}  // namespace lattice::wireguard
