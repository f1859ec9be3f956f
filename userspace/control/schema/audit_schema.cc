#include "userspace/control/schema/audit_schema.h"

#include <string>

#include "absl/strings/str_replace.h"

namespace lattice::control {
namespace {

// One text for both engines. @text compares by bytes, as SQLite does anyway and as no locale of PostgreSQL does;
// @int is a number that is 0 where there is none; @clustered keeps the rows in the order of the primary key.
//
// la_flow_events begins with the columns of older control planes. dst_key and src_key are the addresses in a form
// where a network is a range (store_keys.h). Partial indexes leave out the words that most rows have: a walk by time
// finds those at once, and finds the others never. Their conditions are chains of <>: for NOT IN with a list SQLite
// fills a table of the list for every row that is inserted: nearly half of the instructions of an insert.
constexpr char kTables[] = R"sql(
CREATE TABLE la_flow_events (
  id VARCHAR(36) @bytes NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, deleted_at BIGINT,
  trace_id @text, agent_id @text, direction @text, dst_ip @text, dst_port @int, bytes @int, ts BIGINT NOT NULL,
  event_id @text UNIQUE, node @text, boot @text, seq @int, event @text, verdict @text, reason @text, rule @text,
  src_ip @text, src_port @int, protocol @text, iface @text, scope @text, mode @text,
  bytes_out @int, bytes_in @int, packets_out @int, packets_in @int, start_ts @int, duration_ms @int,
  end_reason @text, policy_generation @int, policy_hash @text, flow_id @text,
  host @text, cgroup @text, pid @int, comm @text,
  stage @text, lost_count @int, lost_from @int, lost_to @int, lost_first_seq @int, lost_last_seq @int, lost_boot @text,
  dst_key @text, src_key @text);
CREATE INDEX la_flow_events_ts ON la_flow_events (ts);
CREATE INDEX la_flow_events_agent ON la_flow_events (agent_id, ts);
CREATE INDEX la_flow_events_denied ON la_flow_events (ts) WHERE verdict = 'drop';
CREATE INDEX la_flow_events_agent_denied ON la_flow_events (agent_id, ts) WHERE verdict = 'drop';
CREATE INDEX la_flow_events_dst ON la_flow_events (dst_key, ts);
CREATE INDEX la_flow_events_agent_dst ON la_flow_events (agent_id, dst_key, ts);
CREATE INDEX la_flow_events_src ON la_flow_events (src_key, ts);
CREATE INDEX la_flow_events_port ON la_flow_events (dst_port, ts);
CREATE INDEX la_flow_events_rule ON la_flow_events (rule, ts) WHERE rule <> '';
CREATE INDEX la_flow_events_trace ON la_flow_events (trace_id, ts) WHERE trace_id <> '';
CREATE INDEX la_flow_events_host ON la_flow_events (host, ts) WHERE host <> '';
CREATE INDEX la_flow_events_event ON la_flow_events (event, ts)
  WHERE event <> 'start' AND event <> 'update' AND event <> 'end' AND event <> 'denied';
CREATE INDEX la_flow_events_reason ON la_flow_events (reason, ts)
  WHERE reason <> '' AND reason <> 'none' AND reason <> 'allow_rule' AND reason <> 'default_allow'
  AND reason <> 'reply' AND reason <> 'no_rule';
CREATE INDEX la_flow_events_protocol ON la_flow_events (protocol, ts)
  WHERE protocol <> '' AND protocol <> 'tcp' AND protocol <> 'udp';
CREATE INDEX la_flow_events_flow ON la_flow_events (flow_id, bytes) WHERE flow_id <> '' AND event <> 'denied';

CREATE TABLE la_flow_gaps (
  node @text, boot @text, first_seq BIGINT NOT NULL, last_seq BIGINT NOT NULL, found BIGINT NOT NULL,
  explained_by @text, PRIMARY KEY (node, boot, first_seq)) @clustered;
CREATE TABLE la_flow_sources (
  node @text, boot @text, agent_id @text, first_seq @int, last_seq @int, last_ts @int, last_seen @int,
  stored @int, missing @int, lost @int, PRIMARY KEY (node, boot)) @clustered;
CREATE TABLE la_flow_rejects (
  stream_seq BIGINT NOT NULL, stream_time BIGINT NOT NULL, received_at BIGINT NOT NULL,
  reason @text, detail @text, subject @text, payload @text, PRIMARY KEY (stream_seq, stream_time));
CREATE INDEX la_flow_rejects_received ON la_flow_rejects (received_at, stream_seq);
CREATE TABLE la_audit_heads (
  node @text, boot @text, agent_id @text, seq BIGINT NOT NULL, h @text, ts @int, PRIMARY KEY (node, boot)) @clustered;
CREATE TABLE la_audit_digests (
  node @text, boot @text, agent_id @text, seq BIGINT NOT NULL, h @text, ts @int, digest @text, signature @text,
  public_key @text, signature_valid @int, received_at BIGINT NOT NULL, PRIMARY KEY (node, boot, seq));
CREATE INDEX la_audit_digests_received ON la_audit_digests (received_at);
)sql";

// The same per minute and per hour: a day in minutes is too much to add up for every look at a page. What a page over
// all agents adds up has no agents, and what the timeline and the list of agents add up has no destinations: the first
// table has many times the rows of the others.
constexpr char kRollups[] = R"sql(
CREATE TABLE la_flow_rollup_@width (
  bucket BIGINT NOT NULL, agent_id @text, dst_ip @text, dst_port @int, protocol @text, verdict @text, rule @text,
  dst_key @text, flows @int, bytes @int, packets @int, last_ts @int, host @text, reason @text,
  PRIMARY KEY (bucket, agent_id, dst_ip, dst_port, protocol, verdict, rule)) @clustered;
CREATE TABLE la_flow_totals_@width (
  bucket BIGINT NOT NULL, dst_ip @text, dst_port @int, protocol @text, verdict @text, rule @text,
  dst_key @text, records @int, flows @int, bytes @int, packets @int,
  PRIMARY KEY (bucket, dst_ip, dst_port, protocol, verdict, rule)) @clustered;
CREATE TABLE la_flow_agents_@width (
  bucket BIGINT NOT NULL, agent_id @text, verdict @text, flows @int, bytes @int, packets @int, last_ts @int,
  PRIMARY KEY (bucket, agent_id, verdict)) @clustered;
)sql";

sql::Migration FirstVersion() {
  const std::string text =
      kTables + absl::StrReplaceAll(kRollups, {{"@width", "1m"}}) + absl::StrReplaceAll(kRollups, {{"@width", "1h"}});
  return {.sqlite = absl::StrReplaceAll(text, {{"@text", "TEXT NOT NULL DEFAULT ''"},
                                               {"@int", "BIGINT NOT NULL DEFAULT 0"},
                                               {"@bytes", ""},
                                               {"@clustered", "WITHOUT ROWID"}}),
          .postgresql = absl::StrReplaceAll(text, {{"@text", "TEXT COLLATE \"C\" NOT NULL DEFAULT ''"},
                                                   {"@int", "BIGINT NOT NULL DEFAULT 0"},
                                                   {"@bytes", "COLLATE \"C\""},
                                                   {"@clustered", ""}})};
}

}  // namespace

const std::vector<sql::Migration>& AuditMigrations() {
  static const auto* const migrations = new std::vector<sql::Migration>{FirstVersion()};
  return *migrations;
}

}  // namespace lattice::control
