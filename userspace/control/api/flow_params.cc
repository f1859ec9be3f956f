#include "userspace/control/api/flow_params.h"

#include <algorithm>
#include <functional>
#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "userspace/base/ip.h"
#include "userspace/base/status.h"

namespace lattice::control {
namespace {

constexpr size_t kMaxLimit = 1000;
constexpr size_t kMaxBuckets = 500;
constexpr size_t kMaxValueBytes = 4096;
constexpr size_t kMaxTerms = 100;  // of one parameter

using Words = std::vector<absl::string_view>;

absl::Status Bad(absl::string_view name, absl::string_view value, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat(name, "=", value, ": expected ", expected));
}

// What one parameter does to the result.
struct Parser {
  FlowParams& out;
  int64_t now_ns;

  absl::Status Terms(absl::string_view name, absl::string_view value, std::vector<Term> FlowFilter::*member,
                     const Words& words = {}) const {
    Term term{.value = std::string(value), .negate = absl::StartsWith(value, "!")};
    if (term.negate) term.value.erase(0, 1);
    if (!words.empty() && std::find(words.begin(), words.end(), term.value) == words.end()) {
      return Bad(name, value, absl::StrCat("one of ", absl::StrJoin(words, ", "), ", or with ! in front"));
    }
    auto& terms = out.query.filter.*member;
    if (terms.size() == kMaxTerms) return Bad(name, value, absl::StrCat("at most ", kMaxTerms, " values"));
    terms.push_back(std::move(term));
    return absl::OkStatus();
  }

  absl::Status Port(absl::string_view name, absl::string_view value) const {
    uint32_t port = 0;
    if (!absl::SimpleAtoi(absl::StartsWith(value, "!") ? value.substr(1) : value, &port) || port > 65535) {
      return Bad(name, value, "a port, 0 to 65535");
    }
    return Terms(name, absl::StrCat(absl::StartsWith(value, "!") ? "!" : "", port), &FlowFilter::ports);
  }

  absl::Status Networks(absl::string_view name, absl::string_view value,
                        std::vector<Network> FlowFilter::*member) const {
    const bool negate = absl::StartsWith(value, "!");
    const absl::StatusOr<IpPrefix> prefix = IpPrefix::Parse(negate ? value.substr(1) : value);
    if (!prefix.ok()) return Bad(name, value, "an address or a CIDR range, like 10.42.0.0/16");
    auto& networks = out.query.filter.*member;
    if (networks.size() == kMaxTerms) return Bad(name, value, absl::StrCat("at most ", kMaxTerms, " values"));
    networks.push_back({prefix->ToString(), negate});
    return absl::OkStatus();
  }

  absl::Status Time(absl::string_view name, absl::string_view value, std::optional<int64_t> FlowFilter::*member) const {
    constexpr absl::string_view kExpected = "a time like 2026-05-18T00:00:00Z, or one before now like -1h, -30m, -7d";
    if ((out.query.filter.*member).has_value()) return Bad(name, value, "it once");
    absl::Time time;
    std::string error;
    if (absl::StartsWith(value, "-")) {
      absl::Duration ago;
      int64_t days = 0;
      if (absl::EndsWith(value, "d") && absl::SimpleAtoi(value.substr(1, value.size() - 2), &days) && days >= 0 &&
          days < 100'000) {
        ago = absl::Hours(24 * days);
      } else if (!absl::ParseDuration(value.substr(1), &ago) || ago < absl::ZeroDuration()) {
        return Bad(name, value, kExpected);
      }
      time = absl::FromUnixNanos(now_ns) - ago;
    } else if (!absl::ParseTime(absl::RFC3339_full, value, &time, &error) || time == absl::InfiniteFuture() ||
               time == absl::InfinitePast()) {
      return Bad(name, value, kExpected);
    }
    out.query.filter.*member = absl::ToUnixNanos(std::clamp(time, absl::UnixEpoch(), absl::FromUnixNanos(INT64_MAX)));
    return absl::OkStatus();
  }

  absl::Status Limit(absl::string_view name, absl::string_view value, size_t most, size_t* result) const {
    uint64_t number = 0;
    if (!absl::SimpleAtoi(value, &number) || number == 0 || number > most) {
      return Bad(name, value, absl::StrCat("a number from 1 to ", most));
    }
    *result = number;
    return absl::OkStatus();
  }

  template <typename T>
  absl::Status Choice(absl::string_view name, absl::string_view value, const std::map<absl::string_view, T>& choices,
                      T* result) const {
    const auto found = choices.find(value);
    if (found != choices.end()) {
      *result = found->second;
      return absl::OkStatus();
    }
    Words words;
    for (const auto& [word, unused] : choices) words.push_back(word);
    return Bad(name, value, absl::StrCat("one of ", absl::StrJoin(words, ", ")));
  }
};

using Rule = std::function<absl::Status(const Parser&, absl::string_view name, absl::string_view value)>;

Rule Terms(std::vector<Term> FlowFilter::*member, Words words = {}) {
  return [member, words](const Parser& p, absl::string_view name, absl::string_view value) {
    return p.Terms(name, value, member, words);
  };
}

Rule Networks(std::vector<Network> FlowFilter::*member) {
  return [member](const Parser& p, absl::string_view name, absl::string_view value) {
    return p.Networks(name, value, member);
  };
}

Rule Time(std::optional<int64_t> FlowFilter::*member) {
  return [member](const Parser& p, absl::string_view name, absl::string_view value) {
    return p.Time(name, value, member);
  };
}

absl::Status ParseLimit(const Parser& p, absl::string_view name, absl::string_view value) {
  p.out.limit_given = true;
  return p.Limit(name, value, kMaxLimit, &p.out.query.limit);
}
absl::Status ParseBuckets(const Parser& p, absl::string_view name, absl::string_view value) {
  return p.Limit(name, value, kMaxBuckets, &p.out.buckets);
}
absl::Status ParsePort(const Parser& p, absl::string_view name, absl::string_view value) {
  return p.Port(name, value);
}
absl::Status ParseOrder(const Parser& p, absl::string_view name, absl::string_view value) {
  return p.Choice(name, value, {{"asc", true}, {"desc", false}}, &p.out.query.ascending);
}
absl::Status ParseFormat(const Parser& p, absl::string_view name, absl::string_view value) {
  p.out.format_given = true;
  return p.Choice(name, value,
                  {{"json", FlowFormat::kJson}, {"ndjson", FlowFormat::kNdjson}, {"csv", FlowFormat::kCsv}},
                  &p.out.format);
}
absl::Status ParseBy(const Parser& p, absl::string_view name, absl::string_view value) {
  return p.Choice(
      name, value,
      {{"dst", TopBy::kDestination}, {"agent", TopBy::kAgent}, {"port", TopBy::kPort}, {"rule", TopBy::kRule}},
      &p.out.by);
}
absl::Status ParseMetric(const Parser& p, absl::string_view name, absl::string_view value) {
  return p.Choice(name, value,
                  {{"bytes", TopMetric::kBytes}, {"flows", TopMetric::kFlows}, {"denied", TopMetric::kDenied}},
                  &p.out.metric);
}
absl::Status ParseCursor(const Parser& p, absl::string_view, absl::string_view value) {
  LATTICE_ASSIGN_OR_RETURN(p.out.query.after, DecodeCursorText(value));
  return absl::OkStatus();
}
absl::Status ParseNode(const Parser& p, absl::string_view, absl::string_view value) {
  p.out.node = std::string(value);
  return absl::OkStatus();
}
absl::Status ParseBoot(const Parser& p, absl::string_view, absl::string_view value) {
  p.out.boot = std::string(value);
  return absl::OkStatus();
}

using Rules = std::map<absl::string_view, Rule>;

// What the roll-up knows too.
Rules SummaryRules() {
  return {{"agentName", Terms(&FlowFilter::agents)},
          {"agentId", Terms(&FlowFilter::agents)},
          {"from", Time(&FlowFilter::from_ns)},
          {"to", Time(&FlowFilter::to_ns)},
          {"verdict", Terms(&FlowFilter::verdicts, {"allow", "drop"})},
          {"protocol", Terms(&FlowFilter::protocols)},
          {"port", &ParsePort},
          {"dst", Networks(&FlowFilter::destinations)}};
}

Rules FilterRules() {
  Rules rules = SummaryRules();
  rules["direction"] = Terms(&FlowFilter::directions, {"egress", "ingress"});
  rules["src"] = Networks(&FlowFilter::sources);
  rules["rule"] = Terms(&FlowFilter::rules);
  rules["traceId"] = Terms(&FlowFilter::trace_ids);
  rules["event"] = Terms(&FlowFilter::events, {"start", "update", "end", "denied", "policy", "loss", "flow"});
  rules["host"] = Terms(&FlowFilter::hosts);
  rules["node"] = Terms(&FlowFilter::nodes);
  rules["reason"] = Terms(&FlowFilter::reasons);
  return rules;
}

Rules MakeRules(FlowCall call) {
  Rules rules;
  switch (call) {
    case FlowCall::kList:
      rules = FilterRules();
      rules["order"] = &ParseOrder;
      rules["limit"] = &ParseLimit;
      rules["cursor"] = &ParseCursor;
      rules["format"] = &ParseFormat;
      return rules;
    case FlowCall::kStream:
      rules = FilterRules();
      rules.erase("from");
      rules.erase("to");
      return rules;
    case FlowCall::kTimeline:
      rules = SummaryRules();
      rules["buckets"] = &ParseBuckets;
      return rules;
    case FlowCall::kTop:
      rules = SummaryRules();
      rules["by"] = &ParseBy;
      rules["metric"] = &ParseMetric;
      rules["limit"] = &ParseLimit;
      return rules;
    case FlowCall::kHints:
      rules = SummaryRules();
      rules.erase("verdict");
      rules["limit"] = &ParseLimit;
      return rules;
    case FlowCall::kOverview:
    case FlowCall::kAgents:
      rules["from"] = Time(&FlowFilter::from_ns);
      rules["to"] = Time(&FlowFilter::to_ns);
      return rules;
    case FlowCall::kSources:
      return rules;
    case FlowCall::kGaps:
      rules["boot"] = &ParseBoot;
      [[fallthrough]];
    case FlowCall::kDigests:
      rules["node"] = &ParseNode;
      [[fallthrough]];
    case FlowCall::kRejects:
      rules["limit"] = &ParseLimit;
      return rules;
  }
  return rules;
}

const Rules& RulesOf(FlowCall call) {
  static const auto* const all = [] {
    auto* map = new std::map<FlowCall, Rules>;
    for (int i = 0; i <= static_cast<int>(FlowCall::kRejects); ++i) {
      (*map)[static_cast<FlowCall>(i)] = MakeRules(static_cast<FlowCall>(i));
    }
    return map;
  }();
  return all->at(call);
}

}  // namespace

absl::StatusOr<FlowParams> ParseFlowParams(FlowCall call, const QueryPairs& query, int64_t now_ns) {
  const Rules& rules = RulesOf(call);
  FlowParams params;
  const Parser parser{params, now_ns};
  for (const auto& [name, value] : query) {
    const auto rule = rules.find(name);
    if (rule == rules.end()) {
      std::vector<absl::string_view> known;
      for (const auto& [word, unused] : rules) known.push_back(word);
      return absl::InvalidArgumentError(absl::StrCat("unknown parameter ", name,
                                                     known.empty() ? "; there are none here" : "; there are ",
                                                     absl::StrJoin(known, ", ")));
    }
    if (value.empty()) return Bad(name, value, "a value");
    if (value.size() > kMaxValueBytes) return Bad(name, "…", absl::StrCat("at most ", kMaxValueBytes, " bytes"));
    LATTICE_RETURN_IF_ERROR(rule->second(parser, name, value));
  }
  const FlowFilter& filter = params.query.filter;
  if (filter.from_ns.has_value() && filter.to_ns.has_value() && *filter.from_ns > *filter.to_ns) {
    return absl::InvalidArgumentError("from is after to");
  }
  return params;
}

std::string EncodeCursorText(const PageKey& key) {
  return absl::WebSafeBase64Escape(absl::StrCat(key.ts_ns, "/", key.id));
}

absl::StatusOr<PageKey> DecodeCursorText(absl::string_view text) {
  std::string plain;
  PageKey key;
  const bool decoded = text.size() <= 256 && absl::WebSafeBase64Unescape(text, &plain);
  const size_t slash = plain.find('/');
  if (!decoded || slash == std::string::npos || !absl::SimpleAtoi(plain.substr(0, slash), &key.ts_ns) ||
      key.ts_ns < 0 || slash + 1 == plain.size()) {
    return Bad("cursor", text.substr(0, 64), "the nextCursor of an earlier answer");
  }
  key.id = plain.substr(slash + 1);
  return key;
}

}  // namespace lattice::control
