#include "userspace/control/registry/schema.h"

#include <vector>

namespace lattice::control {
namespace {

// address is the IPv4 address as a number: allocation asks for the highest. NULL where there is none, because
// UNIQUE lets any number of those be.
constexpr char kVersion1[] = R"(
CREATE TABLE la_settings (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
INSERT INTO la_settings (key, value) VALUES ('config_version', '0');

CREATE TABLE la_enrollment_tokens (
  id TEXT PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  name_space TEXT NOT NULL,
  allowed_tools TEXT NOT NULL,
  created_ns BIGINT NOT NULL,
  expires_ns BIGINT NOT NULL,
  used_ns BIGINT NOT NULL DEFAULT 0,
  used_by TEXT NOT NULL DEFAULT '',
  used_key TEXT NOT NULL DEFAULT '',
  revoked_ns BIGINT NOT NULL DEFAULT 0,
  created_by TEXT NOT NULL
);

CREATE TABLE la_agents (
  name TEXT PRIMARY KEY,
  app_id TEXT NOT NULL,
  name_space TEXT NOT NULL,
  allowed_tools TEXT NOT NULL,
  public_key TEXT UNIQUE,
  address BIGINT UNIQUE,
  status TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  hostname TEXT NOT NULL,
  platform TEXT NOT NULL,
  port BIGINT NOT NULL,
  keepalive_seconds BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  enrolled_ns BIGINT NOT NULL,
  last_heartbeat_ns BIGINT NOT NULL,
  revoked_ns BIGINT NOT NULL
);
CREATE INDEX la_agents_app_id ON la_agents (app_id);

CREATE TABLE la_agent_policies (
  agent TEXT PRIMARY KEY,
  rules TEXT NOT NULL,
  version BIGINT NOT NULL,
  updated_ns BIGINT NOT NULL,
  updated_by TEXT NOT NULL
);
)";

}  // namespace

absl::Span<const sql::Migration> RegistryMigrations() {
  static const std::vector<sql::Migration>* const migrations = new std::vector<sql::Migration>{{kVersion1, ""}};
  return *migrations;
}

}  // namespace lattice::control
