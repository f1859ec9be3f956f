#include "userspace/audit/chain.h"

#include <openssl/evp.h>

#include <algorithm>

#include <glog/logging.h>

namespace lattice::audit {
namespace {

constexpr absl::string_view kBeforeHash = ",\"h\":\"";
constexpr absl::string_view kAfterHash = "\"}";
constexpr size_t kSealBytes = 6 + kHashHexBytes + 2;
static_assert(kBeforeHash.size() + kHashHexBytes + kAfterHash.size() == kSealBytes);

// Fetched once: EVP_sha256() looks it up again at every init (OpenSSL 3.0 crypto(7)).
const EVP_MD* Md() {
  static EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return md;
}

}  // namespace

struct Sha256::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~Impl() { EVP_MD_CTX_free(context); }
  // Out of memory or an OpenSSL without SHA-256: nothing can be written then.
  void Init() { CHECK_EQ(EVP_DigestInit_ex2(context, Md(), nullptr), 1) << "OpenSSL has no SHA-256"; }
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
  impl_->Init();
}

Sha256::~Sha256() = default;

void Sha256::Update(absl::string_view data) {
  CHECK_EQ(EVP_DigestUpdate(impl_->context, data.data(), data.size()), 1);
}

std::array<char, kHashHexBytes> Sha256::FinishHex() {
  constexpr char kDigits[] = "0123456789abcdef";
  unsigned char raw[kHashHexBytes / 2];
  CHECK_EQ(EVP_DigestFinal_ex(impl_->context, raw, nullptr), 1);
  impl_->Init();
  std::array<char, kHashHexBytes> hex;
  for (size_t i = 0; i < sizeof(raw); ++i) {
    hex[2 * i] = kDigits[raw[i] >> 4];
    hex[2 * i + 1] = kDigits[raw[i] & 15];
  }
  return hex;
}

HashChain::HashChain(absl::string_view head) {
  Reset(head);
}

void HashChain::Reset(absl::string_view head) {
  CHECK_EQ(head.size(), kHashHexBytes);
  std::copy(head.begin(), head.end(), head_.begin());
}

void HashChain::Seal(std::string& text, size_t from) {
  sha_.Update(head());
  sha_.Update(absl::string_view(text).substr(from));
  head_ = sha_.FinishHex();
  text.pop_back();
  text.append(kBeforeHash.data(), kBeforeHash.size());
  text.append(head_.data(), head_.size());
  text.append(kAfterHash.data(), kAfterHash.size());
}

bool IsHashHex(absl::string_view text) {
  return text.size() == kHashHexBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool SplitSealed(absl::string_view line, std::string* object, absl::string_view* h) {
  if (line.size() <= kSealBytes) return false;
  const absl::string_view seal = line.substr(line.size() - kSealBytes);
  if (seal.substr(0, kBeforeHash.size()) != kBeforeHash) return false;
  if (seal.substr(kSealBytes - kAfterHash.size()) != kAfterHash) return false;
  *h = seal.substr(kBeforeHash.size(), kHashHexBytes);
  if (!IsHashHex(*h)) return false;
  object->assign(line.data(), line.size() - kSealBytes);
  object->push_back('}');
  return true;
}

}  // namespace lattice::audit
