// Lines of the audit file (and payloads on NATS) as a test looks at them. Any thread.
#ifndef TESTS_TESTING_AUDIT_RECORDS_H_
#define TESTS_TESTING_AUDIT_RECORDS_H_

#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace lattice::testing {

class AuditRecord {
 public:
  // A line that is no JSON object becomes {"broken": line}.
  static AuditRecord Parse(absl::string_view line);
  // The value of `key` as text (strings without quotes, numbers as written); empty if it isn't there.
  const std::string& operator[](const std::string& key) const;
  uint64_t Number(const std::string& key) const;  // 0 if it isn't there
  bool Has(const std::string& key) const { return fields_.count(key) != 0; }
  const std::string& line() const { return line_; }

 private:
  std::string line_;
  std::map<std::string, std::string> fields_;
};
std::ostream& operator<<(std::ostream& os, const AuditRecord& record);

// Whole lines of `text`; a last one without its newline is still being written and left out.
std::vector<AuditRecord> ParseAuditLines(absl::string_view text);

}  // namespace lattice::testing

#endif  // TESTS_TESTING_AUDIT_RECORDS_H_
