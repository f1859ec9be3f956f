#include "userspace/policy/rule.h"

#include <netinet/in.h>
#include <openssl/evp.h>

#include <algorithm>

#include "absl/hash/hash.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "glog/logging.h"
#include "userspace/base/status.h"

namespace lattice::policy {
namespace {

constexpr uint16_t kLastPort = 65535;

std::string PrintPorts(const Rule& rule) {
  if (rule.ports.empty()) return "*";
  std::string text;
  for (const PortRange& range : rule.ports) {
    absl::StrAppend(&text, text.empty() ? "" : ",", range.first);
    if (range.last != range.first) absl::StrAppend(&text, "-", range.last);
  }
  return text;
}

void PrintRules(const std::vector<Rule>& rules, absl::string_view direction, std::string* text) {
  for (const Rule& rule : rules) {
    absl::StrAppend(text, direction, rule.deny ? " deny " : " allow ", PrintRule(rule));
    if (!rule.name.empty()) absl::StrAppend(text, " name=", rule.name);
    text->push_back('\n');
  }
}

absl::Status CheckList(const std::vector<Rule>& rules, bool ingress, NameIndex* names) {
  for (const Rule& rule : rules) {
    LATTICE_RETURN_IF_ERROR(CheckRule(rule));
    if (!rule.name.empty()) LATTICE_RETURN_IF_ERROR(CheckRuleName(rule.name));
    if (names->Add(rule, ingress, 0).has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("two rules are named \"", RuleName(rule, ingress),
                                                     "\": remove one, or give it another name=..."));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string PrintRule(const Rule& rule) {
  const std::string prefix = rule.prefix.ToString();
  if (rule.protocols == ProtocolMatch::kAny) return prefix;
  const bool ported = rule.protocols == ProtocolMatch::kTcpUdp || rule.protocol == IPPROTO_TCP ||
                      rule.protocol == IPPROTO_UDP || rule.protocol == IcmpProtocol(rule.prefix);
  if (!ported) return absl::StrCat(prefix, "/", int{rule.protocol});

  std::string text = rule.prefix.is_v4() ? absl::StrCat(prefix, ":") : absl::StrCat("[", prefix, "]:");
  if (rule.protocols == ProtocolMatch::kTcpUdp) return absl::StrCat(text, PrintPorts(rule));
  if (rule.protocol == IcmpProtocol(rule.prefix)) return absl::StrCat(text, "icmp");
  return absl::StrCat(text, PrintPorts(rule), rule.protocol == IPPROTO_TCP ? "/tcp" : "/udp");
}

std::string RuleName(const Rule& rule, bool ingress) {
  if (!rule.name.empty()) return rule.name;
  return absl::StrCat(ingress ? "ingress " : "", rule.deny ? "deny " : "", PrintRule(rule));
}

std::string Print(const RuleSet& rules) {
  std::string text = absl::StrCat("# egress default: ", rules.egress_default_deny ? "deny" : "allow",
                                  "\n# ingress default: ", rules.ingress_default_deny ? "deny" : "allow", "\n");
  PrintRules(rules.egress, "egress", &text);
  PrintRules(rules.ingress, "ingress", &text);
  return text;
}

std::string Hash(const RuleSet& rules) {
  const std::string text = Print(rules);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  CHECK_EQ(EVP_Digest(text.data(), text.size(), digest, &length, EVP_sha256(), nullptr), 1);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), length));
}

uint8_t IcmpProtocol(const IpPrefix& prefix) {
  return static_cast<uint8_t>(prefix.is_v4() ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
}

void NormalizePorts(absl::InlinedVector<PortRange, 2>& ports) {
  std::sort(ports.begin(), ports.end());
  size_t kept = 0;
  for (size_t i = 1; i < ports.size(); ++i) {
    if (int{ports[i].first} <= int{ports[kept].last} + 1) {
      ports[kept].last = std::max(ports[kept].last, ports[i].last);
    } else {
      ports[++kept] = ports[i];
    }
  }
  if (!ports.empty()) ports.resize(kept + 1);
  if (ports.size() == 1 && ports[0].first == 0 && ports[0].last == kLastPort) ports.clear();
}

absl::Status CheckRule(const Rule& rule) {
  const bool has_ports =
      rule.protocols == ProtocolMatch::kTcpUdp ||
      (rule.protocols == ProtocolMatch::kOne && (rule.protocol == IPPROTO_TCP || rule.protocol == IPPROTO_UDP));
  if (!rule.ports.empty() && !has_ports) {
    return absl::InvalidArgumentError(absl::StrCat("rule for ", rule.prefix.ToString(), ": ports need tcp or udp"));
  }
  if (rule.protocols != ProtocolMatch::kOne && rule.protocol != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("rule for ", rule.prefix.ToString(), ": a protocol number without its match"));
  }
  int last = -2;
  bool in_form = true;
  for (const PortRange& range : rule.ports) {
    in_form &= range.first <= range.last && range.first > last + 1;
    last = range.last;
  }
  in_form &= rule.ports.empty() || rule.ports.front() != PortRange{0, kLastPort};
  if (!in_form) {
    return absl::InvalidArgumentError(
        absl::StrCat("rule for ", rule.prefix.ToString(), ": ports are not in ascending, disjoint ranges"));
  }
  return absl::OkStatus();
}

absl::Status CheckRuleName(absl::string_view name) {
  constexpr absl::string_view kPunctuation = "._:@+-";
  const bool good = std::all_of(name.begin(), name.end(), [kPunctuation](unsigned char c) {
    return absl::ascii_isalnum(c) || kPunctuation.find(static_cast<char>(c)) != absl::string_view::npos;
  });
  if (good && !name.empty() && name.size() <= kMaxRuleNameLength) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat("rule name \"%s\": expected 1 to %d letters, digits and %s",
                                                    absl::CEscape(name), kMaxRuleNameLength, kPunctuation));
}

absl::Status CheckRuleSet(const RuleSet& rules) {
  NameIndex names;
  LATTICE_RETURN_IF_ERROR(CheckList(rules.egress, /*ingress=*/false, &names));
  return CheckList(rules.ingress, /*ingress=*/true, &names);
}

size_t NameIndex::ByContent::operator()(const Rule& rule) const {
  const IpAddress& address = rule.prefix.address();
  uint64_t ports = rule.ports.size();
  for (const PortRange& range : rule.ports)
    ports = ports * 0x9e3779b97f4a7c15 + (uint64_t{range.first} << 16 | range.last);
  return absl::HashOf(address.high64(), address.low64(), rule.prefix.length128(), ports, rule.protocols, rule.protocol,
                      rule.deny);
}

bool NameIndex::ByContent::operator()(const Rule& a, const Rule& b) const {
  return a.prefix == b.prefix && a.ports == b.ports && a.protocols == b.protocols && a.protocol == b.protocol &&
         a.deny == b.deny;
}

std::optional<int> NameIndex::Add(const Rule& rule, bool ingress, int tag) {
  if (!rule.name.empty()) {
    const auto [entry, is_new] = given_.try_emplace(rule.name, tag);
    return is_new ? std::nullopt : std::optional<int>(entry->second);
  }
  const auto [entry, is_new] = made_[ingress].try_emplace(rule, tag);
  return is_new ? std::nullopt : std::optional<int>(entry->second);
}

}  // namespace lattice::policy
