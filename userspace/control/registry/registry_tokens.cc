// Enrolment tokens: made, listed, revoked. See registry.h.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/encoding.h"
#include "userspace/control/registry/identity.h"
#include "userspace/control/registry/registry.h"
#include "userspace/control/registry/rows.h"

namespace lattice::control {
namespace {

constexpr size_t kTokenBytes = 16;
constexpr size_t kIdBytes = 8;
constexpr absl::Duration kMaxTtl = absl::Hours(24 * 365);

absl::Status CheckRequest(const TokenRequest& request) {
  if (!request.name.empty()) LATTICE_RETURN_IF_ERROR(CheckName("agentName", request.name));
  LATTICE_RETURN_IF_ERROR(CheckName("namespace", request.name_space));
  if (request.ttl < absl::Seconds(1) || request.ttl > kMaxTtl) {
    return absl::InvalidArgumentError("ttlSeconds: expected 1 to 31536000");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<IssuedToken> Registry::CreateEnrollmentToken(const TokenRequest& request) {
  LATTICE_RETURN_IF_ERROR(CheckRequest(request));
  IssuedToken issued;
  issued.id = Hex(RandomBytes(kIdBytes));
  issued.token = absl::StrCat("lt-", Hex(RandomBytes(kTokenBytes)));
  issued.expires_ns = NowNs() + absl::ToInt64Nanoseconds(request.ttl);
  // 128 random bits need no salt and no slow hash: nobody guesses them.
  const std::string hash = Sha256Hex(issued.token);
  const std::string tools = EncodeList(request.allowed_tools);
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(Deadline()));
  LATTICE_RETURN_IF_ERROR(
      connection
          ->Execute("INSERT INTO la_enrollment_tokens (id, hash, name, name_space, allowed_tools, created_ns, "
                    "expires_ns, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    {issued.id, hash, request.name, request.name_space, tools, NowNs(), issued.expires_ns, request.by},
                    Deadline())
          .status());
  return issued;
}

absl::StatusOr<std::vector<EnrollmentToken>> Registry::ListEnrollmentTokens() {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(Deadline()));
  LATTICE_ASSIGN_OR_RETURN(const std::vector<sql::Row> rows,
                           connection->Query("SELECT " LATTICE_TOKEN_COLUMNS
                                             " FROM la_enrollment_tokens ORDER BY created_ns DESC, id LIMIT 1000",
                                             {}, Deadline()));
  std::vector<EnrollmentToken> tokens;
  tokens.reserve(rows.size());
  for (const sql::Row& row : rows) tokens.push_back(ReadToken(row));
  return tokens;
}

absl::Status Registry::RevokeEnrollmentToken(absl::string_view id) {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(Deadline()));
  LATTICE_ASSIGN_OR_RETURN(
      const int64_t changed,
      connection->Execute("UPDATE la_enrollment_tokens SET revoked_ns = ? WHERE id = ?", {NowNs(), id}, Deadline()));
  if (changed == 0) {
    return absl::NotFoundError(
        absl::StrCat("there is no enrollment token \"", id, "\"; `lattice token list` shows them"));
  }
  return absl::OkStatus();
}

}  // namespace lattice::control
