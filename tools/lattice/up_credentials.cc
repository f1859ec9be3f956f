#include "tools/lattice/up_credentials.h"

#include <openssl/evp.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/encoding.h"

namespace lattice::cli {
namespace {

constexpr size_t kKeyBytes = 32;

struct KeyDeleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, KeyDeleter>;

std::string TextOf(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

absl::StatusOr<std::string> CredentialsPath(const std::string& dir, const std::string& name) {
  const std::string common = dir + "/sandbox-credentials.json";
  const std::string own = absl::StrCat(dir, "/sandbox-credentials-", name, ".json");
  if (ReadCredentials(own).ok()) return own;
  const absl::StatusOr<Credentials> found = ReadCredentials(common);
  if (absl::IsNotFound(found.status())) return common;
  // Upstream's file names nobody: it is not known to be ours.
  return found.ok() && found->name == name ? common : own;
}

absl::StatusOr<Credentials> ReadCredentials(const std::string& path) {
  LATTICE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 64 << 10));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const absl::Status damaged = absl::FailedPreconditionError(
      absl::StrCat(path, " has no credentials; remove it and enroll again with a new --token"));
  if (!json.is_object()) return damaged;
  const std::optional<std::string> key = control::FromBase64(TextOf(json, "privateKey"));
  if (!key.has_value() || key->size() != kKeyBytes) return damaged;
  return Credentials{.name = TextOf(json, "name"), .private_key = *key, .jwt = TextOf(json, "jwt")};
}

absl::Status WriteCredentials(const std::string& path, const Credentials& credentials) {
  const nlohmann::json json = {
      {"privateKey", control::Base64(credentials.private_key)}, {"jwt", credentials.jwt}, {"name", credentials.name}};
  return WriteFileAtomically(path, json.dump() + "\n", 0600);
}

absl::StatusOr<std::string> PublicKeyOf(const std::string& private_key) {
  const KeyPtr key(EVP_PKEY_new_raw_private_key(
      EVP_PKEY_X25519, nullptr, reinterpret_cast<const unsigned char*>(private_key.data()), private_key.size()));
  std::string bytes(kKeyBytes, '\0');
  size_t size = bytes.size();
  if (key == nullptr ||
      EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(bytes.data()), &size) != 1 ||
      size != kKeyBytes) {
    return absl::InternalError("the private key is no X25519 key");
  }
  return control::Base64(bytes);
}

absl::StatusOr<std::string> NewPrivateKey() {
  std::string key = control::RandomBytes(kKeyBytes);
  // RFC 7748 5: `wg` prints keys in this form, so ours compare equal.
  key[0] = static_cast<char>(static_cast<unsigned char>(key[0]) & 248);
  key[31] = static_cast<char>((static_cast<unsigned char>(key[31]) & 127) | 64);
  return key;
}

}  // namespace lattice::cli
