#include "tools/lattice/agent_access.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::cli {

absl::StatusOr<AgentAccess> AgentAccess::Load(const AccessOptions& options) {
  AgentAccess access;
  LATTICE_RETURN_IF_ERROR(Annotate(MakeDirectories(options.config_dir, 0700), "--config-dir"));
  LATTICE_ASSIGN_OR_RETURN(access.credentials_path, CredentialsPath(options.config_dir, options.name));
  absl::StatusOr<Credentials> credentials = ReadCredentials(access.credentials_path);
  if (absl::IsNotFound(credentials.status())) {
    LATTICE_ASSIGN_OR_RETURN(std::string key, NewPrivateKey());
    credentials = Credentials{.name = options.name, .private_key = std::move(key)};
    LATTICE_RETURN_IF_ERROR(Annotate(WriteCredentials(access.credentials_path, *credentials), "--config-dir"));
  }
  LATTICE_RETURN_IF_ERROR(credentials.status());
  access.credentials = *std::move(credentials);
  access.identity = {.name = options.name, .jwt = access.credentials.jwt, .port = options.port};
  LATTICE_ASSIGN_OR_RETURN(access.identity.public_key, PublicKeyOf(access.credentials.private_key));
  return access;
}

absl::StatusOr<std::unique_ptr<AgentControl>> Enter(const ServerClient& server, const AccessOptions& options,
                                                    const std::string& token, AgentAccess& access) {
  nats::Options nats;
  nats.credentials_file = options.nats_credentials;
  nats.tls_ca_file = options.nats_tls_ca;
  LATTICE_ASSIGN_OR_RETURN(std::unique_ptr<AgentControl> control,
                           AgentControl::Create(server, options.over_http, std::move(nats)));
  AgentIdentity& identity = access.identity;
  identity.endpoint = options.endpoint;
  if (identity.endpoint.empty() && options.port != 0) {
    identity.endpoint = LocalEndpoint(options.over_http ? server.server_url() : control->nats_url(), options.port);
  }
  if (identity.jwt.empty()) {
    if (token.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("--token is required: ", access.credentials_path,
                                                     " has no enrolled agent; make one with `lattice token create`"));
    }
    absl::StatusOr<std::string> jwt = control->Register(identity, token);
    if (!jwt.ok()) return Annotate(jwt.status(), absl::StrCat("enrolling \"", options.name, "\""));
    identity.jwt = access.credentials.jwt = *std::move(jwt);
    LATTICE_RETURN_IF_ERROR(WriteCredentials(access.credentials_path, access.credentials));
  }
  LATTICE_RETURN_IF_ERROR(control->LogIn(identity));
  return control;
}

}  // namespace lattice::cli
