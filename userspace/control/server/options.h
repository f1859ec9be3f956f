// What latticed is told at its start.
#ifndef USERSPACE_CONTROL_SERVER_OPTIONS_H_
#define USERSPACE_CONTROL_SERVER_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "userspace/nats/connection.h"

namespace lattice::control {

struct Options {
  std::string data_dir;
  std::string http_addr;
  // The database; empty: SQLite in the data folder.
  std::string database;
  // NATS of others; no URL: a child of ours at nats_host:nats_port.
  nats::Options nats;
  std::string nats_host;
  int nats_port = 0;
  std::string nats_server_cert;  // of the child
  std::string nats_server_key;
  std::string public_nats_url;  // what agents are told; empty: the child's, or the first of nats.urls
  // The stream.
  int stream_replicas = 1;
  absl::Duration stream_max_age;
  int64_t stream_max_bytes = 0;
  // What is kept.
  absl::Duration retention;  // zero: for ever
  std::string archive_dir;   // empty: what is deleted is gone
  // Agents.
  std::string overlay;
  bool require_agent_auth = true;
  bool approve_by_hand = false;
  bool secure_cookie = false;
  bool open_enrolment = true;  // over the child

  bool own_nats() const { return nats.urls.empty(); }
};

// The command line as text; see flags.cc for what each is.
struct FlagValues {
  std::string data_dir, http_addr, database;
  std::vector<std::string> nats_urls;
  std::string nats_credentials, nats_user, nats_password_file, nats_token_file, nats_tls_ca, nats_tls_cert,
      nats_tls_key;
  std::string nats_addr, nats_server_cert, nats_server_key, public_nats_url;
  uint32_t stream_replicas = 1;
  std::string stream_max_age, stream_max_size, retention, archive_dir, overlay_cidr, require_agent_auth;
  bool approve_agents = false;
  bool secure_cookie = false;
  bool nats_open_enrolment = true;
};

// Parses the command line. Does not return for --help, --version (exit 0) and for a flag that is unknown or malformed
// (exit 2).
FlagValues ParseFlags(int argc, char** argv);

// InvalidArgument naming the flag, the value and what to do.
absl::StatusOr<Options> MakeOptions(const FlagValues& flags);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_SERVER_OPTIONS_H_
