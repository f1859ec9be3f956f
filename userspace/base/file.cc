#include "userspace/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/base/unique_fd.h"

namespace lattice {

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  // Not blocking: the open of a FIFO waits for a writer.
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  struct stat status;
  if (fstat(fd.get(), &status) != 0) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  if (S_ISDIR(status.st_mode)) return ErrnoStatus(EISDIR, absl::StrCat("reading ", path));
  if (!S_ISREG(status.st_mode)) return absl::FailedPreconditionError(absl::StrCat(path, " is no regular file"));
  std::string content;
  char buffer[16384];
  while (true) {
    const ssize_t n = read(fd.get(), buffer, sizeof(buffer));
    if (n == 0) return content;
    if (n > 0) {
      content.append(buffer, static_cast<size_t>(n));
      if (content.size() > max_bytes) {
        return absl::FailedPreconditionError(absl::StrCat(path, " is larger than ", max_bytes, " bytes"));
      }
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, absl::StrCat("reading ", path));
    }
  }
}

absl::Status WriteAll(int fd, absl::string_view data) {
  while (!data.empty()) {
    const ssize_t n = write(fd, data.data(), data.size());
    if (n >= 0) {
      data.remove_prefix(static_cast<size_t>(n));
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, "writing");
    }
  }
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view content, mode_t mode) {
  // One name, for each of our files has one writer: what a kill left behind goes with the next write.
  const std::string temporary = absl::StrCat(path, ".tmp");
  unlink(temporary.c_str());
  UniqueFd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd.ok()) return ErrnoStatus(errno, absl::StrCat("creating ", temporary));
  absl::Status written = Annotate(WriteAll(fd.get(), content), temporary);
  if (written.ok() && fsync(fd.get()) != 0) written = ErrnoStatus(errno, absl::StrCat("syncing ", temporary));
  if (written.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    written = ErrnoStatus(errno, absl::StrCat("renaming ", temporary, " to ", path));
  }
  if (!written.ok()) {
    unlink(temporary.c_str());  // The error that is reported is the first one.
    return written;
  }
  const std::string folder = std::filesystem::path(path).parent_path().string();
  UniqueFd folder_fd(open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder_fd.ok() || fsync(folder_fd.get()) != 0)
    return ErrnoStatus(errno, absl::StrCat("syncing the folder of ", path));
  return absl::OkStatus();
}

absl::Status MakeDirectories(const std::string& path, mode_t mode) {
  std::filesystem::path sofar;
  for (const std::filesystem::path& part : std::filesystem::path(path)) {
    sofar /= part;
    if (part.empty() || part == "/") continue;
    if (mkdir(sofar.c_str(), mode) == 0) continue;
    int error = errno;
    struct stat status;
    if (error == EEXIST && stat(sofar.c_str(), &status) == 0 && !S_ISDIR(status.st_mode)) error = ENOTDIR;
    if (error != EEXIST) return ErrnoStatus(error, absl::StrCat("making the folder ", sofar.string()));
  }
  return absl::OkStatus();
}

}  // namespace lattice
