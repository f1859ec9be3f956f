// Which data plane a `lattice dp` command is about, and how to reach its daemon.
#ifndef TOOLS_LATTICE_TARGET_H_
#define TOOLS_LATTICE_TARGET_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/lattice/args.h"

namespace lattice::cli {

// How every command ends.
enum ExitCode {
  kOk = 0,
  kFailed = 1,  // it failed, or the answer is a bad one (not enforcing, the doctor found something)
  kUsage = 2,   // wrong arguments, or a policy file with an error
};

// Prints "lattice: …" on stderr. InvalidArgument gives kUsage, the rest kFailed.
ExitCode Fail(const absl::Status& status);

class Target {
 public:
  // Adds --iface, --pin-path and --admin-socket.
  explicit Target(Args& args);

  // After Args::Parse. Without --iface it is the one interface that has pins; InvalidArgument when there are
  // several or none.
  absl::Status Resolve();

  const std::string& iface() const { return iface_; }
  const std::string& pin_path() const { return pin_path_; }
  const std::string& admin_socket() const { return admin_socket_; }

  // The Unavailable that says so.
  absl::Status NotRunning() const;
  // The body of a 2xx answer. Unavailable: no daemon, with what to do; else what the daemon said.
  absl::StatusOr<std::string> Get(const std::string& path) const;
  absl::StatusOr<std::string> Post(const std::string& path, absl::string_view body) const;

 private:
  std::string& iface_;
  std::string& pin_path_;
  std::string& admin_socket_;
};

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_TARGET_H_
