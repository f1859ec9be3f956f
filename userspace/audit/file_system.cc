#include "userspace/audit/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/base/unique_fd.h"

namespace lattice::audit {
namespace {

FileInfo InfoOf(const struct stat& st) {
  return {.device = st.st_dev, .inode = st.st_ino, .size = st.st_size, .links = st.st_nlink};
}

class RealFile : public File {
 public:
  RealFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  absl::StatusOr<size_t> Append(absl::string_view data) override {
    while (true) {
      const ssize_t n = write(fd_.get(), data.data(), data.size());
      if (n > 0) return static_cast<size_t>(n);
      // A write of some bytes that takes none is not in POSIX for regular files.
      if (n == 0) return ErrnoStatus(EIO, absl::StrCat("writing ", path_));
      if (errno != EINTR) return ErrnoStatus(errno, absl::StrCat("writing ", path_));
    }
  }

  absl::StatusOr<size_t> ReadAt(int64_t offset, char* buffer, size_t size) override {
    size_t done = 0;
    while (done < size) {
      const ssize_t n = pread(fd_.get(), buffer + done, size - done, offset + static_cast<int64_t>(done));
      if (n == 0) break;
      if (n > 0) {
        done += static_cast<size_t>(n);
      } else if (errno != EINTR) {
        return ErrnoStatus(errno, absl::StrCat("reading ", path_));
      }
    }
    return done;
  }

  absl::Status Truncate(int64_t size) override {
    if (ftruncate(fd_.get(), size) != 0) return ErrnoStatus(errno, absl::StrCat("cutting ", path_));
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    if (fdatasync(fd_.get()) != 0) return ErrnoStatus(errno, absl::StrCat("syncing ", path_));
    return absl::OkStatus();
  }

  absl::StatusOr<FileInfo> Stat() override {
    struct stat st;
    if (fstat(fd_.get(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("stat of ", path_));
    return InfoOf(st);
  }

 private:
  UniqueFd fd_;
  std::string path_;
};

absl::StatusOr<UniqueFd> OpenRegular(const std::string& path, int flags, mode_t mode) {
  // O_NONBLOCK: a FIFO at the path must not hang the open; on regular files it changes nothing.
  UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, mode));
  if (!fd.ok() && errno == ELOOP) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is a symbolic link: name the file itself"));
  }
  if (!fd.ok()) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  struct stat st;
  if (fstat(fd.get(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("stat of ", path));
  if (!S_ISREG(st.st_mode)) return absl::FailedPreconditionError(absl::StrCat(path, " is not a regular file"));
  return fd;
}

class RealFs : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> OpenAppend(const std::string& path, mode_t mode) override {
    LATTICE_ASSIGN_OR_RETURN(UniqueFd fd, OpenRegular(path, O_RDWR | O_APPEND | O_CREAT, mode));
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return ErrnoStatus(errno, absl::StrCat("locking ", path));
      return absl::FailedPreconditionError(absl::StrCat(path, " is being written by another process"));
    }
    return std::make_unique<RealFile>(std::move(fd), path);
  }

  absl::StatusOr<std::unique_ptr<File>> OpenRead(const std::string& path) override {
    LATTICE_ASSIGN_OR_RETURN(UniqueFd fd, OpenRegular(path, O_RDONLY, 0));
    return std::make_unique<RealFile>(std::move(fd), path);
  }

  absl::StatusOr<FileInfo> Stat(const std::string& path) override {
    struct stat st;
    if (stat(path.c_str(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("stat of ", path));
    return InfoOf(st);
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) != 0) {
      return ErrnoStatus(errno, absl::StrCat("renaming ", from, " to ", to));
    }
    return absl::OkStatus();
  }

  absl::Status Remove(const std::string& path) override {
    if (unlink(path.c_str()) != 0) return ErrnoStatus(errno, absl::StrCat("removing ", path));
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& folder) override {
    struct Closer {
      void operator()(DIR* dir) const { closedir(dir); }
    };
    const std::unique_ptr<DIR, Closer> dir(opendir(folder.c_str()));
    if (dir == nullptr) return ErrnoStatus(errno, absl::StrCat("listing ", folder));
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = readdir(dir.get())) names.emplace_back(entry->d_name);
    if (errno != 0) return ErrnoStatus(errno, absl::StrCat("listing ", folder));
    return names;
  }

  absl::Status SyncFolder(const std::string& folder) override {
    const UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.ok() || fsync(fd.get()) != 0) return ErrnoStatus(errno, absl::StrCat("syncing the folder ", folder));
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadWhole(const std::string& path) override { return ReadFile(path); }

  absl::Status WriteAtomically(const std::string& path, absl::string_view content, mode_t mode) override {
    return WriteFileAtomically(path, content, mode);
  }
};

}  // namespace

FileSystem& RealFileSystem() {
  static RealFs file_system;
  return file_system;
}

}  // namespace lattice::audit
