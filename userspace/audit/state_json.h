// The small JSON objects beside the audit file (cursor, digest): one flat object of
// strings and unsigned numbers. Never throws. Any thread.
#ifndef USERSPACE_AUDIT_STATE_JSON_H_
#define USERSPACE_AUDIT_STATE_JSON_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lattice::audit {

struct StateObject {
  std::map<std::string, std::string> texts;
  std::map<std::string, uint64_t> numbers;

  // Missing or of the other type: InvalidArgument naming the key.
  absl::StatusOr<std::string> Text(const std::string& key) const;
  absl::StatusOr<uint64_t> Number(const std::string& key) const;
};

std::string EncodeState(const StateObject& object);  // with a line end
// Other types of values are skipped.
absl::StatusOr<StateObject> DecodeState(absl::string_view text);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_STATE_JSON_H_
