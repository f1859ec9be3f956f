// The MACs of handshake messages and the cookies that a loaded receiver asks for (paper 5.3, 5.4.4, 5.4.7).
// One thread.
#ifndef USERSPACE_WIREGUARD_COOKIE_H_
#define USERSPACE_WIREGUARD_COOKIE_H_

#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "userspace/base/endpoint.h"
#include "userspace/wireguard/crypto.h"
#include "userspace/wireguard/messages.h"
#include "userspace/wireguard/random.h"

namespace lattice::wireguard {

// A cookie is good, and a secret that cookies are made with is used, for this long.
inline constexpr int64_t kCookieLifeNs = 120 * int64_t{1'000'000'000};

// Both derived from the public key of the message's receiver.
struct MacKeys {
  explicit MacKeys(const PublicKey& receiver);
  Hash mac1;
  SymmetricKey cookie;
};

// Checks what comes in. `message` is always a whole initiation or response: it ends with Macs.
class CookieChecker {
 public:
  // `random` must outlive this.
  CookieChecker(const PublicKey& local, Random& random) : keys_(local), random_(random) {}

  bool CheckMac1(Bytes message) const;
  // True if the sender got a cookie of ours at this address and port.
  bool CheckMac2(Bytes message, const Endpoint& from, int64_t now_ns);
  // The reply to `message`, whose mac1 is good, of sender index `sender`.
  void Reply(Bytes message, uint32_t sender, const Endpoint& from, int64_t now_ns, CookieReplyMessage* out);

 private:
  Mac CookieOf(const Endpoint& from, int64_t now_ns);

  const MacKeys keys_;
  Random& random_;
  SecretBytes<32> secret_;
  std::optional<int64_t> secret_born_ns_;
};

// Ends what goes out to one peer.
class CookieJar {
 public:
  explicit CookieJar(const PublicKey& remote) : keys_(remote) {}

  void AddMacs(absl::Span<uint8_t> message, int64_t now_ns);
  // False for a reply to no message of ours.
  bool Accept(const CookieReplyMessage& reply, int64_t now_ns);

 private:
  const MacKeys keys_;
  std::optional<Mac> last_mac1_;  // of the last message; gone once it was replied to
  Mac cookie_{};
  std::optional<int64_t> cookie_born_ns_;
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_COOKIE_H_
