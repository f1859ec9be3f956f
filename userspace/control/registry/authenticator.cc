#include "userspace/control/registry/authenticator.h"

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "userspace/base/status.h"

namespace lattice::control {
namespace {

constexpr char kRemedy[] =
    "no token: send Authorization: Bearer TOKEN, or log in; `latticed` writes an administrator's to its admin.token";

std::optional<absl::string_view> CookieToken(const http::Request& request) {
  const std::optional<absl::string_view> header = request.Header("Cookie");
  if (!header.has_value()) return std::nullopt;
  for (absl::string_view cookie : absl::StrSplit(*header, ';')) {
    cookie = absl::StripAsciiWhitespace(cookie);
    if (absl::ConsumePrefix(&cookie, kSessionCookie) && absl::ConsumePrefix(&cookie, "=")) return cookie;
  }
  return std::nullopt;
}

// A browser adds the cookie by itself, so it proves who asks only together with where the asking page is from.
// SameSite=Strict says the same to browsers that know it; a page on another port of this host is the same site.
bool FromOtherOrigin(const http::Request& request) {
  if (request.method == "GET") return false;
  const std::optional<absl::string_view> origin = request.Header("Origin");
  if (!origin.has_value()) return false;
  const size_t scheme = origin->find("://");
  if (scheme == absl::string_view::npos) return true;  // "null"
  return !absl::EqualsIgnoreCase(origin->substr(scheme + 3), request.Header("Host").value_or(""));
}

}  // namespace

absl::StatusOr<Principal> Authenticator::PrincipalOf(absl::string_view token) const {
  LATTICE_ASSIGN_OR_RETURN(const std::shared_ptr<const Claims> claims, verifier_.VerifyUser(token));
  return Principal{.user = claims->subject, .role = claims->role, .expires_at = claims->expires_at};
}

absl::StatusOr<Principal> Authenticator::Authenticate(const http::Request& request) const {
  if (std::optional<absl::string_view> header = request.Header("Authorization")) {
    if (header->size() < 7 || !absl::EqualsIgnoreCase(header->substr(0, 7), "Bearer ")) {
      return absl::UnauthenticatedError("Authorization: expected Bearer TOKEN");
    }
    return PrincipalOf(absl::StripAsciiWhitespace(header->substr(7)));
  }
  const std::optional<absl::string_view> cookie = CookieToken(request);
  if (!cookie.has_value()) return absl::UnauthenticatedError(kRemedy);
  if (FromOtherOrigin(request)) return absl::PermissionDeniedError("the request comes from a page of another origin");
  return PrincipalOf(*cookie);
}

absl::StatusOr<Principal> Authenticator::Authorize(const http::Request& request) const {
  LATTICE_ASSIGN_OR_RETURN(Principal principal, Authenticate(request));
  if (request.method != "GET" && !principal.admin()) {
    return absl::PermissionDeniedError("a viewer changes nothing: use an administrator's token");
  }
  return principal;
}

}  // namespace lattice::control
