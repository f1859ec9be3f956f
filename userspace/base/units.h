// Durations and sizes as operators write them in flags: "60s", "1h30m", "64MiB".
// What Print… gives, Parse… takes back. Any thread.
#ifndef USERSPACE_BASE_UNITS_H_
#define USERSPACE_BASE_UNITS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace lattice {

// A number with ms, s, m, h or d, several of them added up ("1h30m"); zero and more. A bare
// number is an error: nobody knows its unit.
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);
std::string PrintDuration(absl::Duration duration);

// A whole number of bytes, alone or with B, KiB, MiB, GiB (1024) or KB, MB, GB (1000).
absl::StatusOr<uint64_t> ParseSize(absl::string_view text);
// The largest of the 1024 units that leaves a whole number: 67108864 is "64MiB".
std::string PrintSize(uint64_t bytes);

}  // namespace lattice

#endif  // USERSPACE_BASE_UNITS_H_
