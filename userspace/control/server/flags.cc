// The flags of latticed. Each help text: unit, effect; the default is printed from the flag.
#include <gflags/gflags.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "userspace/base/daemon_flags.h"
#include "userspace/control/server/options.h"

DEFINE_string(data_dir, "", "Folder for database, keys, tokens and streams, as in /var/lib/lattice. Required.");
DEFINE_string(http_addr, "127.0.0.1:8080", "HOST:PORT of API, dashboard, /metrics, /healthz; port 0 takes a free one.");
DEFINE_string(database, "",
              "postgresql://USER:PASSWORD@HOST/NAME, for several latticed side by side, or sqlite:///PATH. Empty: "
              "SQLite in the data folder. LATTICE_DATABASE in the environment does the same and does not show in ps.");

DEFINE_string(
    nats_url, "",
    "NATS that runs already, nats://HOST:PORT or tls://HOST:PORT, with JetStream; repeatable. Empty: latticed "
    "runs its own.");
DEFINE_string(nats_credentials, "", "File with JWT and NKey seed for --nats-url.");
DEFINE_string(nats_user, "", "User name for --nats-url, with --nats-password-file.");
DEFINE_string(nats_password_file, "", "File with the password of --nats-user.");
DEFINE_string(nats_token_file, "", "File with the token for --nats-url.");
DEFINE_string(nats_tls_ca, "", "PEM file with the authority of --nats-url. Empty: the system's authorities.");
DEFINE_string(nats_tls_cert, "", "PEM file with our certificate for --nats-url, with --nats-tls-key.");
DEFINE_string(nats_tls_key, "", "PEM file with the key of --nats-tls-cert.");
DEFINE_string(nats_addr, "127.0.0.1:4222",
              "ADDRESS:PORT that latticed's own NATS listens on; port 0 takes a free one. Agents on other hosts need "
              "an address of this host, and then --nats-server-cert.");
DEFINE_string(nats_server_cert, "", "PEM file: latticed's own NATS speaks TLS only, with --nats-server-key.");
DEFINE_string(nats_server_key, "", "PEM file with the key of --nats-server-cert.");
DEFINE_bool(
    nats_open_enrolment, true,
    "Discovery tells a NATS user that may ask the control plane, for agents of other makes, which enrol over NATS "
    "and share it: they can hear each other's answers. false: agents enrol over HTTP.");
DEFINE_string(public_nats_url, "",
              "NATS URL that agents are told (discovery). Empty: latticed's own NATS, or the first --nats-url.");

DEFINE_uint32(stream_replicas, 1, "Servers of a NATS cluster that keep each record until it is stored: 1, 3 or 5.");
DEFINE_string(stream_max_age, "7d", "Records older than this leave the stream, stored or not. 0s: no limit.");
DEFINE_string(stream_max_size, "10GiB", "Size of the stream; the oldest records leave it. 0: no limit.");

DEFINE_string(retention, "90d", "Stored records older than this are deleted. 0s: never.");
DEFINE_string(
    archive_dir, "",
    "Folder that records go to when they are deleted, as NDJSON compressed by zstd, a file a day. Empty: none.");

DEFINE_string(overlay_cidr, "10.42.0.0/16", "IPv4 range of the overlay that agents get their address from.");
DEFINE_string(require_agent_auth, "auto",
              "true | false | auto: take an audit record only with the token of the agent it names. auto: true with "
              "latticed's own NATS.");
DEFINE_bool(approve_agents, false, "A new agent waits until an admin approves it.");
DEFINE_bool(secure_cookie, false, "The dashboard is reached by https through a proxy: its cookie is for https only.");

namespace lattice::control {
namespace {

std::vector<std::string>& NatsUrls() {
  static std::vector<std::string> urls;
  return urls;
}

// gflags keeps the last value of a repeated flag only, but validates each.
bool CollectNatsUrl(const char*, const std::string& value) {
  for (absl::string_view url : absl::StrSplit(value, ',', absl::SkipEmpty())) NatsUrls().emplace_back(url);
  return true;
}
DEFINE_validator(nats_url, &CollectNatsUrl);

DaemonFlags CommandLine() {
  DaemonFlags line;
  line.program = "latticed";
  line.about =
      "latticed: the control plane of Lattice. Enrols agents, keeps audit records, serves API and dashboard.\n\n"
      "  latticed --data-dir /var/lib/lattice\n\n";
  line.groups = {
      {"Where", {"data_dir", "http_addr", "database"}},
      {"Own NATS", {"nats_addr", "nats_server_cert", "nats_server_key", "nats_open_enrolment", "public_nats_url"}},
      {"NATS of others",
       {"nats_url", "nats_credentials", "nats_user", "nats_password_file", "nats_token_file", "nats_tls_ca",
        "nats_tls_cert", "nats_tls_key"}},
      {"Records",
       {"stream_replicas", "stream_max_age", "stream_max_size", "retention", "archive_dir", "require_agent_auth"}},
      {"Agents", {"overlay_cidr", "approve_agents", "secure_cookie"}},
  };
  line.notes =
      "Durations: 60s, 12h, 30d. Sizes: bytes, or with KiB, MiB, GiB.\n"
      "Written to the data folder, mode 0600: admin.token (for API, dashboard and `lattice`), nats.url (for agents).\n"
      "Log flags of glog work too, for example --v=1 and --minloglevel=1.\n"
      "Exit codes: 0 stopped in order, 1 a failure while running, 2 a flag is wrong, 3 it could not start.\n";
  line.example = "--data-dir DIR";
  return line;
}

}  // namespace

FlagValues ParseFlags(int argc, char** argv) {
  ParseDaemonFlags(argc, argv, CommandLine());
  FlagValues values;
  values.data_dir = FLAGS_data_dir;
  values.http_addr = FLAGS_http_addr;
  values.database = FLAGS_database;
  if (const char* database = getenv("LATTICE_DATABASE"); values.database.empty() && database != nullptr) {
    values.database = database;
  }
  values.nats_urls = NatsUrls();
  values.nats_credentials = FLAGS_nats_credentials;
  values.nats_user = FLAGS_nats_user;
  values.nats_password_file = FLAGS_nats_password_file;
  values.nats_token_file = FLAGS_nats_token_file;
  values.nats_tls_ca = FLAGS_nats_tls_ca;
  values.nats_tls_cert = FLAGS_nats_tls_cert;
  values.nats_tls_key = FLAGS_nats_tls_key;
  values.nats_addr = FLAGS_nats_addr;
  values.nats_server_cert = FLAGS_nats_server_cert;
  values.nats_server_key = FLAGS_nats_server_key;
  values.public_nats_url = FLAGS_public_nats_url;
  values.stream_replicas = FLAGS_stream_replicas;
  values.stream_max_age = FLAGS_stream_max_age;
  values.stream_max_size = FLAGS_stream_max_size;
  values.retention = FLAGS_retention;
  values.archive_dir = FLAGS_archive_dir;
  values.overlay_cidr = FLAGS_overlay_cidr;
  values.require_agent_auth = FLAGS_require_agent_auth;
  values.approve_agents = FLAGS_approve_agents;
  values.nats_open_enrolment = FLAGS_nats_open_enrolment;
  values.secure_cookie = FLAGS_secure_cookie;
  return values;
}

}  // namespace lattice::control
