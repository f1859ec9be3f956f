// The paper's constants (6.1), and ours where it leaves the number open.
#ifndef USERSPACE_WIREGUARD_CONSTANTS_H_
#define USERSPACE_WIREGUARD_CONSTANTS_H_

#include <cstddef>
#include <cstdint>

namespace lattice::wireguard {

inline constexpr int64_t kSecondNs = 1'000'000'000;

inline constexpr uint64_t kRekeyAfterMessages = uint64_t{1} << 60;
inline constexpr uint64_t kRejectAfterMessages = UINT64_MAX - (uint64_t{1} << 13);  // 2^64 - 2^13 - 1
inline constexpr int64_t kRekeyAfterNs = 120 * kSecondNs;
inline constexpr int64_t kRejectAfterNs = 180 * kSecondNs;
inline constexpr int64_t kRekeyAttemptNs = 90 * kSecondNs;
inline constexpr int64_t kRekeyTimeoutNs = 5 * kSecondNs;
inline constexpr int64_t kKeepaliveNs = 10 * kSecondNs;
// Keys are zeroed after three times kRejectAfterNs without a new session.
inline constexpr int64_t kZeroKeysNs = 3 * kRejectAfterNs;
// Added to kRekeyTimeoutNs at random, so that two peers do not begin at once for ever.
inline constexpr uint32_t kMaxJitterMs = 333;
// A peer's initiations closer than this are not answered; the implementations take 50 a second too. A program that is
// killed and started again must be heard.
inline constexpr int64_t kInitiationGapNs = kSecondNs / 50;

// Packets are padded to this, within the MTU.
inline constexpr size_t kPaddingBytes = 16;

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_CONSTANTS_H_
