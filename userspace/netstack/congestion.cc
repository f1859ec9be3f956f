#include "userspace/netstack/congestion.h"

#include "userspace/netstack/bbr.h"
#include "userspace/netstack/cubic.h"

namespace lattice::netstack {

std::unique_ptr<CongestionControl> NewCongestionControl(Congestion kind, uint32_t mss, uint32_t seed) {
  if (kind == Congestion::kCubic) return std::make_unique<Cubic>(mss);
  return std::make_unique<Bbr>(mss, seed);
}

}  // namespace lattice::netstack
