// The digest beside a closed segment: what the segment held when it was closed, chained to
// the digest before, so that a segment can't be cut, changed or removed unseen.
//
// Beside it, in `<digest>.sig`, is base64 of the Ed25519 signature (signing.h) over the digest file's text, all its
// bytes; `previous` is the SHA-256 of the digest text before, without its signature. The signature is written first
// and only together with a digest made by the daemon: a digest that is found without one is never signed later, since
// nobody knows who wrote it.
#ifndef USERSPACE_AUDIT_DIGEST_H_
#define USERSPACE_AUDIT_DIGEST_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/audit/file_system.h"
#include "userspace/audit/signing.h"

namespace lattice::audit {

// What a segment's lines amount to, as far as they are written.
struct SegmentState {
  uint64_t first_seq = 0;  // 0: no line
  uint64_t last_seq = 0;
  uint64_t lines = 0;
};

// The digest file, one JSON object.
struct SegmentDigest {
  std::string name;  // file name of the segment when it was closed
  std::string boot;
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;
  uint64_t lines = 0;
  int64_t bytes = 0;
  std::string sha256;    // of the whole file
  std::string head;      // h of its last line
  std::string previous;  // SHA-256 of the digest file before; empty: none
  absl::Time closed;

  bool operator==(const SegmentDigest&) const = default;
};

// "<folder>/<stem>-<boot>-<seq>.digest" beside `audit_path`.
std::string DigestPath(absl::string_view audit_path, absl::string_view boot, uint64_t first_seq);

// "<digest path>.sig"
std::string SignaturePath(absl::string_view digest_path);

std::string EncodeDigest(const SegmentDigest& digest);
absl::StatusOr<SegmentDigest> DecodeDigest(absl::string_view text);

// The value of `previous` for the digest after `text`, the content of a digest file.
std::string HashOfDigest(absl::string_view text);

// Writes `text` as a digest file and, with a `key`, its signature before it.
absl::Status StoreSignedDigest(FileSystem& fs, const std::string& path, absl::string_view text, const SigningKey* key);

// Writes digests where closed segments have none, by reading them, in order. Returns the
// value of `previous` for the next one. Without a `key` they are not signed.
absl::StatusOr<std::string> EnsureDigests(FileSystem& fs, const std::string& audit_path, absl::Time now,
                                          const SigningKey* key = nullptr);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_DIGEST_H_
