#include "userspace/policy/policy_file.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "userspace/base/status.h"

namespace lattice::policy {
namespace {

// Cuts the first word off `rest` and returns it.
absl::string_view TakeWord(absl::string_view* rest) {
  *rest = absl::StripLeadingAsciiWhitespace(*rest);
  size_t end = 0;
  while (end < rest->size() && !absl::ascii_isspace(static_cast<unsigned char>((*rest)[end]))) ++end;
  const absl::string_view word = rest->substr(0, end);
  rest->remove_prefix(end);
  return word;
}

// Takes the next word if it is `either` or `other`; tells whether it was `other`.
bool TakeChoice(absl::string_view* rest, absl::string_view either, absl::string_view other) {
  absl::string_view after = *rest;
  const absl::string_view word = TakeWord(&after);
  if (word == either || word == other) *rest = after;
  return word == other;
}

// A file of another kind has nothing but bad lines.
constexpr size_t kMaxProblems = 20;

struct Line {
  bool ingress = false;
  Rule rule;
};

absl::StatusOr<Line> ParseLine(absl::string_view text, std::vector<std::string>* warnings) {
  Line line;
  line.ingress = TakeChoice(&text, "egress", "ingress");
  const bool deny = TakeChoice(&text, "allow", "deny");
  const absl::string_view rule = TakeWord(&text);
  absl::string_view name = TakeWord(&text);
  const absl::string_view extra = TakeWord(&text);
  if (rule.empty())
    return absl::InvalidArgumentError("a line without a rule: expected [egress|ingress] [allow|deny] RULE");
  LATTICE_ASSIGN_OR_RETURN(line.rule, ParseRule(rule, warnings));
  line.rule.deny = deny;
  if (!name.empty()) {
    if (!absl::ConsumePrefix(&name, "name=") || !extra.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("\"", absl::CEscape(extra.empty() ? name : extra),
                                                     "\" after the rule: expected name=NAME or the end of the line"));
    }
    LATTICE_RETURN_IF_ERROR(CheckRuleName(name));
    line.rule.name = std::string(name);
  }
  return line;
}

}  // namespace

absl::StatusOr<PolicyFile> ParsePolicyFile(absl::string_view text, absl::string_view file) {
  PolicyFile policy;
  NameIndex names;
  std::vector<std::string> problems;
  for (int number = 1; !text.empty() && problems.size() < kMaxProblems; ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const absl::string_view raw = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const absl::string_view content = absl::StripAsciiWhitespace(raw.substr(0, raw.find('#')));
    if (content.empty()) continue;

    const auto place = [&] { return absl::StrCat(file, ":", number); };
    std::vector<std::string> warnings;
    auto line = ParseLine(content, &warnings);
    if (!line.ok()) {
      problems.push_back(absl::StrCat(place(), ": ", line.status().message()));
      continue;
    }
    for (const std::string& warning : warnings) policy.warnings.push_back(absl::StrCat(place(), ": ", warning));

    const std::optional<int> earlier = names.Add(line->rule, line->ingress, number);
    if (earlier.has_value()) {
      problems.push_back(absl::StrCat(place(), ": rule \"", RuleName(line->rule, line->ingress), "\" is on line ",
                                      *earlier, " too: expected one rule of a name"));
      continue;
    }
    (line->ingress ? policy.ingress : policy.egress).push_back(std::move(line->rule));
  }
  if (!problems.empty()) return absl::InvalidArgumentError(absl::StrJoin(problems, "\n"));
  return policy;
}

}  // namespace lattice::policy
