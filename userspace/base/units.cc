#include "userspace/base/units.h"

#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace lattice {
namespace {

struct Unit {
  absl::string_view name;
  uint64_t bytes;
};

// The 1024 units first and largest first: PrintSize takes the first that fits.
constexpr Unit kUnits[] = {
    {"GiB", uint64_t{1} << 30},
    {"MiB", uint64_t{1} << 20},
    {"KiB", uint64_t{1} << 10},
    {"GB", 1'000'000'000},
    {"MB", 1'000'000},
    {"KB", 1'000},
    {"B", 1},
};

size_t DigitCount(absl::string_view text) {
  size_t count = 0;
  while (count < text.size() && absl::ascii_isdigit(text[count])) ++count;
  return count;
}

// "2d3h" in hours: absl::ParseDuration knows no days.
absl::StatusOr<absl::Duration> TakeDays(absl::string_view* text) {
  const size_t digits = DigitCount(*text);
  int64_t days = 0;
  if (digits == 0 || digits == text->size() || (*text)[digits] != 'd') return absl::ZeroDuration();
  if (!absl::SimpleAtoi(text->substr(0, digits), &days)) return absl::InvalidArgumentError("out of range");
  text->remove_prefix(digits + 1);
  return days * absl::Hours(24);
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  const absl::Status bad = absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a duration: expected one like 500ms, 60s, 5m, 2h or 7d"));
  absl::string_view rest = text;
  const auto days = TakeDays(&rest);
  if (!days.ok() || text.empty()) return bad;
  absl::Duration time = absl::ZeroDuration();
  if (!rest.empty()) {
    // absl::ParseDuration takes a sign: "1d-1h" would be 23 hours.
    const bool has_unit = absl::ascii_isalpha(rest.back()) && rest.find_first_of("+-") == absl::string_view::npos;
    if (!has_unit || !absl::ParseDuration(rest, &time)) return bad;
  }
  const absl::Duration sum = *days + time;
  if (sum < absl::ZeroDuration() || sum == absl::InfiniteDuration()) return bad;
  return sum;
}

std::string PrintDuration(absl::Duration duration) {
  return absl::FormatDuration(duration);
}

absl::StatusOr<uint64_t> ParseSize(absl::string_view text) {
  const absl::Status bad = absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a size: expected one like 4096, 512KiB, 64MiB or 2GiB"));
  const size_t digits = DigitCount(text);
  uint64_t number = 0;
  if (digits == 0 || !absl::SimpleAtoi(text.substr(0, digits), &number)) return bad;
  const absl::string_view suffix = text.substr(digits);
  if (suffix.empty()) return number;
  for (const Unit& unit : kUnits) {
    if (!absl::EqualsIgnoreCase(suffix, unit.name)) continue;
    if (number > std::numeric_limits<uint64_t>::max() / unit.bytes) return bad;
    return number * unit.bytes;
  }
  return bad;
}

std::string PrintSize(uint64_t bytes) {
  for (const Unit& unit : kUnits) {
    if (bytes != 0 && unit.bytes % 1024 == 0 && bytes % unit.bytes == 0) {
      return absl::StrCat(bytes / unit.bytes, unit.name);
    }
  }
  return absl::StrCat(bytes, "B");
}

}  // namespace lattice
