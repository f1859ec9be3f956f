// lattice agents, lattice agents revoke | approve.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/server_client.h"
#include "tools/lattice/server_views.h"
#include "userspace/http/client.h"

namespace lattice::cli {
namespace {

ExitCode Change(const Words& words, const std::string& verb, const std::string& summary) {
  Args args(absl::StrCat("lattice agents ", verb), summary);
  ServerClient server(args, ServerClient::Login::kToken);
  const std::string& agent = args.Positional("AGENT", "Its name.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  if (const absl::Status resolved = server.Resolve(); !resolved.ok()) return Fail(resolved);
  const absl::StatusOr<std::string> data =
      server.Call("POST", absl::StrCat("/api/v1/agents/", http::EscapeQuery(agent), "/", verb), "");
  return data.ok() ? kOk : Fail(data.status());
}

}  // namespace

ExitCode RunAgents(const Words& words) {
  Args args("lattice agents", "The agents: who enrolled, where they are, what they do.");
  ServerClient server(args, ServerClient::Login::kToken);
  const std::string& from = args.Text("from", "-24h", "TIME", "Flows since then: RFC 3339, or -1h, -7d.");
  const bool& json = args.Switch("json", "Print JSON.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  if (const absl::Status resolved = server.Resolve(); !resolved.ok()) return Fail(resolved);
  const absl::StatusOr<std::string> data = server.Get(absl::StrCat("/api/v1/agents?from=", http::EscapeQuery(from)));
  if (!data.ok()) return Fail(data.status());
  const absl::StatusOr<std::string> text = json ? *data + "\n" : AgentsTable(*data);
  if (!text.ok()) return Fail(text.status());
  absl::PrintF("%s", *text);
  return kOk;
}

ExitCode RunAgentsRevoke(const Words& words) {
  return Change(words, "revoke",
                "Ends an agent's tokens and takes it from its peers' maps. It comes back only with a new enrolment\n"
                "token: lattice token create --name AGENT.");
}

ExitCode RunAgentsApprove(const Words& words) {
  return Change(words, "approve", "Lets a pending agent in.");
}

}  // namespace lattice::cli
