#include "userspace/flow/names.h"

#include <array>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace lattice::flow {
namespace {

template <typename E>
struct Named {
  E value;
  absl::string_view name;
};

constexpr absl::string_view kUnknown = "unknown";

constexpr Named<lat_reason> kKernelReasons[] = {
    {LAT_REASON_NONE, "none"},
    {LAT_REASON_ALLOW_RULE, "allow_rule"},
    {LAT_REASON_DEFAULT_ALLOW, "default_allow"},
    {LAT_REASON_REPLY, "reply"},
    {LAT_REASON_ICMP_ERROR, "icmp_error"},
    {LAT_REASON_FRAGMENT, "fragment"},
    {LAT_REASON_NEIGHBOUR, "neighbour"},
    {LAT_REASON_LOOPBACK, "loopback"},
    {LAT_REASON_UNTRACKED, "untracked"},
    {LAT_REASON_NO_RULE, "no_rule"},
    {LAT_REASON_DENY_RULE, "deny_rule"},
    {LAT_REASON_FLOW_TABLE_FULL, "flow_table_full"},
    {LAT_REASON_NO_POLICY, "no_policy"},
    {LAT_REASON_NOT_IP, "not_ip"},
    {LAT_REASON_MALFORMED, "malformed"},
    {LAT_REASON_SOURCE_ROUTE, "source_route"},
    {LAT_REASON_EXTENSION_HEADER, "extension_header"},
    {LAT_REASON_FRAGMENT_UNKNOWN, "fragment_unknown"},
    {LAT_REASON_FRAGMENT_TINY, "fragment_tiny"},
    {LAT_REASON_FRAGMENT_OVERLAP, "fragment_overlap"},
    {LAT_REASON_INTERNAL, "internal"},
};
static_assert(std::size(kKernelReasons) == LAT_REASON_COUNT, "every lat_reason has a name");
static_assert(LAT_REASON_COUNT <= kFirstNetworkReason, "network reasons are above the kernel's");

constexpr Named<Reason> kNetworkReasons[] = {
    {Reason::kConnectRefused, "connect_refused"}, {Reason::kConnectTimeout, "connect_timeout"},
    {Reason::kUnreachable, "unreachable"},        {Reason::kNameNotFound, "name_not_found"},
    {Reason::kNetworkError, "network_error"},
};
static_assert(std::size(kNetworkReasons) == kNetworkReasonEnd - kFirstNetworkReason, "every network reason has a name");

constexpr Named<EndReason> kEndReasons[] = {
    {EndReason::kNone, "none"},     {EndReason::kFin, "fin"},         {EndReason::kRst, "rst"},
    {EndReason::kIdle, "idle"},     {EndReason::kRevoked, "revoked"}, {EndReason::kShutdown, "shutdown"},
    {EndReason::kFailed, "failed"},
};
static_assert(std::size(kEndReasons) == LAT_END_COUNT + 1, "every end reason has a name");

constexpr Named<Event> kEvents[] = {
    {Event::kStart, "start"},   {Event::kUpdate, "update"}, {Event::kEnd, "end"},
    {Event::kDenied, "denied"}, {Event::kPolicy, "policy"}, {Event::kLoss, "loss"},
};
constexpr Named<lat_direction> kDirections[] = {{LAT_EGRESS, "egress"}, {LAT_INGRESS, "ingress"}};
constexpr Named<lat_scope> kScopes[] = {{LAT_SCOPE_IFACE, "iface"}, {LAT_SCOPE_CGROUP, "cgroup"}};
constexpr Named<lat_mode> kModes[] = {{LAT_MODE_ENFORCE, "enforce"}, {LAT_MODE_AUDIT, "audit"}};

// IANA numbers; the words of the rule grammar first.
constexpr Named<uint8_t> kProtocols[] = {
    {6, "tcp"},   {17, "udp"}, {1, "icmp"}, {58, "icmpv6"}, {2, "igmp"},   {4, "ipip"},
    {41, "ipv6"}, {47, "gre"}, {50, "esp"}, {51, "ah"},     {132, "sctp"},
};

template <typename E, size_t n>
absl::string_view NameOf(const Named<E> (&names)[n], E value) {
  for (const Named<E>& named : names) {
    if (named.value == value) return named.name;
  }
  return kUnknown;
}

template <typename E, size_t n>
std::optional<E> ValueOf(const Named<E> (&names)[n], absl::string_view name) {
  for (const Named<E>& named : names) {
    if (named.name == name) return named.value;
  }
  return std::nullopt;
}

}  // namespace

bool IsDenial(Reason reason) {
  const auto value = static_cast<uint8_t>(reason);
  return value >= LAT_REASON_NO_RULE && value < LAT_REASON_COUNT;
}

bool IsNetworkFailure(Reason reason) {
  const auto value = static_cast<uint8_t>(reason);
  return value >= kFirstNetworkReason && value < kNetworkReasonEnd;
}

absl::string_view ReasonName(lat_reason reason) {
  return static_cast<unsigned>(reason) < LAT_REASON_COUNT ? kKernelReasons[reason].name : kUnknown;
}

absl::string_view ReasonName(Reason reason) {
  const auto value = static_cast<uint8_t>(reason);
  if (value < kFirstNetworkReason) return ReasonName(static_cast<lat_reason>(value));
  return NameOf(kNetworkReasons, reason);
}

absl::string_view EndReasonName(EndReason reason) {
  return NameOf(kEndReasons, reason);
}

absl::string_view EndReasonName(lat_end_reason reason) {
  return static_cast<unsigned>(reason) < LAT_END_COUNT ? EndReasonName(FromKernelEndReason(reason)) : kUnknown;
}

absl::string_view EventName(Event event) {
  return NameOf(kEvents, event);
}

absl::string_view DirectionName(lat_direction direction) {
  return NameOf(kDirections, direction);
}

absl::string_view ScopeName(lat_scope scope) {
  return NameOf(kScopes, scope);
}

absl::string_view ModeName(lat_mode mode) {
  return NameOf(kModes, mode);
}

absl::string_view VerdictName(lat_verdict verdict) {
  return verdict == LAT_ALLOW ? "allow" : "drop";
}

absl::string_view VerdictLabel(lat_verdict verdict) {
  switch (verdict) {
    case LAT_ALLOW:
      return "allow";
    case LAT_DENY:
      return "deny";
    case LAT_AUDIT:
      return "audit";
    case LAT_VERDICT_COUNT:
      break;
  }
  return kUnknown;
}

std::string ProtocolName(uint8_t protocol) {
  const absl::string_view name = NameOf(kProtocols, protocol);
  return name == kUnknown ? absl::StrCat(protocol) : std::string(name);
}

std::optional<Reason> ParseReason(absl::string_view name) {
  if (auto kernel = ValueOf(kKernelReasons, name)) return FromKernelReason(*kernel);
  return ValueOf(kNetworkReasons, name);
}

std::optional<EndReason> ParseEndReason(absl::string_view name) {
  return ValueOf(kEndReasons, name);
}

std::optional<Event> ParseEvent(absl::string_view name) {
  return ValueOf(kEvents, name);
}

std::optional<lat_direction> ParseDirection(absl::string_view name) {
  return ValueOf(kDirections, name);
}

std::optional<lat_scope> ParseScope(absl::string_view name) {
  return ValueOf(kScopes, name);
}

std::optional<lat_mode> ParseMode(absl::string_view name) {
  return ValueOf(kModes, name);
}

std::optional<lat_verdict> ParseVerdict(absl::string_view name, lat_mode mode) {
  if (name == "allow") return LAT_ALLOW;
  if (name == "drop") return mode == LAT_MODE_AUDIT ? LAT_AUDIT : LAT_DENY;
  return std::nullopt;
}

std::optional<uint8_t> ParseProtocol(absl::string_view name) {
  if (auto known = ValueOf(kProtocols, name)) return known;
  uint32_t number;
  // The printed form only: no sign, no leading zero.
  if (!absl::SimpleAtoi(name, &number) || number > 255 || absl::StrCat(number) != name) return std::nullopt;
  return static_cast<uint8_t>(number);
}

}  // namespace lattice::flow
