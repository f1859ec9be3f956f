#include "userspace/datapath/libbpf_log.h"

#include <bpf/libbpf.h>
#include <glog/logging.h>

#include <cstdarg>
#include <cstdio>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace lattice::datapath {
namespace {

constexpr size_t kShownLogLines = 25;

thread_local std::string* libbpf_log = nullptr;

// A verifier's log comes as one message, of up to 16 MiB.
std::string Format(const char* format, va_list args) {
  va_list again;
  va_copy(again, args);
  const int size = vsnprintf(nullptr, 0, format, args);
  std::string text(size < 0 ? 0 : static_cast<size_t>(size), '\0');
  vsnprintf(text.data(), text.size() + 1, format, again);
  va_end(again);
  return text;
}

int Keep(libbpf_print_level level, const char* format, va_list args) {
  if (level == LIBBPF_DEBUG) return 0;
  const std::string text = Format(format, args);
  if (libbpf_log != nullptr) {
    libbpf_log->append(text);
  } else {
    VLOG(1) << "libbpf: " << text;
  }
  return static_cast<int>(text.size());
}

}  // namespace

LibbpfLog::LibbpfLog() {
  libbpf_set_print(Keep);
  libbpf_log = &text_;
}

LibbpfLog::~LibbpfLog() {
  libbpf_log = nullptr;
}

std::string LibbpfLog::LastLines() const {
  VLOG(1) << "libbpf: " << text_;
  std::vector<absl::string_view> lines = absl::StrSplit(text_, '\n', absl::SkipWhitespace());
  if (lines.size() > kShownLogLines) lines.erase(lines.begin(), lines.end() - kShownLogLines);
  return absl::StrJoin(lines, "\n");
}

bool LibbpfLog::VerifierSpoke() const {
  return absl::StrContains(text_, "PROG LOAD LOG");
}

}  // namespace lattice::datapath
