// A file system in memory with faults: a disk of a given size, errors by call, and a
// power cut that keeps only what was synced. One thread.
#ifndef TESTS_TESTING_FAKE_FILE_SYSTEM_H_
#define TESTS_TESTING_FAKE_FILE_SYSTEM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "userspace/audit/file_system.h"

namespace lattice::testing {

class FakeFileSystem : public audit::FileSystem {
 public:
  // Faults; an OK status ends one.
  absl::Status fail_append;
  absl::Status fail_truncate;
  absl::Status fail_sync;
  absl::Status fail_rename;
  absl::Status fail_open_append;
  absl::Status fail_write_atomically;
  std::optional<int64_t> disk_bytes;  // appends take what fits, then ResourceExhausted
  size_t append_at_most = SIZE_MAX;   // each call takes no more than this

  // What happened.
  int appends = 0;
  int syncs = 0;

  // The machine loses its power: unsynced data, names and all locks are gone. Of each file's unsynced
  // data the first `kept` bytes happen to be on the disk, as zeros if `as_zeros`. Files still open
  // must not be used any more.
  void PowerOff(size_t kept = 0, bool as_zeros = false);
  // What others do to the files.
  std::string Content(const std::string& path);
  void SetContent(const std::string& path, std::string content);  // same inode if it exists
  void TruncateTo(const std::string& path, size_t size);
  bool Exists(const std::string& path) const { return names_.count(path) != 0; }
  std::vector<std::string> Paths() const;

  absl::StatusOr<std::unique_ptr<audit::File>> OpenAppend(const std::string& path, mode_t mode) override;
  absl::StatusOr<std::unique_ptr<audit::File>> OpenRead(const std::string& path) override;
  absl::StatusOr<audit::FileInfo> Stat(const std::string& path) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& folder) override;
  absl::Status SyncFolder(const std::string& folder) override;
  absl::StatusOr<std::string> ReadWhole(const std::string& path) override;
  absl::Status WriteAtomically(const std::string& path, absl::string_view content, mode_t mode) override;

 private:
  struct Inode;
  class OpenFile;
  using Names = std::map<std::string, std::shared_ptr<Inode>>;

  int64_t Used() const;
  absl::StatusOr<std::shared_ptr<Inode>> Find(const std::string& path) const;

  Names names_;
  Names durable_names_;
  uint64_t next_inode_ = 1;
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_FAKE_FILE_SYSTEM_H_
