// What an agent of `lattice up` keeps: its private key and its token, in one file of mode 0600.
//
// The file is $LATTICE_CONFIG_DIR/sandbox-credentials.json as upstream has it; where that is another agent's,
// sandbox-credentials-NAME.json. The key is stored before it is used to enrol, so that an agent that is killed in
// between can ask again with it. One process at a time for a name.
#ifndef TOOLS_LATTICE_UP_CREDENTIALS_H_
#define TOOLS_LATTICE_UP_CREDENTIALS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace lattice::cli {

struct Credentials {
  std::string name;         // empty: upstream wrote it
  std::string private_key;  // 32 bytes
  std::string jwt;          // empty: not enrolled yet
};

// The file of `name` in `dir`.
absl::StatusOr<std::string> CredentialsPath(const std::string& dir, const std::string& name);
// NotFound: there is none. FailedPrecondition: it is damaged.
absl::StatusOr<Credentials> ReadCredentials(const std::string& path);
absl::Status WriteCredentials(const std::string& path, const Credentials& credentials);

// X25519. `private_key` is 32 bytes; the answer is base64.
absl::StatusOr<std::string> PublicKeyOf(const std::string& private_key);
absl::StatusOr<std::string> NewPrivateKey();

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_UP_CREDENTIALS_H_
