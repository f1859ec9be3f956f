// lattice token create | list | revoke: enrolment tokens of agents.
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/format.h"
#include "tools/lattice/server_client.h"
#include "tools/lattice/server_views.h"
#include "userspace/base/status.h"
#include "userspace/base/units.h"
#include "userspace/http/client.h"

namespace lattice::cli {
namespace {

constexpr char kTokens[] = "/api/v1/agent-isolation/enrollment-tokens";

ExitCode Print(const absl::StatusOr<std::string>& text) {
  if (!text.ok()) return Fail(text.status());
  absl::PrintF("%s", *text);
  return kOk;
}

absl::StatusOr<std::string> RequestBody(const std::string& name, const std::string& ttl, const std::string& tools,
                                        const std::string& name_space) {
  const absl::StatusOr<absl::Duration> duration = ParseDuration(ttl);
  if (!duration.ok() || *duration < absl::Seconds(1)) {
    return absl::InvalidArgumentError(absl::StrCat("--ttl=", ttl, ": expected a time of at least 1s, for example 24h"));
  }
  nlohmann::json list = nlohmann::json::array();
  for (absl::string_view tool : absl::StrSplit(tools, ',', absl::SkipWhitespace())) {
    list.push_back(std::string(absl::StripAsciiWhitespace(tool)));
  }
  nlohmann::json body = {{"ttlSeconds", absl::ToInt64Seconds(*duration)}, {"allowedTools", std::move(list)}};
  if (!name.empty()) body["agentName"] = name;
  if (!name_space.empty()) body["namespace"] = name_space;
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

ExitCode RunTokenCreate(const Words& words) {
  Args args("lattice token create", "Makes an enrolment token: a new agent proves with it, once, that it may join.");
  ServerClient server(args, ServerClient::Login::kToken);
  const std::string& name = args.Text("name", "", "AGENT", "The only agent that may use it; without it any new name.");
  const std::string& ttl = args.Text("ttl", "24h", "TIME", "How long it can be used.");
  const std::string& tools = args.Text("allowed-tools", "", "LIST", "Tools of the agent, separated by commas.");
  const std::string& name_space = args.Text("namespace", "", "NAME", "Agents see the peers of their namespace.");
  const bool& json = args.Switch("json", "Print JSON.");
  args.Note(
      "Prints the token alone: it is shown this once. To enroll an agent again under its name, or one that\n"
      "was revoked, it takes a token made with --name.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) return Print(args.HelpText());
  if (const absl::Status resolved = server.Resolve(); !resolved.ok()) return Fail(resolved);
  const absl::StatusOr<std::string> body = RequestBody(name, ttl, tools, name_space);
  if (!body.ok()) return Fail(body.status());
  const absl::StatusOr<std::string> data = server.Call("POST", kTokens, *body);
  if (!data.ok()) return Fail(data.status());
  return Print(json ? *data + "\n" : TokenText(*data));
}

ExitCode RunTokenList(const Words& words) {
  Args args("lattice token list", "The enrolment tokens, newest first, without their secret.");
  ServerClient server(args, ServerClient::Login::kToken);
  const bool& json = args.Switch("json", "Print JSON.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) return Print(args.HelpText());
  if (const absl::Status resolved = server.Resolve(); !resolved.ok()) return Fail(resolved);
  const absl::StatusOr<std::string> data = server.Get(kTokens);
  if (!data.ok()) return Fail(data.status());
  return Print(json ? *data + "\n" : TokensTable(*data));
}

ExitCode RunTokenRevoke(const Words& words) {
  Args args("lattice token revoke", "Makes an enrolment token useless. An agent that has used it stays.");
  ServerClient server(args, ServerClient::Login::kToken);
  const std::string& id = args.Positional("ID", "As `lattice token list` shows it.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) return Print(args.HelpText());
  if (const absl::Status resolved = server.Resolve(); !resolved.ok()) return Fail(resolved);
  const absl::StatusOr<std::string> data = server.Call("DELETE", absl::StrCat(kTokens, "/", http::EscapeQuery(id)), "");
  return data.ok() ? kOk : Fail(data.status());
}

}  // namespace lattice::cli
