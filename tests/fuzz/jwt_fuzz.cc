// Tokens from outside. Any text is refused, or is exactly what the signer makes of its claims' holder: here only a
// token with a right signature can pass, so the payload is fuzzed under a right one too.
#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "userspace/control/registry/encoding.h"
#include "userspace/control/registry/jwt.h"

namespace lattice::control {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'770'000'000);
const std::string kSecret(32, 's');
constexpr char kHeader[] = R"({"alg":"HS256","typ":"JWT"})";

std::string Signed(absl::string_view header, absl::string_view payload) {
  const std::string text = absl::StrCat(Base64Url(header), ".", Base64Url(payload));
  return absl::StrCat(text, ".", Base64Url(HmacSha256(kSecret, text)));
}

void CheckAnswer(const absl::StatusOr<Claims>& claims) {
  if (!claims.ok()) {
    CHECK(absl::IsUnauthenticated(claims.status())) << claims.status();
    return;
  }
  CHECK(claims->expires_at > kNow);
  CHECK(claims->issued_at <= kNow + kJwtLeeway);
  // What is accepted can be said again.
  const auto again = VerifyJwt(kSecret, SignJwt(kSecret, *claims), kNow);
  CHECK(again.ok()) << again.status();
  CHECK(again->subject == claims->subject && again->expires_at == claims->expires_at);
}

void CheckText(absl::string_view text) {
  if (const auto bytes = FromBase64Url(text)) CHECK_EQ(Base64Url(*bytes), text);
  if (const auto bytes = FromBase64(text)) CHECK_EQ(Base64(*bytes), text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  CheckText(text);
  CheckAnswer(VerifyJwt(kSecret, text, kNow));
  CheckAnswer(VerifyJwt(kSecret, Signed(kHeader, text), kNow));
  const auto other = VerifyJwt(kSecret, Signed(text, R"({"exp":1770003600})"), kNow);
  CHECK(!other.ok() || absl::StrContains(text, "HS256"));
  return 0;
}

}  // namespace lattice::control
