// The real file system on a disk that fails each sync while it is told to. Any thread.
#ifndef TESTS_TESTING_UNSYNCABLE_FILE_SYSTEM_H_
#define TESTS_TESTING_UNSYNCABLE_FILE_SYSTEM_H_

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "userspace/audit/file_system.h"

namespace lattice::testing {

class UnsyncableFileSystem : public audit::FileSystem {
 public:
  void set_failing(bool failing) { failing_ = failing; }

  absl::StatusOr<std::unique_ptr<audit::File>> OpenAppend(const std::string& path, mode_t mode) override {
    absl::StatusOr<std::unique_ptr<audit::File>> file = real_.OpenAppend(path, mode);
    if (!file.ok()) return file;
    return std::make_unique<OpenFile>(failing_, *std::move(file));
  }
  absl::StatusOr<std::unique_ptr<audit::File>> OpenRead(const std::string& path) override {
    return real_.OpenRead(path);
  }
  absl::StatusOr<audit::FileInfo> Stat(const std::string& path) override { return real_.Stat(path); }
  absl::Status Rename(const std::string& from, const std::string& to) override { return real_.Rename(from, to); }
  absl::Status Remove(const std::string& path) override { return real_.Remove(path); }
  absl::StatusOr<std::vector<std::string>> List(const std::string& folder) override { return real_.List(folder); }
  absl::Status SyncFolder(const std::string& folder) override { return real_.SyncFolder(folder); }
  absl::StatusOr<std::string> ReadWhole(const std::string& path) override { return real_.ReadWhole(path); }
  absl::Status WriteAtomically(const std::string& path, absl::string_view content, mode_t mode) override {
    return real_.WriteAtomically(path, content, mode);
  }

 private:
  class OpenFile : public audit::File {
   public:
    OpenFile(const std::atomic<bool>& failing, std::unique_ptr<audit::File> real)
        : failing_(failing), real_(std::move(real)) {}
    absl::StatusOr<size_t> Append(absl::string_view data) override { return real_->Append(data); }
    absl::StatusOr<size_t> ReadAt(int64_t offset, char* buffer, size_t size) override {
      return real_->ReadAt(offset, buffer, size);
    }
    absl::Status Truncate(int64_t size) override { return real_->Truncate(size); }
    absl::Status Sync() override { return failing_ ? absl::InternalError("EIO") : real_->Sync(); }
    absl::StatusOr<audit::FileInfo> Stat() override { return real_->Stat(); }

   private:
    const std::atomic<bool>& failing_;
    const std::unique_ptr<audit::File> real_;
  };

  audit::FileSystem& real_ = audit::RealFileSystem();
  std::atomic<bool> failing_{false};
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_UNSYNCABLE_FILE_SYSTEM_H_
