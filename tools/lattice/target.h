// Which data plane a `lattice dp` command is about, and how to reach its daemon.
#ifndef TOOLS_LATTICE_TARGET_H_
#define TOOLS_LATTICE_TARGET_H_

#include <functional>
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

  // After Args::Parse. Without --iface the daemon at --admin-socket tells its interface, or without that it is the
  // one interface that has pins. InvalidArgument: several have; NotFound: none has; Unavailable: nobody listens at
  // --admin-socket; PermissionDenied: the pins or the socket are not ours to read.
  absl::Status Resolve();

  const std::string& iface() const { return iface_; }
  const std::string& pin_path() const { return pin_path_; }
  const std::string& admin_socket() const { return admin_socket_; }

  // The body of a 2xx answer. Unavailable: no daemon, with what to do; else what the daemon said, InvalidArgument
  // that its interface is not ours.
  absl::StatusOr<std::string> Get(absl::string_view path) const;
  absl::StatusOr<std::string> Post(absl::string_view path, absl::string_view body) const;
  // See http::Client::ForEachLine; errors as above.
  absl::Status ForEachLine(absl::string_view path, const std::function<bool(absl::string_view)>& on_line) const;

 private:
  absl::Status AskInterface();
  // `path` with the interface that is meant, so that a daemon of another one refuses.
  std::string WithInterface(absl::string_view path) const;
  absl::Status NotRunning() const;
  absl::Status Explain(const absl::Status& status) const;

  std::string& iface_;
  std::string& pin_path_;
  std::string& admin_socket_;
};

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_TARGET_H_
