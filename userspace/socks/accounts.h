// Who may use the proxy: pairs of user and password, as `--proxy-auth` and a file of them say. Without any account the
// proxy asks nobody. Any thread.
#ifndef USERSPACE_SOCKS_ACCOUNTS_H_
#define USERSPACE_SOCKS_ACCOUNTS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lattice::socks {

// What RFC 1929 can carry; of HTTP too, for a user name is a trace id and must not be of any length.
inline constexpr size_t kMaxCredentialBytes = 255;

struct Account {
  std::string user, password;
};

// Adds "USER:PASSWORD", the value of one `--proxy-auth`. The password may contain ':'; both have 1 to 255 bytes and no
// control characters. InvalidArgument, with never a word of the text but the user name, and nothing is added; also for
// a user who is there.
absl::Status AddAccount(absl::string_view pair, std::vector<Account>* accounts);

// One account a line; empty lines and those that begin with '#' count for nothing, other space is part of the pair.
// InvalidArgument "FILE:LINE: …" for the first bad line, and for a text without an account: by an empty list the proxy
// would be open to all.
absl::StatusOr<std::vector<Account>> ParseAccounts(absl::string_view text, absl::string_view file);

// The time it takes tells nothing of the accounts but their number. False for what is longer than an account can be.
bool IsAccount(const std::vector<Account>& accounts, absl::string_view user, absl::string_view password);

}  // namespace lattice::socks

#endif  // USERSPACE_SOCKS_ACCOUNTS_H_
