// The node's Ed25519 key (RFC 8032, OpenSSL), which signs the digests of closed segments: who can write the audit
// folder but not read this key can't forge a digest.
//
//   LATTICE_ASSIGN_OR_RETURN(auto key, SigningKey::LoadOrCreate("/var/log/lattice/wg0/audit.jsonl.key"));
//   const std::string signature = key->Sign(text);            // 64 bytes
//   VerifySignature(key->public_key(), text, signature)       // 32 bytes
//
// Any thread. The private key is in no error, log or message.
#ifndef USERSPACE_AUDIT_SIGNING_H_
#define USERSPACE_AUDIT_SIGNING_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lattice::audit {

inline constexpr size_t kPublicKeyBytes = 32;
inline constexpr size_t kSignatureBytes = 64;

class SigningKey {
 public:
  // The file is a PEM private key (PKCS #8) or the 32 bytes of the seed. PermissionDenied: others may read it or it is
  // not ours; InvalidArgument: no Ed25519 key. Both name the path.
  static absl::StatusOr<std::unique_ptr<SigningKey>> Load(const std::string& path);
  // Where there is no file, makes one with a new key, PEM, mode 0600.
  static absl::StatusOr<std::unique_ptr<SigningKey>> LoadOrCreate(const std::string& path);
  ~SigningKey();
  SigningKey(const SigningKey&) = delete;
  SigningKey& operator=(const SigningKey&) = delete;

  std::string Sign(absl::string_view text) const;
  const std::string& public_key() const { return public_key_; }  // raw

 private:
  struct Impl;
  explicit SigningKey(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
  std::string public_key_;
};

bool VerifySignature(absl::string_view public_key, absl::string_view text, absl::string_view signature);

// A public key in base64 (44 characters), raw (32 bytes) or PEM: what an operator may have in a file or a flag.
absl::StatusOr<std::string> ParsePublicKey(absl::string_view text);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_SIGNING_H_
