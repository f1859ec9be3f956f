// lattice policy set | show: the policy that the control plane gives to an agent.
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/server_client.h"
#include "tools/lattice/server_views.h"
#include "userspace/http/client.h"

namespace lattice::cli {
namespace {

ExitCode Print(const absl::StatusOr<std::string>& text) {
  if (!text.ok()) return Fail(text.status());
  absl::PrintF("%s", *text);
  return kOk;
}

std::string PolicyPath(const std::string& agent) {
  return absl::StrCat("/api/v1/agents/", http::EscapeQuery(agent), "/policy");
}

// A name that nobody has is allowed, and often a typing error.
void WarnIfUnknown(const ServerClient& server, const std::string& agent) {
  const absl::StatusOr<std::string> data = server.Get("/api/v1/agents");
  const auto agents = data.ok() ? nlohmann::json::parse(*data, nullptr, /*allow_exceptions=*/false) : nlohmann::json();
  if (!agents.is_object() || !agents.contains("list") || !agents["list"].is_array()) return;  // not what was asked for
  for (const auto& known : agents["list"]) {
    if (known.is_object() && known.contains("name") && known["name"] == agent) return;
  }
  absl::FPrintF(stderr, "lattice: warning: no agent %s has enrolled yet: the policy is kept and applies once it does\n",
                agent);
}

}  // namespace

ExitCode RunAgentPolicySet(const Words& words) {
  Args args("lattice policy set", "Replaces the whole policy of AGENT; it is in force there within seconds.");
  ServerClient server(args, ServerClient::Login::kToken);
  const std::string& agent = args.Positional("AGENT", "Its name; it may enroll later.");
  const std::vector<std::string>& rules =
      args.Rest("RULE…", "As --egress-allow takes them, or lines of a policy file in quotes; none denies everything.");
  const bool& json = args.Switch("json", "Print JSON.");
  args.Note("Examples: lattice policy set a 10.42.0.10/32 0.0.0.0/0:443 'deny 10.0.0.0/8:22/tcp'");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) return Print(args.HelpText());
  if (const absl::Status resolved = server.Resolve(); !resolved.ok()) return Fail(resolved);
  const nlohmann::json body = {{"rules", rules}};
  const absl::StatusOr<std::string> data =
      server.Call("PUT", PolicyPath(agent), body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  if (!data.ok()) return Fail(data.status());
  WarnIfUnknown(server, agent);
  return Print(json ? *data + "\n" : PolicyRules(*data));
}

ExitCode RunAgentPolicyShow(const Words& words) {
  Args args("lattice policy show", "The policy of AGENT at the control plane, in the form of a policy file.");
  ServerClient server(args, ServerClient::Login::kToken);
  const std::string& agent = args.Positional("AGENT", "Its name.");
  const bool& json = args.Switch("json", "Print JSON.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) return Print(args.HelpText());
  if (const absl::Status resolved = server.Resolve(); !resolved.ok()) return Fail(resolved);
  const absl::StatusOr<std::string> data = server.Get(PolicyPath(agent));
  if (!data.ok()) return Fail(data.status());
  return Print(json ? *data + "\n" : PolicyRules(*data));
}

}  // namespace lattice::cli
