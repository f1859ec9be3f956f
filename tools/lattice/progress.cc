#include "tools/lattice/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tools/lattice/format.h"

namespace lattice::cli {
namespace {

constexpr absl::Duration kQuiet = absl::Seconds(1);
constexpr absl::Duration kEvery = absl::Milliseconds(100);
constexpr int kCells = 20;
constexpr char kClearLine[] = "\r\033[K";

}  // namespace

Progress::Progress(std::string what, uint64_t total)
    : what_(std::move(what)), total_(total), terminal_(isatty(STDERR_FILENO) == 1), start_(absl::Now()) {}

Progress::~Progress() {
  if (visible_) absl::FPrintF(stderr, "%s", kClearLine);
}

void Progress::Update(uint64_t done) {
  if (!terminal_) return;
  const absl::Time now = absl::Now();
  if (now - start_ < kQuiet || now - shown_ < kEvery) return;
  shown_ = now;
  visible_ = true;
  absl::FPrintF(stderr, "%s%s", kClearLine, ProgressLine(what_, done, total_, now - start_));
  std::fflush(stderr);
}

std::string ProgressLine(const std::string& what, uint64_t done, uint64_t total, absl::Duration elapsed) {
  // It may have grown since it was measured.
  total = std::max({total, done, uint64_t{1}});
  const double part = static_cast<double>(done) / static_cast<double>(total);
  const auto filled = static_cast<size_t>(part * kCells);
  std::string line =
      absl::StrFormat("%s [%s%s] %3d %%  %s of %s", what, std::string(filled, '#'), std::string(kCells - filled, ' '),
                      static_cast<int>(part * 100), HumanBytes(done), HumanBytes(total));
  if (done > 0 && done < total) {
    absl::StrAppend(&line, "  ", HumanMs(absl::ToInt64Milliseconds(elapsed * (1 / part - 1))), " left");
  }
  return line;
}

}  // namespace lattice::cli
