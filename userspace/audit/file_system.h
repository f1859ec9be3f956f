// The few things the audit module does to files, as an interface, so that tests can
// fill the disk, cut the power and tear a write (tests/testing/fake_file_system.h).
//
// Every error is a Status whose message names the path. Write errors carry their
// class in the code: ENOSPC and EDQUOT are ResourceExhausted, the others what
// absl::ErrnoToStatus makes of them. Thread-safe as the kernel is; one File object
// belongs to one thread.
#ifndef USERSPACE_AUDIT_FILE_SYSTEM_H_
#define USERSPACE_AUDIT_FILE_SYSTEM_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lattice::audit {

struct FileInfo {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t size = 0;
  uint64_t links = 0;  // 0: deleted

  bool SameFile(const FileInfo& other) const { return device == other.device && inode == other.inode; }
};

// An open file; closed when destroyed.
class File {
 public:
  virtual ~File() = default;
  // Appends; may take only the first part, and then returns how much (never 0).
  virtual absl::StatusOr<size_t> Append(absl::string_view data) = 0;
  // Up to `size` bytes from `offset`; fewer only at the end of the file.
  virtual absl::StatusOr<size_t> ReadAt(int64_t offset, char* buffer, size_t size) = 0;
  virtual absl::Status Truncate(int64_t size) = 0;
  virtual absl::Status Sync() = 0;  // data and size are on the disk
  virtual absl::StatusOr<FileInfo> Stat() = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  // For appending and reading; created with `mode` if missing. The file is locked: of two
  // opens of one file the second is FailedPrecondition. A symbolic link or anything else
  // that is not a regular file is FailedPrecondition too.
  virtual absl::StatusOr<std::unique_ptr<File>> OpenAppend(const std::string& path, mode_t mode) = 0;
  virtual absl::StatusOr<std::unique_ptr<File>> OpenRead(const std::string& path) = 0;
  virtual absl::StatusOr<FileInfo> Stat(const std::string& path) = 0;  // NotFound
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& folder) = 0;  // names, any order
  virtual absl::Status SyncFolder(const std::string& folder) = 0;                        // names are on the disk
  virtual absl::StatusOr<std::string> ReadWhole(const std::string& path) = 0;
  // Old content or new content, never a mix, also after a crash.
  virtual absl::Status WriteAtomically(const std::string& path, absl::string_view content, mode_t mode) = 0;
};

// The kernel's. Lives as long as the program.
FileSystem& RealFileSystem();

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_FILE_SYSTEM_H_
