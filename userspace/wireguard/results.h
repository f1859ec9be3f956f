// What became of a packet or datagram: a small number per call, a counter per number.
#ifndef USERSPACE_WIREGUARD_RESULTS_H_
#define USERSPACE_WIREGUARD_RESULTS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace lattice::wireguard {

enum class SealResult : uint8_t {
  kSealed,      // in the batch
  kStaged,      // waits for a session
  kBatchFull,   // send the batch, Clear() it and call again; not counted
  kNoRoute,     // no allowed IPs hold the destination
  kNoEndpoint,  // nobody knows where the peer is
  kNotIp,
  kTooLong,  // for a datagram
};
inline constexpr size_t kSealResults = 7;

enum class ReceiveResult : uint8_t {
  kDelivered,
  kKeepalive,
  kInitiation,     // answered
  kResponse,       // a session began
  kCookieReply,    // kept for the next handshake
  kCookieSent,     // under load: the sender is to come again with a cookie
  kMalformed,      // type or length of no message
  kBadMac1,        // the sender does not know our public key
  kRateLimited,    // under load, with a cookie, and too often
  kForged,         // does not open with the keys it names
  kUnknownPeer,    // an initiation of somebody else
  kUnknownIndex,   // names no handshake or session of ours
  kOldInitiation,  // not newer than one before: replayed
  kFlood,          // initiations of a peer too close to each other
  kExpiredKey,     // the session is too old or has seen too many messages
  kReplayed,       // the counter came before, or is too old to tell
  kNotIp,          // what is inside is no IP packet
  kWrongSource,    // the peer's allowed IPs do not hold the inner source
};
inline constexpr size_t kReceiveResults = 18;

// Words for metrics: "sealed", "wrong_source".
absl::string_view Name(SealResult result);
absl::string_view Name(ReceiveResult result);

struct DeviceCounters {
  std::array<uint64_t, kSealResults> sealed{};
  std::array<uint64_t, kReceiveResults> received{};
  uint64_t staged_dropped = 0;  // waited for a session in vain
  uint64_t initiations_sent = 0;
  uint64_t sessions = 0;
  uint64_t handshakes_given_up = 0;

  uint64_t of(SealResult result) const { return sealed[static_cast<size_t>(result)]; }
  uint64_t of(ReceiveResult result) const { return received[static_cast<size_t>(result)]; }
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_RESULTS_H_
