// The two Status macros and errno -> Status. Context is added once per layer:
//   LATTICE_RETURN_IF_ERROR(Annotate(link.Attach(), "while attaching to wg0"));
#ifndef USERSPACE_BASE_STATUS_H_
#define USERSPACE_BASE_STATUS_H_

#include <cerrno>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

#define LATTICE_RETURN_IF_ERROR(expr)                  \
  do {                                                 \
    absl::Status lattice_status_ = (expr);             \
    if (!lattice_status_.ok()) return lattice_status_; \
  } while (0)

#define LATTICE_STATUS_CONCAT_INNER_(a, b) a##b
#define LATTICE_STATUS_CONCAT_(a, b) LATTICE_STATUS_CONCAT_INNER_(a, b)

// LATTICE_ASSIGN_OR_RETURN(auto x, F()): x from the StatusOr F() returns, or its error.
#define LATTICE_ASSIGN_OR_RETURN(lhs, expr) \
  LATTICE_ASSIGN_OR_RETURN_(LATTICE_STATUS_CONCAT_(lattice_statusor_, __LINE__), lhs, expr)
#define LATTICE_ASSIGN_OR_RETURN_(tmp, lhs, expr) \
  auto tmp = (expr);                              \
  if (!tmp.ok()) return std::move(tmp).status();  \
  lhs = std::move(tmp).value()

namespace lattice {

// The Status of the errno value `error`, its text after `message`.
inline absl::Status ErrnoStatus(int error, absl::string_view message) {
  return absl::ErrnoToStatus(error, message);
}

// `status` with `context` in front of its message; OK stays OK.
inline absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

}  // namespace lattice

#endif  // USERSPACE_BASE_STATUS_H_
