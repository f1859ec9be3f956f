#include "userspace/sandbox/dns_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/testing/dns_answer.h"

namespace lattice::sandbox {
namespace {

using testing::DnsAnswerBuilder;
using ::testing::ElementsAre;
using ::testing::SizeIs;
using Kind = DnsAnswer::Kind;

const DnsQuestion kQuestion{.id = 0x1234, .name = "api.example.com", .type = kDnsA};
const IpAddress kFirst = IpAddress::FromV4({192, 0, 2, 1}), kSecond = IpAddress::FromV4({192, 0, 2, 2});
const IpAddress kV6 = *IpAddress::Parse("2001:db8::1");

std::optional<DnsAnswer> Read(const DnsAnswerBuilder& builder, const DnsQuestion& question = kQuestion) {
  return ReadDnsAnswer(builder.Message(), question);
}
DnsAnswerBuilder Answer(int code = 0) {
  return DnsAnswerBuilder(kQuestion, code);
}

TEST(HostNameTest, IsOfLabels) {
  EXPECT_EQ(*HostName("API.Example.com."), "api.example.com");
  EXPECT_EQ(*HostName("a"), "a");
  EXPECT_EQ(*HostName("_srv.x-1.example"), "_srv.x-1.example");
  EXPECT_EQ(*HostName("1.2.3.in-addr.arpa"), "1.2.3.in-addr.arpa");
  const std::string label(63, 'a');
  const std::string longest = absl::StrCat(label, ".", label, ".", label, ".", std::string(61, 'a'));
  ASSERT_THAT(longest, SizeIs(253));
  EXPECT_EQ(*HostName(longest), longest);
  for (const std::string& text :
       {std::string(), std::string("."), std::string(".a"), std::string("a..b"), std::string("a.."), std::string("-a"),
        std::string("a-.b"), std::string("a b"), std::string("a\0b", 3), std::string("a/b"), std::string("\xc3\xa9.fr"),
        std::string("192.0.2.1"), std::string("a.1"), std::string("2001:db8::1"), label + "a", longest + "a"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(HostName(text).status())) << text;
  }
}

TEST(DnsQueryMessage, IsAsRfc1035Says) {
  EXPECT_THAT(MakeDnsQuery({.id = 0x1234, .name = "ab.c", .type = kDnsAaaa}),
              ElementsAre(0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 'a', 'b', 1, 'c', 0, 0, 28, 0, 1));
}

TEST(DnsAnswerMessage, HasAddressesAndTheShortestTtl) {
  const auto answer = Read(Answer().Address("api.example.com", kFirst, 300).Address("API.example.COM", kSecond, 60));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->kind, Kind::kAddresses);
  EXPECT_THAT(answer->addresses, ElementsAre(kFirst, kSecond));
  EXPECT_EQ(answer->ttl_s, 60u);
}

TEST(DnsAnswerMessage, OfTheTypeThatWasAskedForOnly) {
  DnsQuestion question = kQuestion;
  question.type = kDnsAaaa;
  const auto answer = Read(
      DnsAnswerBuilder(question).Address("api.example.com", kFirst, 1).Address("api.example.com", kV6, 5), question);
  ASSERT_TRUE(answer.has_value());
  EXPECT_THAT(answer->addresses, ElementsAre(kV6));
  EXPECT_EQ(answer->ttl_s, 5u);
}

TEST(DnsAnswerMessage, FollowsAliasesInAnyOrder) {
  const auto answer = Read(Answer()
                               .Address("c.example.com", kFirst, 300)
                               .Alias("b.example.com", "c.example.com", 20)
                               .Alias("api.example.com", "B.example.com", 100));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->kind, Kind::kAddresses);
  EXPECT_THAT(answer->addresses, ElementsAre(kFirst));
  EXPECT_EQ(answer->ttl_s, 20u);
}

TEST(DnsAnswerMessage, AnAddressOfAnotherNameIsNone) {
  const auto answer = Read(Answer().Address("evil.example.com", kFirst, 300));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->kind, Kind::kNoAddress);
  EXPECT_EQ(answer->ttl_s, 0u);
}

TEST(DnsAnswerMessage, AnAliasToItselfEnds) {
  const auto answer =
      Read(Answer().Alias("api.example.com", "b.example.com", 9).Alias("b.example.com", "api.example.com", 9));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->kind, Kind::kNoAddress);
}

TEST(DnsAnswerMessage, NegativeOnesAreKeptByTheZonesSoa) {
  for (const auto& [ttl, minimum] : {std::pair(600, 60), std::pair(60, 600)}) {
    const auto none = Read(Answer(3).Soa("example.com", ttl, minimum));
    ASSERT_TRUE(none.has_value());
    EXPECT_EQ(none->kind, Kind::kNoName);
    EXPECT_EQ(none->ttl_s, 60u);
    const auto no_address = Read(Answer().Soa("example.com", ttl, minimum));
    ASSERT_TRUE(no_address.has_value());
    EXPECT_EQ(no_address->kind, Kind::kNoAddress);
    EXPECT_EQ(no_address->ttl_s, 60u);
  }
  EXPECT_EQ(Read(Answer(3))->ttl_s, 0u);
}

TEST(DnsAnswerMessage, ATtlWithItsHighestBitIsNone) {
  EXPECT_EQ(Read(Answer().Address("api.example.com", kFirst, 0x80000000))->ttl_s, 0u);
}

TEST(DnsAnswerMessage, ErrorsAndTruncation) {
  EXPECT_EQ(Read(Answer(2))->kind, Kind::kFailure);
  EXPECT_EQ(Read(Answer(5))->kind, Kind::kFailure);
  EXPECT_EQ(Read(Answer().Address("api.example.com", kFirst, 1).Truncated())->kind, Kind::kTruncated);
  std::vector<uint8_t> cut = Answer().Address("api.example.com", kFirst, 1).Truncated().Message();
  cut.resize(cut.size() - 3);  // as servers do
  EXPECT_EQ(ReadDnsAnswer(cut, kQuestion)->kind, Kind::kTruncated);
}

TEST(DnsAnswerMessage, OfAnotherQuestionIsNoAnswer) {
  const std::vector<uint8_t> good = Answer().Address("api.example.com", kFirst, 1).Message();
  ASSERT_TRUE(ReadDnsAnswer(good, kQuestion).has_value());
  DnsQuestion other = kQuestion;
  other.id ^= 1;
  EXPECT_FALSE(ReadDnsAnswer(good, other).has_value());
  other = kQuestion;
  other.name = "apj.example.com";
  EXPECT_FALSE(ReadDnsAnswer(good, other).has_value());
  other = kQuestion;
  other.type = kDnsAaaa;
  EXPECT_FALSE(ReadDnsAnswer(good, other).has_value());
  std::vector<uint8_t> changed = MakeDnsQuery(kQuestion);
  EXPECT_FALSE(ReadDnsAnswer(changed, kQuestion).has_value());  // a query
  changed = good;
  changed[2] |= 0x08;  // another operation
  EXPECT_FALSE(ReadDnsAnswer(changed, kQuestion).has_value());
  changed = good;
  changed[5] = 2;  // questions
  EXPECT_FALSE(ReadDnsAnswer(changed, kQuestion).has_value());
  changed = good;
  changed[12 + 17 + 3] = 3;  // class
  EXPECT_FALSE(ReadDnsAnswer(changed, kQuestion).has_value());
}

// Wherever it is cut, it is no answer or a failure; no byte beyond is read (ASan).
TEST(DnsAnswerMessage, CutAnywhereItIsNone) {
  const std::vector<uint8_t> whole =
      Answer().Alias("api.example.com", "b.example.com", 5).Address("b.example.com", kFirst, 1).Message();
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(bytes));
    const auto answer = ReadDnsAnswer(cut, kQuestion);
    EXPECT_TRUE(!answer.has_value() || answer->kind == Kind::kFailure) << bytes;
  }
}

TEST(DnsAnswerMessage, AnAddressOfAnotherLengthIsAFailure) {
  EXPECT_EQ(Read(Answer().Raw("api.example.com", kDnsA, 5, {1, 2, 3}))->kind, Kind::kFailure);
  EXPECT_EQ(Read(Answer().Raw("api.example.com", kDnsAaaa, 5, {1, 2, 3, 4}))->kind, Kind::kFailure);
}

TEST(DnsAnswerMessage, HasABound) {
  DnsAnswerBuilder builder = Answer();
  for (uint8_t i = 0; i < 100; ++i) builder.Address("api.example.com", IpAddress::FromV4({192, 0, 2, i}), 1);
  EXPECT_THAT(Read(builder)->addresses, SizeIs(kMaxDnsAddresses));
}

}  // namespace
}  // namespace lattice::sandbox
