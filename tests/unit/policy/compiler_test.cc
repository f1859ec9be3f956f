#include "userspace/policy/compiler.h"

#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "userspace/policy/judge.h"
#include "userspace/policy/table_walk.h"

namespace lattice::policy {
namespace {

using ::testing::HasSubstr;

std::vector<uint32_t> SlotsOf(const std::vector<Rule>& rules) {
  std::vector<uint32_t> slots(rules.size());
  std::iota(slots.begin(), slots.end(), 0);
  return slots;
}

absl::StatusOr<CompiledPolicy> CompileWith(const RuleSet& rules, const CompileOptions& options) {
  return Compile(rules, SlotsOf(rules.egress), SlotsOf(rules.ingress), 5, options);
}

CompiledPolicy Compiled(const RuleSet& rules) {
  auto policy = CompileWith(rules, {});
  EXPECT_TRUE(policy.ok()) << policy.status();
  return *std::move(policy);
}

lat_policy_header HeaderOf(const CompiledPolicy& policy) {
  lat_policy_header header;
  std::memcpy(&header, policy.words.data(), sizeof(header));
  return header;
}

IpAddress Address(const std::string& text) {
  return IpAddress::Parse(text).value();
}

// The table and the judge on this egress packet.
void ExpectAsJudge(const RuleSet& rules, const CompiledPolicy& policy, const IpAddress& remote, uint8_t protocol,
                   std::optional<uint16_t> port) {
  const Decision want = Judge(rules, LAT_EGRESS, remote, protocol, port);
  const TableDecision got = WalkTable(policy, LAT_EGRESS, remote, protocol, port);
  ASSERT_EQ(got.allow, want.allow) << remote.ToString() << " " << int{protocol} << " " << port.value_or(0);
  ASSERT_EQ(got.rule, want.rule.has_value() ? *want.rule + 1 : 0) << remote.ToString() << " " << port.value_or(0);
}

TEST(Compiler, FillsTheHeader) {
  const CompiledPolicy policy = Compiled({.egress = {ParseRule("10.0.0.0/8", nullptr).value()}});
  const lat_policy_header header = HeaderOf(policy);
  EXPECT_EQ(header.magic, LAT_POLICY_MAGIC);
  EXPECT_EQ(header.generation, 5u);
  EXPECT_EQ(header.flags, 0u);
  EXPECT_EQ(header.words, policy.words.size());
  EXPECT_EQ(policy.words.size() % LAT_UNIT_WORDS, 0u);
  EXPECT_EQ(policy.blocks(), 1u);
  EXPECT_EQ(policy.stats.bytes, LAT_BLOCK_BYTES);
  EXPECT_STREQ(policy.stats.lookup(), "flat");
}

TEST(Compiler, ATableOfZerosDeniesEverything) {
  CompiledPolicy policy;
  policy.words.resize(LAT_UNIT_WORDS);
  for (const char* remote : {"192.0.2.1", "2001:db8::1"}) {
    for (const lat_direction direction : {LAT_EGRESS, LAT_INGRESS}) {
      EXPECT_EQ(WalkTable(policy, direction, Address(remote), 6, 443), TableDecision{});
    }
  }
}

TEST(Compiler, ABrokenTableDeniesAndEnds) {
  CompiledPolicy policy;
  policy.words.resize(4 * LAT_UNIT_WORDS);
  lat_policy_header header{};
  // A mask node whose match and miss are itself, and a stride node outside of the table.
  header.root4[LAT_EGRESS] = LAT_NODE | LAT_NODE_MASK | 2;
  header.root6[LAT_EGRESS] = LAT_NODE | 1000;
  std::memcpy(policy.words.data(), &header, sizeof(header));
  policy.words[LAT_UNIT_WORDS + 2] = header.root4[LAT_EGRESS];
  policy.words[LAT_UNIT_WORDS + 3] = header.root4[LAT_EGRESS];
  EXPECT_EQ(WalkTable(policy, LAT_EGRESS, Address("192.0.2.1"), 6, 443), TableDecision{});
  EXPECT_EQ(WalkTable(policy, LAT_EGRESS, Address("2001:db8::1"), 6, 443), TableDecision{});
}

TEST(Compiler, PrefixesWithRulesOfOneShapeShareAClass) {
  RuleSet rules;
  for (int i = 0; i < 1000; ++i) {
    const std::string host = absl::StrCat("10.", i / 256, ".", i % 256, ".0/24");
    rules.egress.push_back(ParseRule(absl::StrCat(host, i % 2 == 0 ? ":443" : ":8000-8100/tcp"), nullptr).value());
  }
  const CompiledPolicy policy = Compiled(rules);
  EXPECT_EQ(policy.stats.prefixes, 1000u);
  EXPECT_EQ(policy.stats.classes, 2u + 2u);  // and the default of each direction
  EXPECT_EQ(WalkTable(policy, LAT_EGRESS, Address("10.3.17.1"), 6, 8050), (TableDecision{true, 3 * 256 + 17 + 1}));
}

TEST(Compiler, KeepsTheOrderOfDisjointDenyRulesForPacketsWithoutPorts) {
  RuleSet rules;
  for (const char* text : {"10.0.0.0/8:80", "11.0.0.0/8:443", "11.0.0.0/8:80"}) {
    rules.egress.push_back(ParseRule(text, nullptr).value());
    rules.egress.back().deny = true;
  }
  const CompiledPolicy policy = Compiled(rules);
  for (const std::optional<uint16_t> port : {std::optional<uint16_t>(80), std::optional<uint16_t>(443), {}}) {
    ExpectAsJudge(rules, policy, Address("10.0.0.1"), 6, port);
    ExpectAsJudge(rules, policy, Address("11.0.0.1"), 6, port);
  }
}

TEST(Compiler, ACrowdedAncestorDoesNotRepeatInEveryLeaf) {
  RuleSet rules;
  for (int i = 0; i < 2000; ++i) {
    rules.egress.push_back(ParseRule(absl::StrCat("0.0.0.0/0:", 10'000 + 2 * i), nullptr).value());
  }
  for (int i = 0; i < 5000; ++i) {
    rules.egress.push_back(ParseRule(absl::StrCat("10.", i / 256, ".", i % 256, ".0/24:443"), nullptr).value());
  }
  const CompiledPolicy policy = Compiled(rules);
  EXPECT_EQ(policy.stats.classes, 2u + 2u);
  EXPECT_EQ(policy.blocks(), 1u);
  ExpectAsJudge(rules, policy, Address("10.1.2.3"), 6, 443);
  ExpectAsJudge(rules, policy, Address("10.1.2.3"), 6, 10'998);
  ExpectAsJudge(rules, policy, Address("10.1.2.3"), 6, 10'999);
  ExpectAsJudge(rules, policy, Address("11.1.2.3"), 6, 13'998);
}

TEST(Compiler, WalksAChainOfEveryLengthInBothFamilies) {
  for (const bool v6 : {false, true}) {
    const int longest = v6 ? 128 : 32;
    const IpAddress inmost = Address(v6 ? "2001:db8:a5a5:5a5a:ffff::1" : "192.0.2.165");
    RuleSet rules;
    for (int length = 0; length <= longest; ++length) {
      Rule rule =
          ParseRule(absl::StrCat(IpPrefix(inmost, length).address().ToString(), "/", length, ":", 1000 + length),
                    nullptr)
              .value();
      rules.egress.push_back(rule);
    }
    const CompiledPolicy policy = Compiled(rules);
    for (int bit = 0; bit <= longest; ++bit) {
      // The address that leaves the chain at this bit.
      std::array<uint8_t, 16> bytes = inmost.bytes();
      const int bit128 = (v6 ? 0 : 96) + bit;
      if (bit < longest) bytes[bit128 / 8] ^= static_cast<uint8_t>(0x80 >> bit128 % 8);
      const IpAddress remote = IpAddress::FromBytes(bytes.data());
      for (int length = 0; length <= longest; ++length) {
        ExpectAsJudge(rules, policy, remote, 6, static_cast<uint16_t>(1000 + length));
      }
    }
  }
}

TEST(Compiler, WalksChainsThatBranchAtEveryByte) {
  RuleSet rules;
  const IpAddress inmost = Address("2001:db8:a5a5:5a5a:1234:5678:9abc:def0");
  for (int byte = 0; byte < 16; ++byte) {
    for (int other = 0; other < 6; ++other) {
      std::array<uint8_t, 16> bytes = inmost.bytes();
      bytes[byte] = static_cast<uint8_t>(bytes[byte] + 7 * other + 1);
      Rule rule;
      rule.prefix = IpPrefix(IpAddress::FromBytes(bytes.data()), std::min(128, 8 * byte + 8 + other % 2 * 4));
      rules.egress.push_back(rule);
    }
  }
  rules.egress.push_back({.prefix = IpPrefix(inmost, 128)});
  const CompiledPolicy policy = Compiled(rules);
  for (const Rule& rule : rules.egress) ExpectAsJudge(rules, policy, rule.prefix.address(), 1, std::nullopt);
}

TEST(Compiler, KeepsEveryPortOfAManyWayTreeApart) {
  RuleSet rules;
  Rule odd = ParseRule("10.0.0.0/8:1", nullptr).value();
  odd.ports.clear();
  for (int port = 1; port < 65536; port += 2) {
    odd.ports.push_back({static_cast<uint16_t>(port), static_cast<uint16_t>(port)});
  }
  rules.egress = {odd, ParseRule("10.0.0.0/8:500-600/udp", nullptr).value()};
  const CompiledPolicy policy = Compiled(rules);
  for (int port = 0; port < 65536; ++port) {
    ExpectAsJudge(rules, policy, Address("10.1.1.1"), 6, static_cast<uint16_t>(port));
    ExpectAsJudge(rules, policy, Address("10.1.1.1"), 17, static_cast<uint16_t>(port));
  }
}

TEST(Compiler, DecidesEveryProtocolNumber) {
  RuleSet rules;
  for (const char* text : {"10.0.0.0/8/0", "10.0.0.0/8/1", "10.0.0.0/8/6", "10.0.0.0/8/47", "10.0.0.0/8/48",
                           "10.0.0.0/8/58", "10.0.0.0/8/255", "2001:db8::/32/1", "2001:db8::/32/58"}) {
    rules.egress.push_back(ParseRule(text, nullptr).value());
  }
  rules.egress[4].deny = true;
  const CompiledPolicy policy = Compiled(rules);
  for (int protocol = 0; protocol < 256; ++protocol) {
    for (const char* remote : {"10.1.1.1", "2001:db8::1"}) {
      ExpectAsJudge(rules, policy, Address(remote), static_cast<uint8_t>(protocol), 443);
      ExpectAsJudge(rules, policy, Address(remote), static_cast<uint8_t>(protocol), std::nullopt);
    }
  }
}

// Hosts so far apart that each takes nodes of its own.
RuleSet SparseRules(int count) {
  RuleSet rules;
  uint32_t address = 1;
  for (int i = 0; i < count; ++i) {
    address = address * 1664525 + 1013904223;
    rules.egress.push_back({.prefix = IpPrefix(IpAddress::FromV4(address & 0x7fffffff), 32)});
  }
  return rules;
}

TEST(Compiler, ReadsNodesOfEveryBlock) {
  const RuleSet rules = SparseRules(60'000);
  const CompiledPolicy policy = Compiled(rules);
  EXPECT_GE(policy.blocks(), 2u);
  for (size_t i = 0; i < rules.egress.size(); i += 7) {
    ASSERT_TRUE(WalkTable(policy, LAT_EGRESS, rules.egress[i].prefix.address(), 6, 1).allow);
  }
}

// Groups of five /32 hosts with a byte between them: a stride node for each group.
RuleSet WastefulRules(int groups) {
  RuleSet rules;
  for (int group = 0; group < groups; ++group) {
    for (int i = 0; i < 5; ++i) {
      const uint32_t address = 0x0a000000u + static_cast<uint32_t>(group) * 256 + 50 * i;
      rules.egress.push_back({.prefix = IpPrefix(IpAddress::FromV4(address), 32)});
    }
  }
  return rules;
}

TEST(Compiler, FallsBackToLpmWhereTheFlatTableIsOverBudget) {
  const RuleSet rules = WastefulRules(10'000);
  const size_t flat_bytes = Compiled(rules).stats.bytes;
  const auto lpm = CompileWith(rules, {.memory_bytes = flat_bytes - 1});
  ASSERT_TRUE(lpm.ok()) << lpm.status();
  EXPECT_STREQ(lpm->stats.lookup(), "lpm");
  EXPECT_LT(lpm->stats.bytes, flat_bytes);
  EXPECT_EQ(HeaderOf(*lpm).flags, uint32_t{LAT_POLICY_LPM});
  EXPECT_EQ(lpm->lpm.size(), 50'000u);
  EXPECT_EQ(lpm->lpm.size(), lpm->stats.prefixes);
  const IpAddress remote = Address("10.0.3.50");
  ExpectAsJudge(rules, *lpm, remote, 6, 443);
  ExpectAsJudge(rules, *lpm, Address("10.0.3.51"), 6, 443);
}

TEST(Compiler, RefusesAPolicyThatFitsInNeitherForm) {
  const RuleSet rules = WastefulRules(10'000);
  for (const size_t memory : {size_t{0}, size_t{LAT_BLOCK_BYTES} - 1, size_t{LAT_BLOCK_BYTES} + 1}) {
    const auto policy = CompileWith(rules, {.memory_bytes = memory});
    ASSERT_EQ(policy.status().code(), absl::StatusCode::kResourceExhausted) << memory;
    EXPECT_THAT(std::string(policy.status().message()), HasSubstr("--policy-memory"));
    EXPECT_THAT(std::string(policy.status().message()), HasSubstr(absl::StrCat("allows ", memory)));
    EXPECT_THAT(std::string(policy.status().message()), ::testing::ContainsRegex("needs [0-9]+ bytes"));
  }
}

TEST(Compiler, TheBudgetThatTheErrorNamesIsEnough) {
  const RuleSet rules = WastefulRules(10'000);
  const auto refused = CompileWith(rules, {.memory_bytes = LAT_BLOCK_BYTES});
  const std::string message(refused.status().message());
  const size_t needed = std::stoul(message.substr(message.find("needs ") + 6));
  EXPECT_TRUE(CompileWith(rules, {.memory_bytes = needed}).ok()) << message;
}

TEST(Compiler, RefusesRulesOutOfForm) {
  RuleSet rules{.egress = {ParseRule("10.0.0.0/8/47", nullptr).value()}};
  rules.egress[0].ports = {{80, 80}};
  EXPECT_EQ(CompileWith(rules, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace lattice::policy
