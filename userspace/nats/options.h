// From Options to the library's natsOptions: checks, files, URLs. Private to this module.
#ifndef USERSPACE_NATS_OPTIONS_H_
#define USERSPACE_NATS_OPTIONS_H_

#include <nats/nats.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/nats/connection.h"

namespace lattice::nats {

struct NatsOptionsDeleter {
  void operator()(natsOptions* options) const { natsOptions_Destroy(options); }
};
using NatsOptionsPtr = std::unique_ptr<natsOptions, NatsOptionsDeleter>;

// Reads the secret files anew. Callbacks are not set.
absl::StatusOr<NatsOptionsPtr> MakeOptions(const Options& options);

// The first line of a file with a secret; `what` names it in an error ("password").
absl::StatusOr<std::string> ReadSecret(const std::string& path, absl::string_view what);

// `status` as a Status; the library's text for it and, of this thread, the detail it left, redacted.
absl::Status ToStatus(natsStatus status, absl::string_view context);

}  // namespace lattice::nats

#endif  // USERSPACE_NATS_OPTIONS_H_
