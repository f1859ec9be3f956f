#include "userspace/datapath/jiffies.h"

#include <time.h>

#include <algorithm>
#include <cerrno>

#include "userspace/base/status.h"

namespace lattice::datapath {

absl::StatusOr<uint64_t> NsPerJiffy() {
  timespec resolution;
  if (clock_getres(CLOCK_MONOTONIC_COARSE, &resolution) != 0) {
    return ErrnoStatus(errno, "reading the length of a jiffy (CLOCK_MONOTONIC_COARSE)");
  }
  const uint64_t ns = static_cast<uint64_t>(resolution.tv_sec) * 1'000'000'000 + resolution.tv_nsec;
  // HZ is 24 to 10000 in every kernel that was ever released.
  if (ns < 100'000 || ns > 42'000'000) {
    return absl::InternalError(absl::StrCat("the kernel says that a jiffy takes ", ns, " ns"));
  }
  return ns;
}

uint64_t ToJiffies(absl::Duration duration, uint64_t ns_per_jiffy) {
  const uint64_t ns = static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Nanoseconds(duration)));
  return std::max<uint64_t>(1, ns / ns_per_jiffy + (ns % ns_per_jiffy != 0));
}

}  // namespace lattice::datapath
