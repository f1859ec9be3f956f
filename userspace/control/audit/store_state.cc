// What the store says of its sources: completeness, gaps, heads, rejects.
#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/control/audit/sql_flow_store.h"
#include "userspace/control/audit/store_dialect.h"

namespace lattice::control {
namespace {

constexpr int64_t kRecentNs = int64_t{3600} * 1'000'000'000;
constexpr int64_t kMaxRows = 10'000;

int64_t Bounded(size_t limit) {
  return static_cast<int64_t>(std::min<size_t>(limit, kMaxRows));
}

AuditHead ReadHead(sql::Row& row, size_t at) {
  AuditHead head;
  head.node = row[at].TakeText();
  head.boot = row[at + 1].TakeText();
  head.agent_id = row[at + 2].TakeText();
  head.seq = row[at + 3].integer();
  head.h = row[at + 4].TakeText();
  head.ts_ns = row[at + 5].integer();
  return head;
}

}  // namespace

absl::StatusOr<Completeness> SqlFlowStore::ReadCompleteness(absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  // Of a node that was started again its new boot alone counts: the old one never moves any more. Nor does one count
  // whose clock is far behind: it would hold everybody's back.
  LATTICE_ASSIGN_OR_RETURN(
      const std::vector<sql::Row> newest,
      connection->Query("SELECT min(newest) FROM (SELECT max(last_ts) AS newest FROM la_flow_sources "
                        "WHERE last_seen >= ? AND last_ts >= last_seen - ? GROUP BY node) AS nodes",
                        {NowNs() - kRecentNs, kRecentNs}, deadline));
  LATTICE_ASSIGN_OR_RETURN(const std::vector<sql::Row> sums,
                           connection->Query(absl::StrCat("SELECT ", Sum(database_.engine(), "missing"), ", ",
                                                          Sum(database_.engine(), "lost"), " FROM la_flow_sources"),
                                             {}, deadline));
  return Completeness{.watermark_ns = newest[0][0].integer(),
                      .gaps = static_cast<uint64_t>(sums[0][0].integer()),
                      .lost = static_cast<uint64_t>(sums[0][1].integer())};
}

absl::StatusOr<std::vector<Source>> SqlFlowStore::Sources(absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  LATTICE_ASSIGN_OR_RETURN(
      std::vector<sql::Row> rows,
      connection->Query(
          "SELECT s.node, s.boot, s.agent_id, s.first_seq, s.last_seq, s.last_ts, s.last_seen, s.stored, s.missing, "
          "s.lost, h.node, h.boot, h.agent_id, h.seq, h.h, h.ts FROM la_flow_sources AS s "
          "LEFT JOIN la_audit_heads AS h ON h.node = s.node AND h.boot = s.boot "
          "ORDER BY s.last_seen DESC, s.node, s.boot LIMIT ?",
          {kMaxRows}, deadline));
  std::vector<Source> sources;
  for (sql::Row& row : rows) {
    Source source{.node = row[0].TakeText(),
                  .boot = row[1].TakeText(),
                  .agent_id = row[2].TakeText(),
                  .first_seq = row[3].integer(),
                  .last_seq = row[4].integer(),
                  .last_ts_ns = row[5].integer(),
                  .last_seen_ns = row[6].integer(),
                  .stored = static_cast<uint64_t>(row[7].integer()),
                  .missing = static_cast<uint64_t>(row[8].integer()),
                  .lost = static_cast<uint64_t>(row[9].integer())};
    if (!row[10].is_null()) source.head = ReadHead(row, 10);
    sources.push_back(std::move(source));
  }
  return sources;
}

absl::StatusOr<std::vector<Gap>> SqlFlowStore::Gaps(const std::string& node, const std::string& boot, size_t limit,
                                                    absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  std::string statement = "SELECT node, boot, first_seq, last_seq, found, explained_by FROM la_flow_gaps";
  std::vector<sql::Param> params;
  if (!node.empty()) {
    statement += " WHERE node = ?";
    params.emplace_back(node);
    if (!boot.empty()) {
      statement += " AND boot = ?";
      params.emplace_back(boot);
    }
  }
  statement += " ORDER BY node, boot, first_seq LIMIT ?";
  params.emplace_back(Bounded(limit));
  LATTICE_ASSIGN_OR_RETURN(std::vector<sql::Row> rows, connection->Query(statement, params, deadline));
  std::vector<Gap> gaps;
  for (sql::Row& row : rows) {
    gaps.push_back({.node = row[0].TakeText(),
                    .boot = row[1].TakeText(),
                    .first_seq = row[2].integer(),
                    .last_seq = row[3].integer(),
                    .found_ns = row[4].integer(),
                    .explained_by = row[5].TakeText()});
  }
  return gaps;
}

absl::StatusOr<std::vector<AuditHead>> SqlFlowStore::Digests(const std::string& node, size_t limit,
                                                             absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  std::string statement =
      "SELECT node, boot, agent_id, seq, h, ts, digest, signature, public_key, signature_valid FROM la_audit_digests";
  std::vector<sql::Param> params;
  if (!node.empty()) {
    statement += " WHERE node = ?";
    params.emplace_back(node);
  }
  statement += " ORDER BY received_at DESC, node, boot, seq DESC LIMIT ?";
  params.emplace_back(Bounded(limit));
  LATTICE_ASSIGN_OR_RETURN(std::vector<sql::Row> rows, connection->Query(statement, params, deadline));
  std::vector<AuditHead> digests;
  for (sql::Row& row : rows) {
    AuditHead head = ReadHead(row, 0);
    head.digest = row[6].TakeText();
    head.signature = row[7].TakeText();
    head.public_key = row[8].TakeText();
    head.signature_valid = row[9].integer() != 0;
    digests.push_back(std::move(head));
  }
  return digests;
}

absl::StatusOr<std::vector<Reject>> SqlFlowStore::Rejects(size_t limit, absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  LATTICE_ASSIGN_OR_RETURN(std::vector<sql::Row> rows,
                           connection->Query("SELECT reason, detail, subject, payload, stream_seq, stream_time "
                                             "FROM la_flow_rejects ORDER BY received_at DESC, stream_seq DESC LIMIT ?",
                                             {Bounded(limit)}, deadline));
  std::vector<Reject> rejects;
  for (sql::Row& row : rows) {
    Reject reject{.reason = row[0].TakeText(),
                  .detail = row[1].TakeText(),
                  .subject = row[2].TakeText(),
                  .stream_seq = static_cast<uint64_t>(row[4].integer()),
                  .stream_time_ns = row[5].integer()};
    if (!absl::Base64Unescape(row[3].text(), &reject.payload)) {
      return absl::DataLossError(absl::StrCat("la_flow_rejects: the payload of ", reject.stream_seq, " is no base64"));
    }
    rejects.push_back(std::move(reject));
  }
  return rejects;
}

}  // namespace lattice::control
