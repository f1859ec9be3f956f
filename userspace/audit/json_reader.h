// Reads the one JSON object that a line of the audit file and a message on NATS are, without building it: each member
// of it goes to the caller as it is met. What lies inside of nested values is checked and skipped.
//
//   std::deque<std::string> unescaped;
//   const JsonEnd end = ReadJsonObject(line, unescaped, [&](const JsonMember& member) { …; return true; });
//
// Strict (RFC 8259): one object, nothing after it; strings are well-formed UTF-8 without raw control characters.
// A library's parser takes several times as long, and a record is read twice on its way. Pure, any thread.
#ifndef USERSPACE_AUDIT_JSON_READER_H_
#define USERSPACE_AUDIT_JSON_READER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace lattice::audit {

// kNumber: without sign, fraction and exponent, in 64 bits. kNegative: the same with a sign, of any size.
enum class JsonType { kText, kNumber, kNegative, kOther };

struct JsonMember {
  absl::string_view key;
  JsonType type = JsonType::kOther;
  absl::string_view text;  // of kText
  uint64_t number = 0;     // of kNumber
};

struct JsonEnd {
  enum Kind { kDone, kMalformed, kNoObject, kTooDeep, kStopped } kind = kDone;
  size_t at = 0;  // the byte that it ended at
};

inline constexpr int kMaxJsonDepth = 64;

// Until the end of `text`, an error, or until `member` returns false (kStopped). kNoObject: `text` begins with another
// value. Views are of `text`, or of `unescaped` where it has escapes: valid as long as both are.
JsonEnd ReadJsonObject(absl::string_view text, std::deque<std::string>& unescaped,
                       absl::FunctionRef<bool(const JsonMember&)> member);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_JSON_READER_H_
