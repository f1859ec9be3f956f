// The rule grammar: any text is refused with a message or is a list of rules that print
// and parse back to themselves, and that the compiled tables and the judge read alike.
//
// Each line of the input is a rule list. '!' before it makes its rules deny, '<' makes them
// ingress, '~' changes the default of their direction.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "userspace/policy/compiler.h"
#include "userspace/policy/judge.h"
#include "userspace/policy/rule.h"
#include "userspace/policy/table_walk.h"

using lattice::IpAddress;
using lattice::IpPrefix;
using lattice::policy::CompiledPolicy;
using lattice::policy::Decision;
using lattice::policy::NameIndex;
using lattice::policy::Rule;
using lattice::policy::RuleSet;
using lattice::policy::TableDecision;

namespace {

constexpr size_t kMostRules = 12;  // of each direction: what is probed grows with the square

void CheckPrinted(const Rule& rule) {
  CHECK(CheckRule(rule).ok());
  std::vector<std::string> warnings;
  const auto again = lattice::policy::ParseRule(PrintRule(rule), &warnings);
  CHECK(again.ok()) << again.status();
  CHECK(*again == rule) << PrintRule(rule);
  CHECK(warnings.empty());
}

// Adds the rules of one line, but for those whose name is taken.
void AddLine(absl::string_view line, NameIndex& names, RuleSet& rules) {
  bool deny = false, ingress = false, other_default = false;
  for (; !line.empty(); line.remove_prefix(1)) {
    if (line.front() == '!') {
      deny = true;
    } else if (line.front() == '<') {
      ingress = true;
    } else if (line.front() == '~') {
      other_default = true;
    } else {
      break;
    }
  }
  if (other_default) (ingress ? rules.ingress_default_deny : rules.egress_default_deny) = ingress;
  std::vector<std::string> warnings;
  const auto list = lattice::policy::ParseRuleList(line, &warnings);
  if (!list.ok()) {
    CHECK(!list.status().message().empty());
    return;
  }
  std::vector<Rule>& into = ingress ? rules.ingress : rules.egress;
  for (Rule rule : *list) {
    CheckPrinted(rule);
    rule.deny = deny;
    if (into.size() < kMostRules && !names.Add(rule, ingress, 0).has_value()) into.push_back(std::move(rule));
  }
}

// The first and the last address of a prefix, and the ones beyond; ends wrap around.
std::vector<IpAddress> Edges(const IpPrefix& prefix) {
  std::array<uint8_t, 16> last = prefix.address().bytes();
  for (int bit = prefix.length128(); bit < 128; ++bit) last[bit / 8] |= static_cast<uint8_t>(0x80 >> bit % 8);
  const auto step = [&](std::array<uint8_t, 16> bytes, int by) {
    for (int i = 15; i >= (prefix.is_v4() ? 12 : 0); --i) {
      const int value = bytes[i] + by;
      bytes[i] = static_cast<uint8_t>(value);
      if (value >= 0 && value <= 255) break;
    }
    return IpAddress::FromBytes(bytes.data());
  };
  return {prefix.address(), IpAddress::FromBytes(last.data()), step(prefix.address().bytes(), -1), step(last, 1)};
}

std::vector<std::optional<uint16_t>> Ports(const Rule& rule) {
  std::vector<std::optional<uint16_t>> ports = {std::nullopt, 0, 443, 65535};
  for (const auto& range : rule.ports) {
    for (const int port : {range.first - 1, int{range.first}, int{range.last}, range.last + 1}) {
      ports.push_back(static_cast<uint16_t>(port));
    }
  }
  return ports;
}

std::vector<uint32_t> Slots(size_t count, uint32_t first) {
  std::vector<uint32_t> slots;
  while (slots.size() < count) slots.push_back(first + static_cast<uint32_t>(slots.size()));
  return slots;
}

void CheckDirection(const RuleSet& rules, lat_direction direction, uint32_t first_slot,
                    const std::vector<CompiledPolicy>& policies) {
  for (const Rule& rule : direction == LAT_EGRESS ? rules.egress : rules.ingress) {
    for (const IpAddress& remote : Edges(rule.prefix)) {
      for (const int protocol : {1, 6, 17, 58, int{rule.protocol}}) {
        for (const auto& port : Ports(rule)) {
          const Decision want = Judge(rules, direction, remote, static_cast<uint8_t>(protocol), port);
          const TableDecision wanted{
              .allow = want.allow,
              .rule = want.rule.has_value() ? first_slot + static_cast<uint32_t>(*want.rule) + 1 : 0};
          for (const CompiledPolicy& policy : policies) {
            const TableDecision got = WalkTable(policy, direction, remote, static_cast<uint8_t>(protocol), port);
            CHECK(got == wanted) << policy.stats.lookup() << " says " << got.allow << " by " << got.rule << " of "
                                 << remote.ToString() << " protocol " << protocol << " port " << port.value_or(0)
                                 << ", not " << wanted.allow << " by " << wanted.rule << "\n"
                                 << Print(rules);
          }
        }
      }
    }
  }
}

void CheckTables(const RuleSet& rules) {
  constexpr uint32_t kFirstEgress = 0, kFirstIngress = 1000;
  std::vector<CompiledPolicy> policies;
  for (const bool lpm : {false, true}) {
    auto policy = Compile(rules, Slots(rules.egress.size(), kFirstEgress), Slots(rules.ingress.size(), kFirstIngress),
                          1, {.force_lpm = lpm});
    CHECK(policy.ok()) << policy.status();
    policies.push_back(*std::move(policy));
  }
  CheckDirection(rules, LAT_EGRESS, kFirstEgress, policies);
  CheckDirection(rules, LAT_INGRESS, kFirstIngress, policies);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  RuleSet rules;
  NameIndex names;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) AddLine(line, names, rules);
  CHECK(CheckRuleSet(rules).ok()) << CheckRuleSet(rules);
  CheckTables(rules);
  return 0;
}
