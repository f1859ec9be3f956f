#include "tests/testing/audit_records.h"

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"

namespace lattice::testing {

AuditRecord AuditRecord::Parse(absl::string_view line) {
  AuditRecord record;
  record.line_ = std::string(line);
  const nlohmann::json object = nlohmann::json::parse(record.line_, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    record.fields_["broken"] = record.line_;
    return record;
  }
  for (const auto& [key, value] : object.items()) {
    record.fields_[key] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return record;
}

const std::string& AuditRecord::operator[](const std::string& key) const {
  static const std::string none;
  const auto found = fields_.find(key);
  return found == fields_.end() ? none : found->second;
}

uint64_t AuditRecord::Number(const std::string& key) const {
  uint64_t number = 0;
  return absl::SimpleAtoi((*this)[key], &number) ? number : 0;
}

std::ostream& operator<<(std::ostream& os, const AuditRecord& record) {
  return os << record.line() << "\n";
}

std::vector<AuditRecord> ParseAuditLines(absl::string_view text) {
  std::vector<AuditRecord> records;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != absl::string_view::npos; begin = end + 1) {
    records.push_back(AuditRecord::Parse(text.substr(begin, end - begin)));
  }
  return records;
}

}  // namespace lattice::testing
