#include "userspace/control/audit/store_dialect.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lattice::control {

std::string JsonList(const std::vector<absl::string_view>& texts) {
  std::string json = "[";
  for (absl::string_view text : texts) {
    json += json.size() == 1 ? "\"" : ",\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') {
        json += {'\\', c};
      } else if (static_cast<unsigned char>(c) < 0x20) {
        absl::StrAppendFormat(&json, "\\u%04x", c);
      } else {
        json += c;
      }
    }
    json += '"';
  }
  return json + "]";
}

std::string ListTable(sql::Engine engine) {
  return engine == sql::Engine::kSqlite ? "json_each(?)"
                                        : "(SELECT jsonb_array_elements_text(CAST(? AS jsonb)) COLLATE \"C\" AS value)";
}

std::string Sum(sql::Engine engine, absl::string_view expression) {
  return engine == sql::Engine::kSqlite
             ? absl::StrCat("CAST(total(", expression, ") AS INTEGER)")
             : absl::StrCat("CAST(LEAST(COALESCE(sum(", expression, "), 0), 9223372036854775807) AS BIGINT)");
}

std::string OfNewest(sql::Engine engine, absl::string_view column) {
  return engine == sql::Engine::kSqlite ? std::string(column)
                                        : absl::StrCat("(array_agg(", column, " ORDER BY last_ts DESC))[1]");
}

std::string LargestPerValue(sql::Engine engine, absl::string_view table, absl::string_view columns,
                            absl::string_view key, absl::string_view condition, absl::string_view largest) {
  const bool sqlite = engine == sql::Engine::kSqlite;
  const std::string one = absl::StrCat("(SELECT ", sqlite ? "rowid" : columns, " FROM ", table, " WHERE ", key,
                                       " = q.value AND ", condition, " ORDER BY ", largest, " DESC LIMIT 1)");
  if (!sqlite) return absl::StrCat("SELECT e.* FROM ", ListTable(engine), " AS q CROSS JOIN LATERAL ", one, " AS e");
  // SQLite has no LATERAL; the row's number finds it at once.
  return absl::StrCat("SELECT ", columns, " FROM ", ListTable(engine), " AS q CROSS JOIN ", table,
                      " AS e ON e.rowid = ", one);
}

absl::string_view SkipLocked(sql::Engine engine) {
  return engine == sql::Engine::kSqlite ? "" : " FOR UPDATE SKIP LOCKED";
}

std::string FromIndex(sql::Engine engine, absl::string_view table, absl::string_view index) {
  return engine == sql::Engine::kSqlite && !index.empty() ? absl::StrCat(table, " INDEXED BY ", index)
                                                          : std::string(table);
}

int64_t LockKey(absl::string_view name) {
  uint64_t hash = 14695981039346656037u;  // FNV-1a, 64 bits
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return static_cast<int64_t>(hash);
}

}  // namespace lattice::control
