// Whole-file helpers with errors that name the path.
#ifndef USERSPACE_BASE_FILE_H_
#define USERSPACE_BASE_FILE_H_

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lattice {

// Never waits and never takes more than `max_bytes`. FailedPrecondition: larger than that, or no regular file
// (a FIFO, a device).
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes = size_t{64} << 20);

// Replaces `path` as one: temporary file in the same folder, fsync, rename, fsync of
// the folder. After a crash there is the old file or the new one. One writer at a time for a path: the temporary
// file is `path`.tmp.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view content, mode_t mode);

// All of `data`, however often the kernel takes only a part; EINTR is repeated.
absl::Status WriteAll(int fd, absl::string_view data);

// mkdir -p; existing folders are left as they are.
absl::Status MakeDirectories(const std::string& path, mode_t mode);

}  // namespace lattice

#endif  // USERSPACE_BASE_FILE_H_
