// The real file system on a disk that fails appends or syncs while it is told to. Any thread.
#ifndef TESTS_TESTING_FAULTY_FILE_SYSTEM_H_
#define TESTS_TESTING_FAULTY_FILE_SYSTEM_H_

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "userspace/audit/file_system.h"

namespace lattice::testing {

class FaultyFileSystem : public audit::FileSystem {
 public:
  void set_append_fails(bool fails) { faults_.append = fails; }
  void set_sync_fails(bool fails) { faults_.sync = fails; }

  absl::StatusOr<std::unique_ptr<audit::File>> OpenAppend(const std::string& path, mode_t mode) override {
    absl::StatusOr<std::unique_ptr<audit::File>> file = real_.OpenAppend(path, mode);
    if (!file.ok()) return file;
    return std::make_unique<OpenFile>(faults_, *std::move(file));
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
  struct Faults {
    std::atomic<bool> append{false};
    std::atomic<bool> sync{false};
  };
  class OpenFile : public audit::File {
   public:
    OpenFile(const Faults& faults, std::unique_ptr<audit::File> real) : faults_(faults), real_(std::move(real)) {}
    absl::StatusOr<size_t> Append(absl::string_view data) override {
      if (faults_.append) return absl::ResourceExhaustedError("ENOSPC");
      return real_->Append(data);
    }
    absl::StatusOr<size_t> ReadAt(int64_t offset, char* buffer, size_t size) override {
      return real_->ReadAt(offset, buffer, size);
    }
    absl::Status Truncate(int64_t size) override { return real_->Truncate(size); }
    absl::Status Sync() override { return faults_.sync ? absl::InternalError("EIO") : real_->Sync(); }
    absl::StatusOr<audit::FileInfo> Stat() override { return real_->Stat(); }

   private:
    const Faults& faults_;
    const std::unique_ptr<audit::File> real_;
  };

  audit::FileSystem& real_ = audit::RealFileSystem();
  Faults faults_;
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_FAULTY_FILE_SYSTEM_H_
