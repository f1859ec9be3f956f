#include "tools/lattice/up_control.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tools/lattice/server_views.h"
#include "userspace/base/socket_address.h"
#include "userspace/base/status.h"
#include "userspace/base/unique_fd.h"
#include "userspace/control/registry/identity.h"
#include "userspace/nats/agent_login.h"

namespace lattice::cli {
namespace {

using Json = nlohmann::json;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string HostName() {
  char name[256] = "";
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

// "nats://user@HOST:PORT", "http://HOST:PORT" -> HOST.
std::string HostOf(absl::string_view url) {
  if (const size_t scheme = url.find("://"); scheme != absl::string_view::npos) url.remove_prefix(scheme + 3);
  if (const size_t at = url.rfind('@'); at != absl::string_view::npos) url.remove_prefix(at + 1);
  if (absl::ConsumePrefix(&url, "[")) return std::string(url.substr(0, url.find(']')));
  return std::string(url.substr(0, url.find_first_of(":/")));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AgentControl>> AgentControl::Create(const ServerClient& server, bool over_http,
                                                                   nats::Options nats) {
  auto control = absl::WrapUnique(new AgentControl(server, over_http));
  LATTICE_ASSIGN_OR_RETURN(const std::string data, server.Get("/api/v1/discovery"));
  LATTICE_ASSIGN_OR_RETURN(control->nats_url_, DataText(data, "nats_url"));
  if (over_http) return control;
  if (control->nats_url_.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(server.server_url(), " knows no NATS server; try --via http"));
  }
  control->nats_ = std::move(nats);
  return control;
}

absl::StatusOr<std::string> AgentControl::Call(const std::string& path, const std::string& body) const {
  return server_.Call("POST", absl::StrCat("/api/v1/agent-isolation/", path), body);
}

absl::StatusOr<std::string> AgentControl::Ask(const std::string& method, const std::string& path,
                                              const std::string& body) {
  if (over_http_) return Call(path, body);
  absl::StatusOr<std::string> answer = requester_->Request(absl::StrCat("lattice.signals.peer.", method), body);
  if (!absl::IsPermissionDenied(answer.status())) return answer;
  // NATS knows us no more. The control plane itself says why.
  const absl::StatusOr<std::string> why = Call(path, body);
  return why.ok() || absl::IsUnauthenticated(why.status()) || absl::IsPermissionDenied(why.status()) ? why : answer;
}

absl::StatusOr<std::string> AgentControl::Register(const AgentIdentity& identity, const std::string& enrollment_token) {
  const Json body = {
      {"appId", identity.name},           {"agentName", identity.name}, {"enrollmentToken", enrollment_token},
      {"hostname", HostName()},           {"platform", "linux"},        {"port", identity.port},
      {"publicKey", identity.public_key}, {"persistentKeepalive", 25},  {"endpoint", identity.endpoint}};
  const absl::StatusOr<std::string> answer = Call("register", Dump(body));
  // A token that is no good is no flag that is wrong.
  if (absl::IsInvalidArgument(answer.status())) return absl::FailedPreconditionError(answer.status().message());
  LATTICE_RETURN_IF_ERROR(answer.status());
  return DataText(*answer, "jwt");
}

absl::Status AgentControl::LogIn(const AgentIdentity& identity) {
  if (over_http_) return absl::OkStatus();
  // The user in discovery's URL is one for all.
  if (nats::LoginOfToken(identity.jwt).has_value()) nats_url_ = nats::RedactUrls(nats_url_);
  nats_.urls = {nats_url_};
  nats_.name = absl::StrCat("lattice up ", identity.name);
  nats_.agent_token = identity.jwt;
  LATTICE_ASSIGN_OR_RETURN(requester_, nats::Requester::Create(nats_, {control::ConfigSubject(identity.name),
                                                                       control::kConfigSubjectOfAll}));
  return absl::OkStatus();
}

absl::StatusOr<control::AgentConfig> AgentControl::GetNetMap(const AgentIdentity& identity,
                                                             std::vector<std::string>* warnings) {
  const Json body = {{"appId", identity.name}, {"publicKey", identity.public_key}, {"token", identity.jwt}};
  LATTICE_ASSIGN_OR_RETURN(const std::string answer, Ask("GetNetMap", "netmap", Dump(body)));
  return control::ParseNetMap(answer, warnings);
}

absl::Status AgentControl::Heartbeat(const AgentIdentity& identity) {
  const Json body = {{"appId", identity.name}, {"token", identity.jwt}, {"endpoint", identity.endpoint}};
  return Ask("heartbeat", "heartbeat", Dump(body)).status();
}

bool IsFinal(const absl::Status& status) {
  return !status.ok() &&
         (absl::StrContains(status.message(), "revoked") || absl::StrContains(status.message(), "earlier enrollment") ||
          absl::StrContains(status.message(), "token is expired"));
}

std::string LocalEndpoint(const std::string& url, int port) {
  const addrinfo hints{.ai_flags = AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM};
  addrinfo* found = nullptr;
  if (getaddrinfo(HostOf(url).c_str(), "9", &hints, &found) != 0) return "";
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(found, freeaddrinfo);
  // Connecting a UDP socket sends nothing; it asks the routing table.
  const UniqueFd fd(socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.ok() || connect(fd.get(), list->ai_addr, list->ai_addrlen) != 0) return "";
  const std::optional<Endpoint> local = LocalEnd(fd.get());
  if (!local.has_value()) return "";
  const IpAddress& address = local->address;
  const std::string text = address.ToString();
  if (text == "::1" || absl::StartsWith(text, "127.") || absl::StartsWith(text, "fe80:")) return "";
  return absl::StrCat(address.is_v4() ? text : absl::StrCat("[", text, "]"), ":", port);
}

}  // namespace lattice::cli
