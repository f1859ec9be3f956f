#include "tests/testing/fake_file_system.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "userspace/audit/segment.h"

namespace lattice::testing {

struct FakeFileSystem::Inode {
  uint64_t number;
  std::string data;
  std::string durable;
  uint64_t links = 1;
  bool locked = false;
};

class FakeFileSystem::OpenFile : public audit::File {
 public:
  OpenFile(FakeFileSystem& fs, std::shared_ptr<Inode> inode, bool locks)
      : fs_(fs), inode_(std::move(inode)), locks_(locks) {}
  ~OpenFile() override {
    if (locks_) inode_->locked = false;
  }

  absl::StatusOr<size_t> Append(absl::string_view data) override {
    ++fs_.appends;
    if (!fs_.fail_append.ok()) return fs_.fail_append;
    size_t n = std::min(data.size(), fs_.append_at_most);
    if (fs_.disk_bytes.has_value()) {
      const int64_t room = std::max<int64_t>(0, *fs_.disk_bytes - fs_.Used());
      n = std::min(n, static_cast<size_t>(room));
    }
    if (n == 0) return absl::ResourceExhaustedError("no space left");
    inode_->data.append(data.data(), n);
    return n;
  }
  absl::StatusOr<size_t> ReadAt(int64_t offset, char* buffer, size_t size) override {
    const std::string& data = inode_->data;
    if (static_cast<size_t>(offset) >= data.size()) return size_t{0};
    const size_t n = std::min(size, data.size() - static_cast<size_t>(offset));
    std::memcpy(buffer, data.data() + offset, n);
    return n;
  }
  absl::Status Truncate(int64_t size) override {
    if (!fs_.fail_truncate.ok()) return fs_.fail_truncate;
    inode_->data.resize(static_cast<size_t>(size));
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    ++fs_.syncs;
    if (!fs_.fail_sync.ok()) return fs_.fail_sync;
    inode_->durable = inode_->data;
    return absl::OkStatus();
  }
  absl::StatusOr<audit::FileInfo> Stat() override {
    return audit::FileInfo{.device = 1,
                           .inode = inode_->number,
                           .size = static_cast<int64_t>(inode_->data.size()),
                           .links = inode_->links};
  }

 private:
  FakeFileSystem& fs_;
  std::shared_ptr<Inode> inode_;
  bool locks_;
};

int64_t FakeFileSystem::Used() const {
  int64_t used = 0;
  for (const auto& [path, inode] : names_) used += static_cast<int64_t>(inode->data.size());
  return used;
}

absl::StatusOr<std::shared_ptr<FakeFileSystem::Inode>> FakeFileSystem::Find(const std::string& path) const {
  const auto found = names_.find(path);
  if (found == names_.end()) return absl::NotFoundError(path);
  return found->second;
}

void FakeFileSystem::PowerOff(size_t kept, bool as_zeros) {
  names_ = durable_names_;
  for (auto& [path, inode] : names_) {
    const std::string written = std::exchange(inode->data, inode->durable);
    if (absl::StartsWith(written, inode->data)) {
      const std::string more = written.substr(inode->data.size(), kept);
      inode->data += as_zeros ? std::string(more.size(), '\0') : more;
    }
    inode->durable = inode->data;
    inode->locked = false;
  }
}

std::string FakeFileSystem::Content(const std::string& path) {
  const auto found = names_.find(path);
  return found == names_.end() ? "" : found->second->data;
}

void FakeFileSystem::SetContent(const std::string& path, std::string content) {
  std::shared_ptr<Inode>& inode = names_[path];
  if (inode == nullptr) inode = std::make_shared<Inode>(Inode{.number = next_inode_++});
  inode->data = std::move(content);
}

void FakeFileSystem::TruncateTo(const std::string& path, size_t size) {
  names_.at(path)->data.resize(size);
}

std::vector<std::string> FakeFileSystem::Paths() const {
  std::vector<std::string> paths;
  for (const auto& [path, inode] : names_) paths.push_back(path);
  return paths;
}

absl::StatusOr<std::unique_ptr<audit::File>> FakeFileSystem::OpenAppend(const std::string& path, mode_t) {
  if (!fail_open_append.ok()) return fail_open_append;
  std::shared_ptr<Inode>& inode = names_[path];
  if (inode == nullptr) inode = std::make_shared<Inode>(Inode{.number = next_inode_++});
  if (inode->locked) return absl::FailedPreconditionError(absl::StrCat(path, " is being written by another process"));
  inode->locked = true;
  return std::make_unique<OpenFile>(*this, inode, true);
}

absl::StatusOr<std::unique_ptr<audit::File>> FakeFileSystem::OpenRead(const std::string& path) {
  absl::StatusOr<std::shared_ptr<Inode>> inode = Find(path);
  if (!inode.ok()) return inode.status();
  return std::make_unique<OpenFile>(*this, *std::move(inode), false);
}

absl::StatusOr<audit::FileInfo> FakeFileSystem::Stat(const std::string& path) {
  absl::StatusOr<std::unique_ptr<audit::File>> file = OpenRead(path);
  if (!file.ok()) return file.status();
  return (*file)->Stat();
}

absl::Status FakeFileSystem::Rename(const std::string& from, const std::string& to) {
  if (!fail_rename.ok()) return fail_rename;
  absl::StatusOr<std::shared_ptr<Inode>> inode = Find(from);
  if (!inode.ok()) return inode.status();
  names_.erase(from);
  names_[to] = *std::move(inode);
  return absl::OkStatus();
}

absl::Status FakeFileSystem::Remove(const std::string& path) {
  absl::StatusOr<std::shared_ptr<Inode>> inode = Find(path);
  if (!inode.ok()) return inode.status();
  (*inode)->links = 0;
  names_.erase(path);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> FakeFileSystem::List(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& [path, inode] : names_) {
    if (audit::FolderOf(path) == folder) names.push_back(path.substr(path.rfind('/') + 1));
  }
  return names;
}

absl::Status FakeFileSystem::SyncFolder(const std::string&) {
  durable_names_ = names_;
  return absl::OkStatus();
}

absl::StatusOr<std::string> FakeFileSystem::ReadWhole(const std::string& path) {
  absl::StatusOr<std::shared_ptr<Inode>> inode = Find(path);
  if (!inode.ok()) return inode.status();
  return (*inode)->data;
}

absl::Status FakeFileSystem::WriteAtomically(const std::string& path, absl::string_view content, mode_t) {
  if (!fail_write_atomically.ok()) return fail_write_atomically;
  auto inode = std::make_shared<Inode>(Inode{.number = next_inode_++});
  inode->data = inode->durable = std::string(content);
  names_[path] = inode;
  durable_names_ = names_;  // the folder is synced with it
  return absl::OkStatus();
}

}  // namespace lattice::testing
