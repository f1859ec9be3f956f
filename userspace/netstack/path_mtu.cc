#include "userspace/netstack/path_mtu.h"

#include <algorithm>

namespace lattice::netstack {
namespace {
// An attacker who guesses sequence numbers of many peers must not fill memory.
constexpr size_t kMaxEntries = 4096;
// RFC 1191 7, those of interest today: Ethernet less tunnels, the least of IPv6, dial-up.
constexpr size_t kPlateaus[] = {1400, 1280, 1006, kMinMtuV4};

size_t Least(const IpAddress& destination) {
  return destination.is_v4() ? kMinMtuV4 : kMinMtuV6;
}
}  // namespace

size_t PathMtu::Get(const IpAddress& destination, int64_t now) {
  if (entries_.empty()) return interface_mtu_;
  const auto at = entries_.find(destination.bytes());
  if (at == entries_.end()) return interface_mtu_;
  if (at->second.until > now) return at->second.mtu;
  entries_.erase(at);
  return interface_mtu_;
}

size_t PathMtu::Below(const IpAddress& destination, int64_t now) {
  const size_t current = Get(destination, now);
  for (const size_t plateau : kPlateaus) {
    if (plateau < current && plateau >= Least(destination)) return plateau;
  }
  return 0;
}

bool PathMtu::Lower(const IpAddress& destination, size_t mtu, int64_t now) {
  if (mtu == 0) mtu = Below(destination, now);
  mtu = std::max(mtu, Least(destination));
  if (mtu >= Get(destination, now)) return false;
  if (entries_.size() >= kMaxEntries) {
    absl::erase_if(entries_, [now](const auto& entry) { return entry.second.until <= now; });
    if (entries_.size() >= kMaxEntries) entries_.erase(entries_.begin());
  }
  entries_[destination.bytes()] = {mtu, now + lifetime_ns_};
  return true;
}

}  // namespace lattice::netstack
