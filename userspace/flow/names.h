// The words of a flow record: every enumerator that appears in the audit file, on
// NATS or in a metric label, and the way back from the word.
//
// One list per enum serves both directions, so a name that is printed can always
// be read again. Names of kernel enumerators are theirs in lower case without the
// prefix (LAT_REASON_NO_RULE is "no_rule"). Pure functions, any thread.
#ifndef USERSPACE_FLOW_NAMES_H_
#define USERSPACE_FLOW_NAMES_H_

#include <lattice/abi.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace lattice::flow {

// The first four are enum lat_event.
enum class Event : uint8_t {
  kStart = LAT_EVENT_START,
  kUpdate = LAT_EVENT_UPDATE,
  kEnd = LAT_EVENT_END,
  kDenied = LAT_EVENT_DENIED,
  kPolicy = 32,  // a policy was published
  kLoss = 33,    // records that this stream does not have
};

// Why a flow has its verdict (values below LAT_REASON_COUNT are enum lat_reason), or
// why an allowed connection failed (64 and up, told by proxies). A policy denial and
// a network failure are never the same reason.
enum class Reason : uint8_t {
  kNone = LAT_REASON_NONE,
  kConnectRefused = 64,  // the remote answered with RST
  kConnectTimeout,
  kUnreachable,  // no route, or an ICMP error said so
  kNameNotFound,
  kNetworkError,  // any other failure of the network
};
inline constexpr uint8_t kFirstNetworkReason = 64;
inline constexpr uint8_t kNetworkReasonEnd = 69;

// The kernel's (enum lat_end_reason), and what only a proxy can know.
enum class EndReason : uint8_t {
  kNone = LAT_END_NONE,
  kFin = LAT_END_FIN,
  kRst = LAT_END_RST,
  kIdle = LAT_END_IDLE,
  kRevoked = LAT_END_REVOKED,
  kShutdown = LAT_END_SHUTDOWN,
  kFailed = 64,  // see `reason`
};

inline Reason FromKernelReason(lat_reason reason) {
  return static_cast<Reason>(reason);
}
inline EndReason FromKernelEndReason(lat_end_reason reason) {
  return static_cast<EndReason>(reason);
}

// True for the denials of enum lat_reason: by policy, or because the packet can't be judged.
bool IsDenial(Reason reason);
// True for kConnectRefused and its neighbours.
bool IsNetworkFailure(Reason reason);

// "unknown" for a value outside the enum.
absl::string_view ReasonName(Reason reason);
absl::string_view ReasonName(lat_reason reason);
absl::string_view EndReasonName(EndReason reason);  // kNone: "none"
absl::string_view EndReasonName(lat_end_reason reason);
absl::string_view EventName(Event event);
absl::string_view DirectionName(lat_direction direction);  // "egress", "ingress"
absl::string_view ScopeName(lat_scope scope);              // "iface", "cgroup"
absl::string_view ModeName(lat_mode mode);                 // "enforce", "audit"
// Upstream knows "allow" and "drop" only. LAT_AUDIT, the packet that enforcement would
// have dropped and audit mode let pass, is "drop" too; the record's mode "audit" tells
// the two apart (see FlowRecord::mode).
absl::string_view VerdictName(lat_verdict verdict);
// The label of a metric, where all three differ: "allow", "deny", "audit".
absl::string_view VerdictLabel(lat_verdict verdict);
// "tcp", "udp", "icmp", "icmpv6", … or the number in decimal ("253").
std::string ProtocolName(uint8_t protocol);

// Nothing for a word that names no enumerator ("unknown" included).
std::optional<Reason> ParseReason(absl::string_view name);
std::optional<EndReason> ParseEndReason(absl::string_view name);
std::optional<Event> ParseEvent(absl::string_view name);
std::optional<lat_direction> ParseDirection(absl::string_view name);
std::optional<lat_scope> ParseScope(absl::string_view name);
std::optional<lat_mode> ParseMode(absl::string_view name);
// "drop" is LAT_AUDIT when `mode` is LAT_MODE_AUDIT.
std::optional<lat_verdict> ParseVerdict(absl::string_view name, lat_mode mode);
std::optional<uint8_t> ParseProtocol(absl::string_view name);

}  // namespace lattice::flow

#endif  // USERSPACE_FLOW_NAMES_H_
