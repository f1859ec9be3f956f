// The value of `--forward`: a port of the overlay, and where on this host it leads.
//
//   8080:127.0.0.1:8080   8080:[::1]:80   8080:localhost:80   53/udp:127.0.0.1:53   8080:unix:/run/app.sock
//
// Any thread.
#ifndef USERSPACE_SANDBOX_FORWARD_SPEC_H_
#define USERSPACE_SANDBOX_FORWARD_SPEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lattice::sandbox {

struct ForwardSpec {
  uint16_t port = 0;  // of the overlay
  bool udp = false;
  // Either a path, or a host and a port.
  std::string unix_path;
  std::string host;  // an address without brackets, or a name of this host
  uint16_t host_port = 0;

  // As it is written.
  std::string ToString() const;
  bool operator==(const ForwardSpec&) const = default;
};

// InvalidArgument names the text, and what was expected.
absl::StatusOr<ForwardSpec> ParseForward(absl::string_view text);
// Separated by commas. InvalidArgument also where two have one port and protocol.
absl::StatusOr<std::vector<ForwardSpec>> ParseForwards(const std::vector<std::string>& texts);

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_FORWARD_SPEC_H_
