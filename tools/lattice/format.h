// Numbers and tables for people. Pure functions.
#ifndef TOOLS_LATTICE_FORMAT_H_
#define TOOLS_LATTICE_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

namespace lattice::cli {

// "0 B", "999 B", "1.5 KiB", "64.0 MiB": powers of 1024, three or four digits.
std::string HumanBytes(uint64_t bytes);
// "1.5 KiB/s"
std::string HumanRate(double bytes_per_second);
// "12 ms", "3.4 s", "5m 12s", "2h 3m", "4d 1h"
std::string HumanMs(int64_t ms);
// "1,234,567"
std::string HumanCount(uint64_t count);

// Columns as wide as their widest cell, two blanks apart; no blanks at line ends. A column whose header
// begins with '>' is aligned to the right (the mark is not printed).
class Table {
 public:
  explicit Table(std::vector<std::string> headers) : rows_({std::move(headers)}) {}
  void Row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.size() == 1; }
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_FORMAT_H_
