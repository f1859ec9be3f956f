#include "userspace/audit/signing.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include <glog/logging.h>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::audit {
namespace {

constexpr size_t kSeedBytes = 32;
constexpr size_t kMaxKeyFile = 16 << 10;

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Context = std::unique_ptr<EVP_MD_CTX, Free>;
using Bio = std::unique_ptr<BIO, Free>;

const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Bio ReadOf(absl::string_view text) {
  Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  CHECK(bio != nullptr);
  return bio;
}

// Never asks at a terminal: an encrypted key is no key.
int NoPassword(char*, int, int, void*) {
  return -1;
}

Key ParsePrivateKey(absl::string_view text) {
  if (text.size() == kSeedBytes) {
    return Key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Bytes(text), text.size()));
  }
  return Key(PEM_read_bio_PrivateKey(ReadOf(text).get(), nullptr, NoPassword, nullptr));
}

absl::StatusOr<std::string> NewKeyPem() {
  const Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  const Bio out(BIO_new(BIO_s_mem()));
  if (key == nullptr || out == nullptr ||
      PEM_write_bio_PKCS8PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return absl::InternalError("OpenSSL can't make an Ed25519 key");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

absl::Status CheckOwner(const std::string& path) {
  struct stat st;
  if (stat(path.c_str(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("reading ", path));
  if ((st.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "%s has mode %04o, so others can read the key or put in their own: chmod 600 it", path, st.st_mode & 07777));
  }
  if (st.st_uid != geteuid()) {
    return absl::PermissionDeniedError(absl::StrCat(path, " belongs to user ", st.st_uid, ", not to us"));
  }
  return absl::OkStatus();
}

}  // namespace

struct SigningKey::Impl {
  Key key;
};

SigningKey::SigningKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  public_key_.resize(kPublicKeyBytes);
  size_t size = public_key_.size();
  auto* const out = reinterpret_cast<unsigned char*>(public_key_.data());
  CHECK_EQ(EVP_PKEY_get_raw_public_key(impl_->key.get(), out, &size), 1);
}

SigningKey::~SigningKey() = default;

absl::StatusOr<std::unique_ptr<SigningKey>> SigningKey::Load(const std::string& path) {
  LATTICE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxKeyFile));
  LATTICE_RETURN_IF_ERROR(CheckOwner(path));
  Key key = ParsePrivateKey(text);
  if (key == nullptr || EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519) {
    return absl::InvalidArgumentError(absl::StrCat(
        path,
        " is no Ed25519 private key: expected PEM without a password (openssl genpkey -algorithm ed25519) or the ",
        kSeedBytes, " bytes of a seed"));
  }
  auto impl = std::make_unique<Impl>();
  impl->key = std::move(key);
  return absl::WrapUnique(new SigningKey(std::move(impl)));
}

absl::StatusOr<std::unique_ptr<SigningKey>> SigningKey::LoadOrCreate(const std::string& path) {
  absl::StatusOr<std::unique_ptr<SigningKey>> loaded = Load(path);
  if (!absl::IsNotFound(loaded.status())) return loaded;
  LATTICE_ASSIGN_OR_RETURN(const std::string pem, NewKeyPem());
  LATTICE_RETURN_IF_ERROR(WriteFileAtomically(path, pem, 0600));
  return Load(path);
}

std::string SigningKey::Sign(absl::string_view text) const {
  std::string signature(kSignatureBytes, '\0');
  size_t size = signature.size();
  const Context context(EVP_MD_CTX_new());
  CHECK_EQ(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, impl_->key.get()), 1);
  CHECK_EQ(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, Bytes(text),
                          text.size()),
           1);
  return signature;
}

bool VerifySignature(absl::string_view public_key, absl::string_view text, absl::string_view signature) {
  if (public_key.size() != kPublicKeyBytes || signature.size() != kSignatureBytes) return false;
  const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Bytes(public_key), public_key.size()));
  const Context context(EVP_MD_CTX_new());
  return key != nullptr && context != nullptr &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(text), text.size()) == 1;
}

absl::StatusOr<std::string> ParsePublicKey(absl::string_view text) {
  if (text.size() == kPublicKeyBytes) return std::string(text);
  if (absl::StrContains(text, "-----BEGIN")) {
    const Key key(PEM_read_bio_PUBKEY(ReadOf(text).get(), nullptr, NoPassword, nullptr));
    std::string raw(kPublicKeyBytes, '\0');
    size_t size = raw.size();
    const bool ed25519 = key != nullptr && EVP_PKEY_get_id(key.get()) == EVP_PKEY_ED25519;
    if (ed25519 && EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(raw.data()), &size) == 1) {
      return raw;
    }
  }
  std::string raw;
  if (absl::Base64Unescape(absl::StripAsciiWhitespace(text), &raw) && raw.size() == kPublicKeyBytes) return raw;
  return absl::InvalidArgumentError("no Ed25519 public key: expected base64 of 32 bytes, 32 raw bytes or PEM");
}

}  // namespace lattice::audit
