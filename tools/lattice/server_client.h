// How `lattice` commands reach the control plane: its address, the caller's token, and the envelope of its answers.
#ifndef TOOLS_LATTICE_SERVER_CLIENT_H_
#define TOOLS_LATTICE_SERVER_CLIENT_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/lattice/args.h"

namespace lattice::cli {

// $LATTICE_CONFIG_DIR, or /etc/lattice.
std::string ConfigDir();

class ServerClient {
 public:
  // kToken adds --api-token-file besides --server-url; kOptional does too, and asks nobody when neither is given.
  enum class Login { kToken, kOptional, kNone };
  ServerClient(Args& args, Login login);

  // After Args::Parse. InvalidArgument: --server-url is none; an error of the token's file with the flag.
  absl::Status Resolve();
  // After Resolve(): whether there is a control plane to ask; false with kOptional alone.
  bool wanted() const { return !server_url_.empty(); }

  // The `data` of the answer, as JSON. An answer that is an error has the status that fits and the server's text;
  // Unavailable: nobody listens at --server-url.
  absl::StatusOr<std::string> Get(absl::string_view target) const { return Call("GET", target, ""); }
  absl::StatusOr<std::string> Call(const std::string& method, absl::string_view target, absl::string_view body) const;

  // GET, and `on_line` for each line of the answer as it comes; see http::Client::ForEachLine.
  absl::Status ForEachLine(absl::string_view target, const std::function<bool(absl::string_view)>& on_line) const;

  const std::string& server_url() const { return server_url_; }

 private:
  const Login login_;
  std::string& server_url_;
  std::string* token_file_ = nullptr;
  std::string token_;
};

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_SERVER_CLIENT_H_
