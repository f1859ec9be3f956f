// The hash chain over the lines of the audit file.
//
// Every line's last key is `h`, 64 lower-case hex digits:
//   h = SHA-256(h of the line before, as 64 hex digits || the line without h)
// where "the line without h" is the JSON object before `,"h":"…"` was put in front of
// its closing brace, without the line end. The first line of all is chained to 64 zeros;
// the chain goes on over rotated files and reboots. Worked example:
//   {"a":1}  ->  {"a":1,"h":"<sha256 of 000…000{"a":1}>"}
// One thread per object.
#ifndef USERSPACE_AUDIT_CHAIN_H_
#define USERSPACE_AUDIT_CHAIN_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace lattice::audit {

inline constexpr size_t kHashHexBytes = 64;
inline constexpr absl::string_view kChainStart = "0000000000000000000000000000000000000000000000000000000000000000";

// SHA-256 in pieces (OpenSSL); Finish() starts anew.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void Update(absl::string_view data);
  std::array<char, kHashHexBytes> FinishHex();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class HashChain {
 public:
  explicit HashChain(absl::string_view head = kChainStart);
  // `text` ends with a line "{…}" that begins at `from`; puts `,"h":"…"` into it and
  // moves the head.
  void Seal(std::string& text, size_t from);
  absl::string_view head() const { return absl::string_view(head_.data(), head_.size()); }
  void Reset(absl::string_view head);

 private:
  Sha256 sha_;
  std::array<char, kHashHexBytes> head_;
};

bool IsHashHex(absl::string_view text);  // 64 lower-case hex digits

// Splits a sealed line into the object without h (its closing brace included) and h.
// False if the line does not end in a well-formed h.
bool SplitSealed(absl::string_view line, std::string* object, absl::string_view* h);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_CHAIN_H_
