// The rule grammar: any text is refused with a message or is a list of rules that print
// and parse back to themselves, and that the compiled tables and the judge read alike.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "glog/logging.h"
#include "userspace/policy/compiler.h"
#include "userspace/policy/judge.h"
#include "userspace/policy/rule.h"
#include "userspace/policy/table_walk.h"

using lattice::IpAddress;
using lattice::policy::CompiledPolicy;
using lattice::policy::Decision;
using lattice::policy::Rule;
using lattice::policy::RuleSet;
using lattice::policy::TableDecision;

namespace {

void CheckTables(const RuleSet& rules) {
  std::vector<uint32_t> slots;
  while (slots.size() < rules.egress.size()) slots.push_back(static_cast<uint32_t>(slots.size()));
  const auto policy = Compile(rules, slots, {}, 1, {});
  CHECK(policy.ok()) << policy.status();
  for (const Rule& rule : rules.egress) {
    for (const int protocol : {1, 6, 17, 58, int{rule.protocol}}) {
      std::vector<std::optional<uint16_t>> ports = {std::nullopt, 0, 443, 65535};
      for (const auto& range : rule.ports) ports.insert(ports.end(), {range.first, range.last});
      for (const auto& port : ports) {
        const IpAddress& remote = rule.prefix.address();
        const Decision want = Judge(rules, LAT_EGRESS, remote, static_cast<uint8_t>(protocol), port);
        const TableDecision got = WalkTable(*policy, LAT_EGRESS, remote, static_cast<uint8_t>(protocol), port);
        CHECK_EQ(got.allow, want.allow) << Print(rules);
        CHECK_EQ(got.rule, want.rule.has_value() ? *want.rule + 1 : 0) << Print(rules);
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> warnings;
  const auto list = lattice::policy::ParseRuleList(text, &warnings);
  if (!list.ok()) {
    CHECK(!list.status().message().empty());
    return 0;
  }
  for (const Rule& rule : *list) {
    CHECK(CheckRule(rule).ok());
    warnings.clear();
    const auto again = lattice::policy::ParseRule(PrintRule(rule), &warnings);
    CHECK(again.ok()) << again.status();
    CHECK(*again == rule) << PrintRule(rule);
    CHECK(warnings.empty());
  }
  if (list->size() <= 64) CheckTables({.egress = *list});
  return 0;
}
