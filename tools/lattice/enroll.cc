// lattice enroll: an identity without a place on the overlay.
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/server_client.h"
#include "tools/lattice/server_views.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::cli {
namespace {

absl::Status Enroll(const ServerClient& server, const std::string& name, const std::string& token,
                    const std::string& out) {
  if (token.empty()) return absl::InvalidArgumentError("--token is required: make one with `lattice token create`");
  if (name.empty()) return absl::InvalidArgumentError("--name is required: what records and policies call the agent");
  if (out.empty()) return absl::InvalidArgumentError("--out is required: the file for the agent's token");
  // The token is good once: what can fail without it goes before it.
  const size_t slash = out.rfind('/');
  if (slash != std::string::npos && slash > 0) {
    const absl::Status made = MakeDirectories(out.substr(0, slash), 0755);
    if (!made.ok()) return Annotate(made, absl::StrCat("--out=", out, ": the token was not used"));
  }
  const std::string trial = out + ".tmp";
  const absl::Status writable = WriteFileAtomically(trial, "", 0600);
  if (!writable.ok()) return Annotate(writable, absl::StrCat("--out=", out, ": the token was not used"));
  if (unlink(trial.c_str()) != 0) return ErrnoStatus(errno, trial);
  const nlohmann::json body = {{"enrollmentToken", token}, {"agentName", name}, {"publicKey", ""}, {"sandbox", false}};
  LATTICE_ASSIGN_OR_RETURN(const std::string data,
                           server.Call("POST", "/api/v1/agent-isolation/register",
                                       body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
  LATTICE_ASSIGN_OR_RETURN(const std::string jwt, DataText(data, "jwt"));
  return Annotate(WriteFileAtomically(out, jwt + "\n", 0600), "--out");
}

}  // namespace

ExitCode RunEnroll(const Words& words) {
  Args args("lattice enroll", "Redeems an enrolment token for an agent's token, without WireGuard.");
  ServerClient server(args, ServerClient::Login::kNone);
  const std::string& name = args.Text("name", "", "AGENT", "The agent's name.");
  const std::string& token = args.Text("token", "", "TOKEN", "From `lattice token create`. Good once.");
  const std::string& out = args.Text("out", "", "FILE", "Where the agent's token goes, mode 0600.");
  args.Note("For latticed-dp --agent-token-file=FILE on an interface that somebody else made.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  if (const absl::Status resolved = server.Resolve(); !resolved.ok()) return Fail(resolved);
  const absl::Status enrolled = Enroll(server, name, token, out);
  return enrolled.ok() ? kOk : Fail(enrolled);
}

}  // namespace lattice::cli
