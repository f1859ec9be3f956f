#include "userspace/control/audit/head_message.h"

#include <openssl/evp.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "userspace/base/status.h"
#include "userspace/control/audit/event_message.h"

namespace lattice::control {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr size_t kSignatureBytes = 64;
constexpr size_t kMaxText = 16 << 10;

absl::Status Bad(absl::string_view key, absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat("\"", key, "\": ", text));
}

absl::StatusOr<std::string> Text(const nlohmann::json& object, const char* key, bool required) {
  const auto found = object.find(key);
  if (found == object.end()) return required ? absl::StatusOr<std::string>(Bad(key, "missing")) : std::string();
  if (!found->is_string()) return Bad(key, "expected a text");
  const auto& text = found->get_ref<const std::string&>();
  if (text.size() > kMaxText) return Bad(key, "too long");
  return text;
}

absl::StatusOr<int64_t> TimeOf(const nlohmann::json& object, const char* key) {
  LATTICE_ASSIGN_OR_RETURN(const std::string text, Text(object, key, /*required=*/true));
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return Bad(key, error);
  if (time < absl::UnixEpoch() || time > absl::FromUnixNanos(INT64_MAX)) return Bad(key, "out of range");
  return absl::ToUnixNanos(time);
}

}  // namespace

bool VerifySignature(absl::string_view text, absl::string_view signature, absl::string_view public_key) {
  std::string key_bytes, signature_bytes;
  if (!absl::Base64Unescape(public_key, &key_bytes) || key_bytes.size() != kKeyBytes) return false;
  if (!absl::Base64Unescape(signature, &signature_bytes) || signature_bytes.size() != kSignatureBytes) return false;
  const auto bytes = [](const std::string& string) { return reinterpret_cast<const unsigned char*>(string.data()); };
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes(key_bytes), key_bytes.size()), EVP_PKEY_free);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (key == nullptr || context == nullptr) return false;
  if (EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1) return false;
  return EVP_DigestVerify(context.get(), bytes(signature_bytes), signature_bytes.size(),
                          reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
}

absl::StatusOr<AuditHead> DecodeHead(absl::string_view message) {
  if (message.size() > kMaxMessageBytes) return absl::ResourceExhaustedError("the message is too long");
  const nlohmann::json object = nlohmann::json::parse(message.begin(), message.end(), nullptr, /*exceptions=*/false);
  if (!object.is_object()) return absl::InvalidArgumentError("the message is no JSON object");
  AuditHead head;
  LATTICE_ASSIGN_OR_RETURN(head.agent_id, Text(object, "agentId", /*required=*/true));
  LATTICE_ASSIGN_OR_RETURN(head.node, Text(object, "node", /*required=*/true));
  LATTICE_ASSIGN_OR_RETURN(head.boot, Text(object, "boot", /*required=*/true));
  LATTICE_ASSIGN_OR_RETURN(head.h, Text(object, "h", /*required=*/true));
  LATTICE_ASSIGN_OR_RETURN(head.ts_ns, TimeOf(object, "ts"));
  const auto seq = object.find("seq");
  if (seq == object.end() || !seq->is_number_unsigned()) return Bad("seq", "expected a number");
  if (seq->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return Bad("seq", "out of range");
  head.seq = seq->get<int64_t>();
  LATTICE_ASSIGN_OR_RETURN(head.digest, Text(object, "digest", /*required=*/false));
  LATTICE_ASSIGN_OR_RETURN(head.signature, Text(object, "signature", /*required=*/!head.digest.empty()));
  LATTICE_ASSIGN_OR_RETURN(head.public_key, Text(object, "publicKey", /*required=*/!head.digest.empty()));
  head.signature_valid = !head.digest.empty() && VerifySignature(head.digest, head.signature, head.public_key);
  return head;
}

}  // namespace lattice::control
