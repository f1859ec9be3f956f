// The grammar of rule.h as a descent over one cursor, so that every error knows its
// column. Ambiguities and how they end:
//   - after an address, `/` and a number is the prefix length; only a second `/` is a
//     protocol, so 10.0.0.1/47 is a bad length, never protocol 47;
//   - a comma followed by a number that no `.` or `:` makes an address goes on with the
//     ports of the rule before;
//   - an IPv6 address ends at `/`, so a port needs brackets or a length before it.
#include <netinet/in.h>

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/policy/rule.h"

namespace lattice::policy {
namespace {

constexpr char kTarget[] = "an address or prefix such as 10.0.0.0/8, 192.0.2.7 or [2001:db8::/32]";
constexpr char kProtocol[] = "tcp, udp, icmp, icmpv6 or a protocol number 0 to 255";

class Parser {
 public:
  Parser(absl::string_view text, std::vector<std::string>* warnings) : text_(text), warnings_(warnings) {}

  absl::StatusOr<Rule> OneRule() {
    SkipBlanks();
    Rule rule;
    LATTICE_RETURN_IF_ERROR(Target(&rule.prefix));
    if (Take(':')) LATTICE_RETURN_IF_ERROR(AfterColon(&rule));
    if (Peek() == '/') LATTICE_RETURN_IF_ERROR(AfterSlash(&rule));
    SkipBlanks();
    return rule;
  }

  bool AtEnd() const { return position_ == text_.size(); }

  bool Take(char c) {
    if (Peek() != c) return false;
    ++position_;
    return true;
  }

  absl::Status ErrorHere(absl::string_view expected) const {
    return Error(position_, absl::StrCat(Found(), ": expected ", expected));
  }

 private:
  char Peek() const { return AtEnd() ? '\0' : text_[position_]; }

  void SkipBlanks() {
    while (!AtEnd() && absl::ascii_isspace(static_cast<unsigned char>(text_[position_]))) ++position_;
  }

  template <typename Predicate>
  absl::string_view TakeWhile(Predicate predicate) {
    const size_t start = position_;
    while (!AtEnd() && predicate(static_cast<unsigned char>(text_[position_]))) ++position_;
    return text_.substr(start, position_ - start);
  }

  absl::string_view TakeDigits() { return TakeWhile(absl::ascii_isdigit); }

  std::string Found() const {
    if (AtEnd()) return "unexpected end";
    return absl::StrCat("unexpected \"", absl::CEscape(text_.substr(position_, 1)), "\"");
  }

  absl::Status Error(size_t position, absl::string_view what) const {
    constexpr size_t kShown = 200;
    return absl::InvalidArgumentError(absl::StrCat("\"", absl::CEscape(text_.substr(0, kShown)),
                                                   text_.size() > kShown ? "..." : "", "\", column ", position + 1,
                                                   ": ", what));
  }

  absl::Status Target(IpPrefix* prefix) {
    const size_t start = position_;
    const bool brackets = Take('[');
    LATTICE_ASSIGN_OR_RETURN(const IpAddress address, Address(brackets));
    const int longest = address.is_v4() ? 32 : 128;
    int length = longest;
    const bool has_length = Peek() == '/' && position_ + 1 < text_.size() &&
                            absl::ascii_isdigit(static_cast<unsigned char>(text_[position_ + 1]));
    if (has_length) {
      ++position_;
      LATTICE_ASSIGN_OR_RETURN(length, Number("prefix length", longest));
    }
    if (brackets && !Take(']')) return ErrorHere("\"]\"");
    if (brackets && !has_length && Peek() == '/' && position_ + 1 < text_.size() &&
        absl::ascii_isdigit(static_cast<unsigned char>(text_[position_ + 1]))) {
      return Error(position_, "a prefix length stands inside the brackets: expected [address/length]");
    }
    *prefix = IpPrefix(address, length);
    if (prefix->address() != address && warnings_ != nullptr) {
      warnings_->push_back(absl::StrCat("\"", text_.substr(start, position_ - start),
                                        "\" has bits set behind the prefix length: taken as ", prefix->ToString()));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<IpAddress> Address(bool brackets) {
    const size_t start = position_;
    absl::string_view token =
        TakeWhile([](unsigned char c) { return absl::ascii_isxdigit(c) || c == '.' || c == ':'; });
    const size_t colon = token.find(':');
    if (!brackets && token.find('.') < colon && colon != absl::string_view::npos) {
      token = token.substr(0, colon);
      position_ = start + colon;
    }
    if (token.empty()) return ErrorHere(kTarget);
    auto address = IpAddress::Parse(token);
    if (!address.ok()) return Error(start, absl::StrCat("\"", token, "\" is no IP address: expected ", kTarget));
    return address;
  }

  absl::StatusOr<int> Number(absl::string_view what, int last) {
    const size_t start = position_;
    const absl::string_view digits = TakeDigits();
    if (digits.empty()) return ErrorHere(absl::StrCat(what, " 0 to ", last));
    int value = 0;
    if (!absl::SimpleAtoi(digits, &value) || value > last) {
      return Error(start, absl::StrCat(what, " ", digits, ": expected 0 to ", last));
    }
    return value;
  }

  // Whether the comma here is followed by a port rather than by the next rule.
  bool PortFollowsComma() const {
    if (Peek() != ',') return false;
    size_t end = position_ + 1;
    while (end < text_.size() && absl::ascii_isdigit(static_cast<unsigned char>(text_[end]))) ++end;
    if (end == position_ + 1) return false;
    return end == text_.size() || (text_[end] != '.' && text_[end] != ':' && !absl::ascii_isxdigit(text_[end]));
  }

  absl::Status AfterColon(Rule* rule) {
    if (Take('*')) {
      rule->protocols = ProtocolMatch::kTcpUdp;
      return absl::OkStatus();
    }
    if (absl::ascii_isalpha(static_cast<unsigned char>(Peek()))) return Protocol(rule);
    do {
      const size_t start = position_;
      PortRange range;
      LATTICE_ASSIGN_OR_RETURN(const int first, PortNumber());
      int last = first;
      if (Take('-')) {
        LATTICE_ASSIGN_OR_RETURN(last, PortNumber());
      }
      if (last < first) {
        return Error(start, absl::StrCat("port range ", first, "-", last, ": expected the lower port first"));
      }
      range.first = static_cast<uint16_t>(first);
      range.last = static_cast<uint16_t>(last);
      rule->ports.push_back(range);
    } while (PortFollowsComma() && Take(','));
    NormalizePorts(rule->ports);
    rule->protocols = ProtocolMatch::kTcpUdp;
    return absl::OkStatus();
  }

  absl::StatusOr<int> PortNumber() {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(Peek()))) {
      return ErrorHere("a port, a range such as 8000-8100, \"*\", tcp, udp, icmp or icmpv6");
    }
    return Number("port", 65535);
  }

  absl::Status AfterSlash(Rule* rule) {
    const size_t start = position_;
    const bool had_ports = !rule->ports.empty();
    if (rule->protocols == ProtocolMatch::kOne) return Error(start, "a second protocol: expected the end of the rule");
    ++position_;
    LATTICE_RETURN_IF_ERROR(Protocol(rule));
    if (had_ports && rule->protocol != IPPROTO_TCP && rule->protocol != IPPROTO_UDP) {
      return Error(start, "this protocol has no ports: expected tcp or udp after a port");
    }
    return absl::OkStatus();
  }

  absl::Status Protocol(Rule* rule) {
    const size_t start = position_;
    const std::string word = absl::AsciiStrToLower(TakeWhile(absl::ascii_isalnum));
    int number = -1;
    if (word == "tcp") number = IPPROTO_TCP;
    if (word == "udp") number = IPPROTO_UDP;
    if (word == "icmp") number = IcmpProtocol(rule->prefix);
    if (word == "icmpv6") {
      if (rule->prefix.is_v4()) return Error(start, "icmpv6 with an IPv4 prefix: expected icmp");
      number = IPPROTO_ICMPV6;
    }
    if (!word.empty() && std::all_of(word.begin(), word.end(), absl::ascii_isdigit)) {
      if (!absl::SimpleAtoi(word, &number) || number > 255) number = -1;
    }
    if (number < 0) {
      if (word.empty()) return ErrorHere(kProtocol);
      return Error(start, absl::StrCat("protocol \"", word, "\": expected ", kProtocol));
    }
    rule->protocols = ProtocolMatch::kOne;
    rule->protocol = static_cast<uint8_t>(number);
    return absl::OkStatus();
  }

  const absl::string_view text_;
  std::vector<std::string>* const warnings_;
  size_t position_ = 0;
};

}  // namespace

absl::StatusOr<Rule> ParseRule(absl::string_view text, std::vector<std::string>* warnings) {
  Parser parser(text, warnings);
  LATTICE_ASSIGN_OR_RETURN(Rule rule, parser.OneRule());
  if (!parser.AtEnd()) return parser.ErrorHere("the end of the rule");
  return rule;
}

absl::StatusOr<std::vector<Rule>> ParseRuleList(absl::string_view text, std::vector<std::string>* warnings) {
  Parser parser(text, warnings);
  std::vector<Rule> rules;
  do {
    LATTICE_ASSIGN_OR_RETURN(Rule rule, parser.OneRule());
    rules.push_back(std::move(rule));
  } while (parser.Take(','));
  if (!parser.AtEnd()) return parser.ErrorHere("\",\" or the end of the list");
  return rules;
}

}  // namespace lattice::policy
