// JSON from outside, in bounds: size and depth are checked before the parser sees it, and nothing throws. Heavy to
// include: .cc files only. Any thread.
#ifndef USERSPACE_CONTROL_REGISTRY_WIRE_JSON_H_
#define USERSPACE_CONTROL_REGISTRY_WIRE_JSON_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lattice::control {

inline constexpr size_t kMaxWireBytes = 64 << 10;
inline constexpr int kMaxWireDepth = 8;

// InvalidArgument: larger, deeper, no JSON, or no object.
absl::StatusOr<nlohmann::json> ParseWireObject(absl::string_view text, size_t max_bytes = kMaxWireBytes);

// Field readers: a missing or null field gives the default; one of another type, or out of bounds, is an
// InvalidArgument that names it.
struct WireFields {
  const nlohmann::json& object;

  absl::StatusOr<std::string> Text(const char* key, size_t max_bytes = 256) const;
  absl::StatusOr<int64_t> Number(const char* key, int64_t least, int64_t most, int64_t otherwise = 0) const;
  // Texts of at most max_bytes each.
  absl::StatusOr<std::vector<std::string>> Texts(const char* key, size_t max_count, size_t max_bytes = 256) const;
};

// One line; bytes that are no UTF-8 are replaced.
std::string ToText(const nlohmann::json& json);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_WIRE_JSON_H_
