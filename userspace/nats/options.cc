#include "userspace/nats/options.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/nats/agent_login.h"

namespace lattice::nats {
namespace {

constexpr char kTlsScheme[] = "tls://";

// Those that can't be the beginning of a password; the last ones are written by mistake.
constexpr absl::string_view kSchemes[] = {"nats://", "tls://", "ws://", "wss://", "http://", "https://", "ftp://"};

// Where the user part of an URL can begin: after the scheme, and the quote or bracket before it.
size_t UserPart(absl::string_view word) {
  const size_t begin = std::min(word.find_first_not_of("\"'(<["), word.size());
  for (const absl::string_view scheme : kSchemes) {
    if (absl::StartsWith(word.substr(begin), scheme)) return begin + scheme.size();
  }
  return begin;
}

absl::Status ValidateUrl(absl::string_view url) {
  absl::string_view rest = url;
  if (std::any_of(url.begin(), url.end(), [](char c) { return !absl::ascii_isgraph(static_cast<unsigned char>(c)); })) {
    return absl::InvalidArgumentError("a NATS URL holds a space or an unprintable character");
  }
  const auto error = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("NATS URL \"", RedactUrls(url), "\": ", why, "; expected nats://HOST:PORT or tls://HOST:PORT"));
  };
  if (const size_t scheme = url.find("://"); scheme != absl::string_view::npos) {
    if (url.substr(0, scheme) != "nats" && url.substr(0, scheme) != "tls") return error("unknown scheme");
    rest.remove_prefix(scheme + 3);
  }
  if (const size_t at = rest.rfind('@'); at != absl::string_view::npos) rest.remove_prefix(at + 1);
  absl::ConsumeSuffix(&rest, "/");
  size_t host_end = rest.find(':');
  if (absl::StartsWith(rest, "[")) {
    const size_t bracket = rest.find(']');
    if (bracket == absl::string_view::npos) return error("no closing bracket");
    host_end = bracket + 1 == rest.size() ? absl::string_view::npos : bracket + 1;
  }
  const absl::string_view host = rest.substr(0, host_end);
  if (host.empty() || host == "[]") return error("no host");
  if (host_end == absl::string_view::npos) return absl::OkStatus();  // 4222
  int port = 0;
  if (rest[host_end] != ':' || !absl::SimpleAtoi(rest.substr(host_end + 1), &port) || port < 1 || port > 65535) {
    return error("no port between 1 and 65535");
  }
  return absl::OkStatus();
}

bool WantsTls(const Options& options) {
  for (const std::string& url : options.urls) {
    if (absl::StartsWith(url, kTlsScheme)) return true;
  }
  return !options.tls_ca_file.empty() || !options.tls_cert_file.empty();
}

absl::Status SetTls(const Options& options, natsOptions* raw) {
  if (!WantsTls(options)) return absl::OkStatus();
  LATTICE_RETURN_IF_ERROR(ToStatus(natsOptions_SetSecure(raw, true), "turning TLS on"));
  if (!options.tls_ca_file.empty()) {
    LATTICE_RETURN_IF_ERROR(ToStatus(natsOptions_LoadCATrustedCertificates(raw, options.tls_ca_file.c_str()),
                                     absl::StrCat("NATS TLS authorities in ", options.tls_ca_file)));
  }
  if (!options.tls_cert_file.empty()) {
    LATTICE_RETURN_IF_ERROR(
        ToStatus(natsOptions_LoadCertificatesChain(raw, options.tls_cert_file.c_str(), options.tls_key_file.c_str()),
                 absl::StrCat("NATS TLS certificate ", options.tls_cert_file, " with key ", options.tls_key_file)));
  }
  return absl::OkStatus();
}

bool HasUser(const std::vector<std::string>& urls) {
  return std::any_of(urls.begin(), urls.end(), [](const std::string& url) { return absl::StrContains(url, '@'); });
}

// As the agent of the token, if it names a NATS user.
absl::Status SetAgentLogin(const Options& options, natsOptions* raw) {
  std::string token = options.agent_token;
  if (!options.agent_token_file.empty()) {
    LATTICE_ASSIGN_OR_RETURN(token, ReadSecret(options.agent_token_file, "agent token"));
  }
  const std::optional<AgentLogin> login = LoginOfToken(token);
  if (!login.has_value()) return absl::OkStatus();
  LATTICE_RETURN_IF_ERROR(
      ToStatus(natsOptions_SetCustomInboxPrefix(raw, AgentInbox(login->user).c_str()), "NATS inbox prefix"));
  return ToStatus(natsOptions_SetUserInfo(raw, login->user.c_str(), login->password.c_str()), "NATS user");
}

absl::Status SetAuthentication(const Options& options, natsOptions* raw) {
  if (!options.credentials_file.empty()) {
    // The library reads it again at every connection, but tells us of a wrong path only then.
    LATTICE_RETURN_IF_ERROR(ReadSecret(options.credentials_file, "credentials").status());
    return ToStatus(natsOptions_SetUserCredentialsFromFiles(raw, options.credentials_file.c_str(), nullptr),
                    absl::StrCat("NATS credentials file ", options.credentials_file));
  }
  if (!options.user.empty()) {
    LATTICE_ASSIGN_OR_RETURN(const std::string password, ReadSecret(options.password_file, "password"));
    return ToStatus(natsOptions_SetUserInfo(raw, options.user.c_str(), password.c_str()), "NATS user");
  }
  if (!options.token_file.empty()) {
    LATTICE_ASSIGN_OR_RETURN(const std::string token, ReadSecret(options.token_file, "token"));
    return ToStatus(natsOptions_SetToken(raw, token.c_str()), "NATS token");
  }
  return HasUser(options.urls) ? absl::OkStatus() : SetAgentLogin(options, raw);
}

absl::Status SetServers(const Options& options, natsOptions* raw) {
  std::vector<const char*> urls;
  for (const std::string& url : options.urls) urls.push_back(url.c_str());
  return ToStatus(natsOptions_SetServers(raw, urls.data(), static_cast<int>(urls.size())), "NATS URLs");
}

absl::Status SetInbox(const Options& options, natsOptions* raw) {
  if (options.inbox_prefix.empty()) return absl::OkStatus();
  return ToStatus(natsOptions_SetCustomInboxPrefix(raw, options.inbox_prefix.c_str()), "NATS inbox prefix");
}

absl::Status SetTimes(const Options& options, natsOptions* raw) {
  const std::pair<natsStatus, const char*> results[] = {
      {natsOptions_SetTimeout(raw, absl::ToInt64Milliseconds(options.connect_timeout)), "connect_timeout"},
      {natsOptions_SetWriteDeadline(raw, absl::ToInt64Milliseconds(options.write_timeout)), "write_timeout"},
      {natsOptions_SetPingInterval(raw, absl::ToInt64Milliseconds(options.ping_interval)), "ping_interval"},
      {natsOptions_SetMaxPingsOut(raw, 2), "pings"},
      // A lost connection ends; connection.cc opens another. See its theory of operation.
      {natsOptions_SetAllowReconnect(raw, false), "reconnection"},
  };
  for (const auto& [status, what] : results) LATTICE_RETURN_IF_ERROR(ToStatus(status, absl::StrCat("NATS ", what)));
  return absl::OkStatus();
}

}  // namespace

// Editors end a file with a newline that is no part of the secret.
absl::StatusOr<std::string> ReadSecret(const std::string& path, absl::string_view what) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return Annotate(text.status(), absl::StrCat("NATS ", what, " file"));
  std::string secret(absl::StripAsciiWhitespace(*text));
  if (secret.empty()) return absl::InvalidArgumentError(absl::StrCat("NATS ", what, " file ", path, " is empty"));
  return secret;
}

absl::Status Validate(const Options& options) {
  if (options.urls.empty()) return absl::InvalidArgumentError("no NATS URL");
  for (const std::string& url : options.urls) LATTICE_RETURN_IF_ERROR(ValidateUrl(url));
  if (options.user.empty() != options.password_file.empty()) {
    return absl::InvalidArgumentError("NATS user and password file belong together");
  }
  if (options.tls_cert_file.empty() != options.tls_key_file.empty()) {
    return absl::InvalidArgumentError("NATS TLS certificate file and key file belong together");
  }
  if (!options.credentials_file.empty() + !options.user.empty() + !options.token_file.empty() > 1) {
    return absl::InvalidArgumentError("NATS credentials file, user and token file exclude each other");
  }
  return absl::OkStatus();
}

absl::StatusOr<NatsOptionsPtr> MakeOptions(const Options& options) {
  natsOptions* created = nullptr;
  LATTICE_RETURN_IF_ERROR(ToStatus(natsOptions_Create(&created), "NATS options"));
  NatsOptionsPtr raw(created);
  LATTICE_RETURN_IF_ERROR(SetServers(options, raw.get()));
  LATTICE_RETURN_IF_ERROR(ToStatus(natsOptions_SetName(raw.get(), options.name.c_str()), "NATS name"));
  LATTICE_RETURN_IF_ERROR(SetInbox(options, raw.get()));
  LATTICE_RETURN_IF_ERROR(SetTimes(options, raw.get()));
  LATTICE_RETURN_IF_ERROR(SetAuthentication(options, raw.get()));
  LATTICE_RETURN_IF_ERROR(SetTls(options, raw.get()));
  return raw;
}

absl::Status ToStatus(natsStatus status, absl::string_view context) {
  if (status == NATS_OK) return absl::OkStatus();
  natsStatus last = NATS_OK;
  const char* detail = nats_GetLastError(&last);
  std::string text = absl::StrCat(context, ": ", natsStatus_GetText(status));
  if (last == status && detail != nullptr && detail[0] != '\0') absl::StrAppend(&text, " (", detail, ")");
  text = RedactUrls(text);
  switch (status) {
    case NATS_TIMEOUT:
      return absl::DeadlineExceededError(text);
    case NATS_INVALID_ARG:
    case NATS_INVALID_SUBJECT:
    case NATS_MAX_PAYLOAD:
    case NATS_SSL_ERROR:
      return absl::InvalidArgumentError(text);
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED:
      return absl::PermissionDeniedError(text);
    default:
      return absl::UnavailableError(text);
  }
}

std::string RedactUrls(absl::string_view text) {
  constexpr absl::string_view kBlanks = " \t\r\n";
  std::string out;
  while (!text.empty()) {
    const absl::string_view word = text.substr(0, text.find_first_of(kBlanks));
    // The user part ends at the last '@' of the word: a password may hold '@', '/' and "://" unescaped.
    const size_t at = word.rfind('@');
    const size_t user = at == absl::string_view::npos ? 0 : std::min(UserPart(word), at);
    absl::StrAppend(&out, word.substr(0, user), word.substr(at + 1));  // npos + 1 is 0
    text.remove_prefix(word.size());
    const size_t blanks = std::min(text.find_first_not_of(kBlanks), text.size());
    absl::StrAppend(&out, text.substr(0, blanks));
    text.remove_prefix(blanks);
  }
  return out;
}

}  // namespace lattice::nats
