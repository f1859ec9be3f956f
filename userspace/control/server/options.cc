#include "userspace/control/server/options.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/ip.h"
#include "userspace/base/status.h"
#include "userspace/base/units.h"

namespace lattice::control {
namespace {

absl::Status Bad(absl::string_view flag, absl::string_view value, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat(flag, "=", value, ": expected ", expected));
}

absl::StatusOr<absl::Duration> DurationFlag(absl::string_view flag, const std::string& value) {
  const absl::StatusOr<absl::Duration> duration = ParseDuration(value);
  return duration.ok() ? duration : Bad(flag, value, "a duration like 30d or 12h; 0s: no limit");
}

// "HOST:PORT" or "[HOST]:PORT", the host an address.
absl::Status SplitAddress(absl::string_view flag, const std::string& value, std::string* host, int* port) {
  const size_t colon = value.rfind(':');
  std::string text = value.substr(0, colon);
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
  const bool good = colon != std::string::npos && IpAddress::Parse(text).ok() &&
                    absl::SimpleAtoi(value.substr(colon + 1), port) && *port >= 0 && *port <= 65535;
  if (!good) return Bad(flag, value, "ADDRESS:PORT, like 127.0.0.1:4222");
  *host = text;
  return absl::OkStatus();
}

absl::Status SetNats(const FlagValues& flags, Options& options) {
  options.nats.urls = flags.nats_urls;
  options.nats.name = "latticed";
  // Agents may listen to "_INBOX.>", and here the records of all of them come with their tokens.
  options.nats.inbox_prefix = "_LATTICED";
  options.nats.credentials_file = flags.nats_credentials;
  options.nats.user = flags.nats_user;
  options.nats.password_file = flags.nats_password_file;
  options.nats.token_file = flags.nats_token_file;
  options.nats.tls_ca_file = flags.nats_tls_ca;
  options.nats.tls_cert_file = flags.nats_tls_cert;
  options.nats.tls_key_file = flags.nats_tls_key;
  options.public_nats_url = flags.public_nats_url;
  options.nats_server_cert = flags.nats_server_cert;
  options.nats_server_key = flags.nats_server_key;
  if (flags.nats_server_cert.empty() != flags.nats_server_key.empty()) {
    return absl::InvalidArgumentError("--nats-server-cert and --nats-server-key belong together: give both");
  }
  if (!options.own_nats()) {
    if (!flags.nats_server_cert.empty()) {
      return absl::InvalidArgumentError("--nats-server-cert is of latticed's own nats-server: not with --nats-url");
    }
    return nats::Validate(options.nats);
  }
  for (const auto& [flag, value] :
       {std::pair("--nats-credentials", flags.nats_credentials), std::pair("--nats-user", flags.nats_user),
        std::pair("--nats-token-file", flags.nats_token_file)}) {
    if (!value.empty()) return absl::InvalidArgumentError(absl::StrCat(flag, " needs --nats-url"));
  }
  return SplitAddress("--nats-addr", flags.nats_addr, &options.nats_host, &options.nats_port);
}

absl::Status SetAgentAuth(const FlagValues& flags, Options& options) {
  const std::string& value = flags.require_agent_auth;
  if (value != "auto" && value != "true" && value != "false") {
    return Bad("--require-agent-auth", value, "true, false or auto");
  }
  // Older agents on a NATS of others have no token.
  options.require_agent_auth = value == "true" || (value == "auto" && options.own_nats());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Options> MakeOptions(const FlagValues& flags) {
  Options options;
  if (flags.data_dir.empty()) {
    return absl::InvalidArgumentError(
        "--data-dir is missing: the folder for database, tokens and streams, as in "
        "--data-dir /var/lib/lattice");
  }
  // The child runs with the same folder, whatever the current one is.
  if (!absl::StartsWith(flags.data_dir, "/")) return Bad("--data-dir", flags.data_dir, "a path from the root");
  options.data_dir = flags.data_dir;
  options.http_addr = flags.http_addr;
  options.database = flags.database;
  if (!options.database.empty() && !absl::StartsWith(options.database, "postgresql://") &&
      !absl::StartsWith(options.database, "sqlite:///")) {
    return Bad("--database", "…", "postgresql://USER@HOST/NAME or sqlite:///PATH");
  }
  LATTICE_RETURN_IF_ERROR(SetNats(flags, options));
  LATTICE_RETURN_IF_ERROR(SetAgentAuth(flags, options));
  if (flags.stream_replicas < 1 || flags.stream_replicas > 5) {
    return Bad("--stream-replicas", absl::StrCat(flags.stream_replicas), "1 to 5");
  }
  options.stream_replicas = static_cast<int>(flags.stream_replicas);
  LATTICE_ASSIGN_OR_RETURN(options.stream_max_age, DurationFlag("--stream-max-age", flags.stream_max_age));
  const absl::StatusOr<uint64_t> size = ParseSize(flags.stream_max_size);
  if (!size.ok() || *size > static_cast<uint64_t>(INT64_MAX)) {
    return Bad("--stream-max-size", flags.stream_max_size, "a size like 10GiB; 0: no limit");
  }
  options.stream_max_bytes = static_cast<int64_t>(*size);
  LATTICE_ASSIGN_OR_RETURN(options.retention, DurationFlag("--retention", flags.retention));
  options.archive_dir = flags.archive_dir;
  options.overlay = flags.overlay_cidr;
  options.approve_by_hand = flags.approve_agents;
  options.secure_cookie = flags.secure_cookie;
  options.open_enrolment = flags.nats_open_enrolment;
  return options;
}

}  // namespace lattice::control
