#include "userspace/dp/cgroup_names.h"

#include <sys/stat.h>

#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/str_split.h"
#include "userspace/base/file.h"

namespace lattice::dp {
namespace {

constexpr int64_t kWalkIntervalNs = 5'000'000'000;

}  // namespace

absl::string_view CgroupNames::Path(uint64_t id) {
  if (id == 0 || root_.empty()) return {};
  if (const auto found = paths_.find(id); found != paths_.end()) return found->second;
  const int64_t now = clock_.MonotonicNs();
  if (walked_ns_ != INT64_MIN && now - walked_ns_ < kWalkIntervalNs) return {};
  walked_ns_ = now;
  Walk();
  // Remembered even if unknown, so that a cgroup that is gone doesn't cost a walk per record.
  return paths_[id];
}

// A cgroup's id is the inode of its folder (cgroup_id() in the kernel, 64-bit machines).
void CgroupNames::Walk() {
  namespace fs = std::filesystem;
  std::error_code error;  // folders come and go while we walk: what can't be read is left out
  struct stat info;
  if (stat(root_.c_str(), &info) == 0) paths_.insert_or_assign(info.st_ino, std::string(1, '/'));
  auto it = fs::recursive_directory_iterator(root_, fs::directory_options::skip_permission_denied, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    std::error_code entry_error;
    if (!it->is_directory(entry_error) || stat(it->path().c_str(), &info) != 0) continue;
    paths_[info.st_ino] = it->path().string().substr(root_.size());
  }
}

std::string Cgroup2Root() {
  const auto mounts = ReadFile("/proc/self/mounts");
  if (!mounts.ok()) return "";
  for (absl::string_view line : absl::StrSplit(*mounts, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    if (fields.size() > 2 && fields[2] == "cgroup2") return std::string(fields[1]);
  }
  return "";
}

}  // namespace lattice::dp
