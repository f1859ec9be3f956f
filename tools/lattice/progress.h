// A progress bar on stderr for what takes longer than a second. Nothing is written where stderr is no terminal. One
// thread.
#ifndef TOOLS_LATTICE_PROGRESS_H_
#define TOOLS_LATTICE_PROGRESS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace lattice::cli {

class Progress {
 public:
  // `total` bytes are to be done.
  Progress(std::string what, uint64_t total);
  ~Progress();  // takes the bar away
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Update(uint64_t done);

 private:
  const std::string what_;
  const uint64_t total_;
  const bool terminal_;
  const absl::Time start_;
  absl::Time shown_;
  bool visible_ = false;
};

// "verifying [#########           ]  45 %  1.2 GiB of 2.6 GiB  3.4 s left"
std::string ProgressLine(const std::string& what, uint64_t done, uint64_t total, absl::Duration elapsed);

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_PROGRESS_H_
