// Theory of operation: the head is read line by line, each as soon as it is whole, so the check that ends a head is the
// same however the input is cut. What the first line and the form of each header can tell is told there; what headers
// mean together (user, body, Host) waits for the empty line. A refusal shows next to nothing of what was sent:
// passwords turn up in the oddest places of a malformed request. References are to RFC 9112 unless they name another.
#include "userspace/socks/http_proxy.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lattice::socks {
namespace {

constexpr int kBadRequest = 400;
constexpr int kAuthenticationRequired = 407;
constexpr int kHeadTooLarge = 431;
constexpr int kNotImplemented = 501;
constexpr int kVersionNotSupported = 505;

constexpr uint16_t kHttpPort = 80;

constexpr absl::string_view kIsProxy =
    "this is a proxy, not a web server: set HTTP_PROXY and HTTPS_PROXY (or ALL_PROXY) to its address";

// Headers that are between the client and us (RFC 9110 7.6.1), and those that are written anew.
constexpr absl::string_view kNotForwarded[] = {
    "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "TE", "Upgrade", "Host", "Content-Length"};
// Without these the origin would read another request than the client wrote, so a Connection header must not name them.
constexpr absl::string_view kFraming[] = {"Host", "Content-Length", "Transfer-Encoding"};

// RFC 9110 5.6.2.
bool IsToken(absl::string_view text) {
  constexpr absl::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || kOthers.find(c) != absl::string_view::npos;
  });
}

bool IsOneOf(absl::string_view name, absl::Span<const absl::string_view> names) {
  return std::any_of(names.begin(), names.end(), [&](absl::string_view n) { return absl::EqualsIgnoreCase(n, name); });
}

// RFC 9110 5.5: no control character but the tab.
const char* FindControl(absl::string_view line) {
  return std::find_if(line.begin(), line.end(),
                      [](char c) { return c != '\t' && absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

// "HTTP/1.1" and the like.
bool IsVersion(absl::string_view text) {
  return absl::ConsumePrefix(&text, "HTTP/") && text.size() == 3 && absl::ascii_isdigit(text[0]) && text[1] == '.' &&
         absl::ascii_isdigit(text[2]);
}

// The words of a comma list that may be spread over several headers.
std::vector<absl::string_view> ListOf(const std::vector<absl::string_view>& values) {
  std::vector<absl::string_view> words;
  for (const absl::string_view value : values) {
    for (const absl::string_view word : absl::StrSplit(value, ',')) words.push_back(absl::StripAsciiWhitespace(word));
  }
  return words;
}

absl::string_view ReasonPhrase(int status) {
  switch (status) {
    case kBadRequest:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case kAuthenticationRequired:
      return "Proxy Authentication Required";
    case 408:
      return "Request Timeout";
    case 429:
      return "Too Many Requests";
    case kHeadTooLarge:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case kNotImplemented:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case kVersionNotSupported:
      return "HTTP Version Not Supported";
    default:
      return "";  // may be empty (4)
  }
}

}  // namespace

HttpRequestHead::State HttpRequestHead::Feed(absl::Span<const uint8_t> input, size_t* consumed, std::string* answer) {
  *consumed = 0;
  while (state_ == State::kMore) {
    Check check;
    if (head_bytes_ == kMaxHeadBytes) {
      check = Refusal{kHeadTooLarge, absl::StrCat("a request head of more than ", kMaxHeadBytes, " bytes")};
    } else {
      const auto rest = input.subspan(*consumed, std::min(input.size() - *consumed, kMaxHeadBytes - head_bytes_));
      if (rest.empty()) break;
      const auto feed = std::find(rest.begin(), rest.end(), '\n');
      const auto end = feed == rest.end() ? feed : feed + 1;
      line_.append(rest.begin(), end);
      *consumed += end - rest.begin();
      head_bytes_ += end - rest.begin();
      if (feed == rest.end()) continue;
      check = OnLine();
      line_.clear();
    }
    if (!check.has_value()) continue;
    answer->append(ErrorResponse(check->status, check->reason));
    error_ = std::move(check->reason);
    state_ = State::kFailed;
  }
  return state_;
}

HttpRequestHead::Check HttpRequestHead::OnLine() {
  absl::string_view line = line_;
  if (!absl::ConsumeSuffix(&line, "\r\n")) return Refusal{kBadRequest, "a line that ends in LF without CR"};
  const char* const control = FindControl(line);
  if (control != line.end()) {
    return Refusal{kBadRequest,
                   absl::StrFormat("control character 0x%02x in the head", static_cast<uint8_t>(*control))};
  }
  if (method_.empty()) return OnRequestLine(line);
  if (line.empty()) return OnEnd();
  return OnField(line);
}

HttpRequestHead::Check HttpRequestHead::OnRequestLine(absl::string_view line) {
  // No more than the fourth word, which there must not be, is cut off.
  const std::vector<absl::string_view> words = absl::StrSplit(line, absl::MaxSplits(' ', 3));
  if (words.size() == 2 && IsToken(words[0]) && !IsVersion(words[1])) {
    return Refusal{kBadRequest, "a request line without a version (HTTP/0.9): expected METHOD TARGET HTTP/1.1"};
  }
  if (words.size() != 3 || !IsToken(words[0]) || words[1].empty() || absl::StrContains(words[1], '\t')) {
    return Refusal{kBadRequest, "not a request line: expected METHOD TARGET HTTP/1.1"};
  }
  if (!IsVersion(words[2])) return Refusal{kBadRequest, "no version of HTTP at the end of the request line"};
  if (words[2] != "HTTP/1.1" && words[2] != "HTTP/1.0") {
    return Refusal{kVersionNotSupported, absl::StrCat(words[2], ": expected HTTP/1.1 or HTTP/1.0")};
  }
  method_ = std::string(words[0]);
  version_ = std::string(words[2]);
  is_connect_ = method_ == "CONNECT";
  if (!is_connect_) return OnUri(words[1]);
  if (absl::StrContains(words[1], '@')) return Refusal{kBadRequest, "CONNECT with a user in its target"};
  auto target = ParseHostPort(words[1], 0);
  if (!target.ok()) return Refusal{kBadRequest, absl::StrCat("CONNECT: ", target.status().message())};
  target_ = *std::move(target);
  return std::nullopt;
}

HttpRequestHead::Check HttpRequestHead::OnUri(absl::string_view uri) {
  if (uri.front() == '/' || uri == "*") return Refusal{kBadRequest, std::string(kIsProxy)};
  const size_t colon = uri.find("://");
  if (colon == absl::string_view::npos) return Refusal{kBadRequest, "target of the request: expected http://HOST/PATH"};
  const absl::string_view scheme = uri.substr(0, colon);
  if (absl::EqualsIgnoreCase(scheme, "https")) {
    return Refusal{kBadRequest, "https: this proxy does not end TLS: use CONNECT"};
  }
  if (!absl::EqualsIgnoreCase(scheme, "http")) {
    return Refusal{kBadRequest, "a scheme other than http: expected http://HOST/PATH or CONNECT HOST:PORT"};
  }
  if (absl::StrContains(uri, '#')) return Refusal{kBadRequest, "a fragment (#) in the target of a request"};
  uri.remove_prefix(colon + 3);
  const size_t authority_end = std::min(uri.find_first_of("/?"), uri.size());
  absl::string_view authority = uri.substr(0, authority_end);
  // User and password of the URI are for nobody (RFC 9110 4.2.4).
  const size_t at = authority.rfind('@');
  if (at != absl::string_view::npos) authority.remove_prefix(at + 1);
  auto target = ParseHostPort(authority, kHttpPort);
  if (!target.ok()) return Refusal{kBadRequest, "host or port of the target: expected http://HOST[:PORT]/PATH"};
  target_ = *std::move(target);
  host_ = std::string(absl::StripSuffix(authority, ":"));
  const absl::string_view path = uri.substr(authority_end);
  path_ = absl::StrCat(!path.empty() && path.front() == '/' ? "" : "/", path);
  return std::nullopt;
}

HttpRequestHead::Check HttpRequestHead::OnField(absl::string_view line) {
  if (fields_.size() == kMaxHeaderLines) {
    return Refusal{kHeadTooLarge, absl::StrCat("more than ", kMaxHeaderLines, " header lines")};
  }
  if (line.front() == ' ' || line.front() == '\t') {
    return Refusal{kBadRequest, "a header over several lines (5.2: to be refused)"};
  }
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return Refusal{kBadRequest, "a header line without a colon"};
  const absl::string_view name = line.substr(0, colon);
  // Also for a space before the colon (5.1): some would read the header without it.
  if (!IsToken(name)) return Refusal{kBadRequest, absl::StrCat("the name in header line ", fields_.size() + 1)};
  fields_.push_back({std::string(name), std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)))});
  return std::nullopt;
}

HttpRequestHead::Check HttpRequestHead::OnEnd() {
  if (auto check = CheckUser()) return check;
  // One Host at most; that there is none is of no harm here, where the target says it (and many clients leave it out).
  if (Values("Host").size() > 1) return Refusal{kBadRequest, "more than one Host header"};
  if (auto check = CheckBody()) return check;
  if (!is_connect_) {
    if (auto check = WriteForward()) return check;
  }
  state_ = State::kRequest;
  return std::nullopt;
}

// RFC 7617.
HttpRequestHead::Check HttpRequestHead::CheckUser() {
  const Refusal required{kAuthenticationRequired, "user and password of the proxy are missing or wrong"};
  const auto values = Values("Proxy-Authorization");
  if (values.size() > 1) return Refusal{kBadRequest, "more than one Proxy-Authorization header"};
  const auto asked = [&]() -> Check { return accounts_.empty() ? Check() : required; };
  if (values.empty()) return asked();
  const std::pair<absl::string_view, absl::string_view> words = absl::StrSplit(values[0], absl::MaxSplits(' ', 1));
  if (!absl::EqualsIgnoreCase(words.first, "Basic")) return asked();
  std::string pair;
  const bool decoded = absl::Base64Unescape(absl::StripAsciiWhitespace(words.second), &pair);
  const size_t colon = pair.find(':');
  if (!decoded || colon == std::string::npos) {
    return Refusal{kBadRequest, "Proxy-Authorization: expected Basic and USER:PASSWORD in base64"};
  }
  if (colon > kMaxCredentialBytes) {
    return Refusal{kBadRequest, absl::StrCat("a user name of more than ", kMaxCredentialBytes, " bytes")};
  }
  const absl::string_view user = absl::string_view(pair).substr(0, colon);
  if (!accounts_.empty() && !IsAccount(accounts_, user, absl::string_view(pair).substr(colon + 1))) return required;
  user_ = std::string(user);
  return std::nullopt;
}

// The body goes on untouched, so where it ends must be clear to all alike (6.1 to 6.3).
HttpRequestHead::Check HttpRequestHead::CheckBody() {
  const auto codings = Values("Transfer-Encoding");
  const auto lengths = ListOf(Values("Content-Length"));
  if (!codings.empty() && !lengths.empty()) {
    return Refusal{kBadRequest, "both Content-Length and Transfer-Encoding"};
  }
  for (const absl::string_view length : lengths) {
    uint64_t bytes = 0;
    const bool digits = !length.empty() && std::all_of(length.begin(), length.end(), absl::ascii_isdigit);
    if (!digits || !absl::SimpleAtoi(length, &bytes)) return Refusal{kBadRequest, "Content-Length: expected a number"};
    if (body_bytes_.has_value() && *body_bytes_ != bytes) return Refusal{kBadRequest, "Content-Length of two values"};
    body_bytes_ = bytes;
  }
  if (!codings.empty()) {
    if (version_ == "HTTP/1.0") return Refusal{kBadRequest, "Transfer-Encoding in a request of HTTP/1.0"};
    if (codings.size() > 1 || !absl::EqualsIgnoreCase(codings[0], "chunked")) {
      return Refusal{kNotImplemented, "Transfer-Encoding: expected chunked alone"};
    }
  }
  // It would be the first data of the tunnel to one reader and not to another.
  if (is_connect_ && (!codings.empty() || body_bytes_.value_or(0) != 0)) {
    return Refusal{kBadRequest, "CONNECT with a body"};
  }
  return std::nullopt;
}

HttpRequestHead::Check HttpRequestHead::WriteForward() {
  const auto listed = ListOf(Values("Connection"));
  if (listed.size() > kMaxHeaderLines) {  // more than there can be: each costs a comparison a header
    return Refusal{kHeadTooLarge, absl::StrCat("more than ", kMaxHeaderLines, " names in Connection headers")};
  }
  for (const absl::string_view name : listed) {
    if (IsOneOf(name, kFraming)) return Refusal{kBadRequest, absl::StrCat("a Connection header that names ", name)};
  }
  // In the client's version: the answer is passed on as it is, and to HTTP/1.0 it must not come in chunks.
  forward_ = absl::StrCat(method_, " ", path_, " ", version_, "\r\nHost: ", host_, "\r\n");
  for (const Field& field : fields_) {
    if (IsOneOf(field.name, kNotForwarded) || IsOneOf(field.name, listed)) continue;
    absl::StrAppend(&forward_, field.name, ": ", field.value, "\r\n");
  }
  if (body_bytes_.has_value()) absl::StrAppend(&forward_, "Content-Length: ", *body_bytes_, "\r\n");
  forward_ += "Connection: close\r\n\r\n";
  return std::nullopt;
}

std::vector<absl::string_view> HttpRequestHead::Values(absl::string_view name) const {
  std::vector<absl::string_view> values;
  for (const Field& field : fields_) {
    if (absl::EqualsIgnoreCase(field.name, name)) values.push_back(field.value);
  }
  return values;
}

std::string ErrorResponse(int status, absl::string_view reason) {
  return absl::StrCat("HTTP/1.1 ", status, " ", ReasonPhrase(status), "\r\n",
                      status == kAuthenticationRequired ? "Proxy-Authenticate: Basic realm=\"lattice\"\r\n" : "",
                      "Content-Type: text/plain; charset=utf-8\r\nContent-Length: ", reason.size() + 1,
                      "\r\nConnection: close\r\n\r\n", reason, "\n");
}

std::string ConnectEstablished() {
  return "HTTP/1.1 200 Connection established\r\n\r\n";
}

}  // namespace lattice::socks
