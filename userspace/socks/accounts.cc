#include "userspace/socks/accounts.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "userspace/base/status.h"

namespace lattice::socks {
namespace {

// A pair in a form of one size for all, so that a comparison goes over the same bytes whatever they are.
using Block = std::array<uint8_t, 2 * (1 + kMaxCredentialBytes)>;

Block BlockOf(absl::string_view user, absl::string_view password) {
  Block block{};
  auto* out = block.data();
  for (const absl::string_view part : {user, password}) {
    out[0] = static_cast<uint8_t>(part.size());
    std::copy(part.begin(), part.end(), out + 1);
    out += 1 + kMaxCredentialBytes;
  }
  return block;
}

absl::Status CheckCredential(absl::string_view text, absl::string_view what) {
  if (text.empty() || text.size() > kMaxCredentialBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a ", what, " of ", text.size(), " bytes: expected 1 to ", kMaxCredentialBytes));
  }
  if (std::any_of(text.begin(), text.end(), absl::ascii_iscntrl)) {
    return absl::InvalidArgumentError(absl::StrCat("a control character in the ", what));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AddAccount(absl::string_view pair, std::vector<Account>* accounts) {
  const size_t colon = pair.find(':');
  if (colon == absl::string_view::npos) return absl::InvalidArgumentError("no colon: expected USER:PASSWORD");
  const absl::string_view user = pair.substr(0, colon);
  const absl::string_view password = pair.substr(colon + 1);
  LATTICE_RETURN_IF_ERROR(CheckCredential(user, "user name"));
  LATTICE_RETURN_IF_ERROR(CheckCredential(password, "password"));
  for (const Account& account : *accounts) {
    if (account.user != user) continue;
    return absl::InvalidArgumentError(absl::StrCat("user \"", absl::CEscape(user), "\" a second time"));
  }
  accounts->push_back({.user = std::string(user), .password = std::string(password)});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Account>> ParseAccounts(absl::string_view text, absl::string_view file) {
  std::vector<Account> accounts;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripSuffix(line, "\r");
    if (line.empty() || line.front() == '#') continue;
    LATTICE_RETURN_IF_ERROR(Annotate(AddAccount(line, &accounts), absl::StrCat(file, ":", number)));
  }
  if (accounts.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": no account in it: expected lines USER:PASSWORD"));
  }
  return accounts;
}

bool IsAccount(const std::vector<Account>& accounts, absl::string_view user, absl::string_view password) {
  if (user.size() > kMaxCredentialBytes || password.size() > kMaxCredentialBytes) return false;
  const Block asked = BlockOf(user, password);
  unsigned found = 0;
  for (const Account& account : accounts) {  // all of them, whichever it is
    const Block block = BlockOf(account.user, account.password);
    found |= static_cast<unsigned>(CRYPTO_memcmp(asked.data(), block.data(), asked.size()) == 0);
  }
  return found != 0;
}

}  // namespace lattice::socks
