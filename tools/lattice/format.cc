#include "tools/lattice/format.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lattice::cli {
namespace {

std::string Scaled(double value, const char* suffix) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  // 1023.95 would print as "1024.0".
  while (value >= 1023.95 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0) return absl::StrFormat("%.0f B%s", value, suffix);
  return absl::StrFormat("%.1f %s%s", value, kUnits[unit], suffix);
}

}  // namespace

std::string HumanBytes(uint64_t bytes) {
  return Scaled(static_cast<double>(bytes), "");
}

std::string HumanRate(double bytes_per_second) {
  return Scaled(std::max(bytes_per_second, 0.0), "/s");
}

std::string HumanMs(int64_t ms) {
  if (ms < 1000) return absl::StrCat(ms, " ms");
  if (ms < 60'000) return absl::StrFormat("%.1f s", static_cast<double>(ms / 100) / 10);
  const int64_t minutes = ms / 60'000;
  if (minutes < 60) return absl::StrCat(minutes, "m ", ms / 1000 % 60, "s");
  const int64_t hours = minutes / 60;
  if (hours < 24) return absl::StrCat(hours, "h ", minutes % 60, "m");
  return absl::StrCat(hours / 24, "d ", hours % 24, "h");
}

std::string HumanCount(uint64_t count) {
  std::string digits = absl::StrCat(count);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<size_t>(at), 1, ',');
  return digits;
}

std::string Table::ToString() const {
  std::vector<size_t> widths(rows_[0].size());
  std::vector<bool> right(rows_[0].size());
  const auto text = [&](size_t row, size_t column) {
    std::string cell = column < rows_[row].size() ? rows_[row][column] : "";
    return row == 0 && right[column] ? cell.substr(1) : cell;
  };
  for (size_t column = 0; column < widths.size(); ++column) {
    right[column] = !rows_[0][column].empty() && rows_[0][column][0] == '>';
    for (size_t row = 0; row < rows_.size(); ++row) widths[column] = std::max(widths[column], text(row, column).size());
  }
  std::string out;
  for (size_t row = 0; row < rows_.size(); ++row) {
    std::string line;
    for (size_t column = 0; column < widths.size(); ++column) {
      const std::string cell = text(row, column);
      const std::string blanks(widths[column] - cell.size(), ' ');
      absl::StrAppend(&line, column == 0 ? "" : "  ",
                      right[column] ? absl::StrCat(blanks, cell) : absl::StrCat(cell, blanks));
    }
    absl::StrAppend(&out, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  return out;
}

}  // namespace lattice::cli
