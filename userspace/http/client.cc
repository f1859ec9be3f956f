#include "userspace/http/client.h"

#include <curl/curl.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/call_once.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "userspace/base/status.h"

namespace lattice::http {
namespace {

void InitializeLibrary() {
  static absl::once_flag once;
  absl::call_once(once, [] { curl_global_init(CURL_GLOBAL_SSL); });
}

// One call on the wire.
class Transfer {
 public:
  // Takes a piece of the body; false ends the transfer.
  using OnData = std::function<bool(absl::string_view)>;

  Transfer(const std::string& address, absl::string_view target, OnData on_data)
      : address_(address), on_data_(std::move(on_data)), easy_(Make(), curl_easy_cleanup) {
    const bool is_unix = absl::StartsWith(address, "/");
    const bool is_url = absl::StartsWith(address, "http://") || absl::StartsWith(address, "https://");
    const std::string url = is_url ? absl::StrCat(absl::StripSuffix(address, "/"), target)
                                   : absl::StrCat("http://", is_unix ? "localhost" : address, target);
    Set(CURLOPT_URL, url.c_str());
    if (is_unix) Set(CURLOPT_UNIX_SOCKET_PATH, address.c_str());
    Set(CURLOPT_PROTOCOLS_STR, "http,https");
    Set(CURLOPT_PROXY, "");  // not from the environment
    Set(CURLOPT_NOSIGNAL, 1L);
    Set(CURLOPT_ERRORBUFFER, error_text_);
    Set(CURLOPT_WRITEDATA, this);
    curl_write_callback write = [](char* data, size_t size, size_t count, void* self) {
      return static_cast<Transfer*>(self)->Write(absl::string_view(data, size * count)) ? size * count : 0;
    };
    Set(CURLOPT_WRITEFUNCTION, write);
  }
  ~Transfer() { curl_slist_free_all(headers_); }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  void SetBody(absl::string_view body, absl::string_view content_type) {
    Set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    Set(CURLOPT_POSTFIELDS, body.data() == nullptr ? "" : body.data());
    AddHeader("Content-Type", content_type);
  }
  void SetMethod(const char* method) { Set(CURLOPT_CUSTOMREQUEST, method); }
  void AddHeader(absl::string_view name, absl::string_view value) {
    headers_ = curl_slist_append(headers_, absl::StrCat(name, ": ", value).c_str());
    Set(CURLOPT_HTTPHEADER, headers_);
  }
  void AddHeaders(const ClientOptions& options) {
    for (const auto& [name, value] : options.headers) AddHeader(name, value);
  }
  void SetTimeout(absl::Duration timeout) {
    Set(CURLOPT_TIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(timeout)));
  }
  // The time until the first byte of the answer's body or its end.
  void SetStartTimeout(absl::Duration timeout) {
    Set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(timeout)));
    start_deadline_ = absl::Now() + timeout;
    Set(CURLOPT_NOPROGRESS, 0L);
    Set(CURLOPT_XFERINFODATA, this);
    curl_xferinfo_callback progress = [](void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
      return static_cast<Transfer*>(self)->StartedInTime() ? 0 : 1;
    };
    Set(CURLOPT_XFERINFOFUNCTION, progress);
  }

  // OK also when on_data ended it.
  absl::Status Perform();
  int status() { return static_cast<int>(Info<long>(CURLINFO_RESPONSE_CODE)); }
  std::string content_type() {
    const char* type = Info<const char*>(CURLINFO_CONTENT_TYPE);
    return type == nullptr ? "" : type;
  }

 private:
  static CURL* Make() {
    InitializeLibrary();
    return curl_easy_init();
  }
  template <typename T>
  void Set(CURLoption option, T value) {
    // The first failure, which is out of memory or our own bug, is told by Perform().
    if (setup_ == CURLE_OK) setup_ = curl_easy_setopt(easy_.get(), option, value);
  }
  template <typename T>
  T Info(CURLINFO info) {
    T value{};
    curl_easy_getinfo(easy_.get(), info, &value);  // Leaves T{} where there is none.
    return value;
  }
  bool Write(absl::string_view data) {
    stopped_ = !on_data_(data);
    return !stopped_;
  }
  bool StartedInTime() {
    late_ = status() == 0 && absl::Now() > start_deadline_;
    return !late_;
  }
  absl::Status ErrorOf(CURLcode code);

  const std::string address_;
  const OnData on_data_;
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy_;
  CURLcode setup_ = CURLE_OK;
  curl_slist* headers_ = nullptr;
  char error_text_[CURL_ERROR_SIZE] = {};
  absl::Time start_deadline_ = absl::InfiniteFuture();
  bool stopped_ = false;
  bool late_ = false;
};

absl::Status Transfer::Perform() {
  if (easy_ == nullptr) return absl::ResourceExhaustedError("libcurl does not start");
  const CURLcode code = setup_ == CURLE_OK ? curl_easy_perform(easy_.get()) : setup_;
  return code == CURLE_OK || stopped_ ? absl::OkStatus() : ErrorOf(code);
}

absl::Status Transfer::ErrorOf(CURLcode code) {
  const std::string text =
      absl::StrCat(address_, ": ", error_text_[0] == '\0' ? curl_easy_strerror(code) : error_text_);
  if (late_ || code == CURLE_OPERATION_TIMEDOUT) {
    return absl::DeadlineExceededError(absl::StrCat(address_, ": no answer in time"));
  }
  switch (code) {
    case CURLE_COULDNT_CONNECT: {
      const long error = Info<long>(CURLINFO_OS_ERRNO);
      if (error == EACCES || error == EPERM) {
        return absl::PermissionDeniedError(absl::StrCat(address_, ": no permission to connect; try as root"));
      }
      return absl::UnavailableError(absl::StrCat("nobody listens at ", text));
    }
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
      return absl::UnavailableError(text);
    case CURLE_URL_MALFORMAT:
      return absl::InvalidArgumentError(text);
    default:
      return absl::InternalError(text);
  }
}

struct Content {
  absl::string_view body;
  absl::string_view type;
};

absl::StatusOr<ClientResponse> Call(const std::string& address, const ClientOptions& options, const char* method,
                                    absl::string_view target, const Content* content) {
  ClientResponse response;
  bool too_large = false;
  Transfer transfer(address, target, [&](absl::string_view data) {
    too_large = response.body.size() + data.size() > options.max_body_bytes;
    if (!too_large) response.body.append(data.data(), data.size());
    return !too_large;
  });
  transfer.SetTimeout(options.timeout);
  transfer.AddHeaders(options);
  if (content != nullptr) transfer.SetBody(content->body, content->type);
  if (method != nullptr) transfer.SetMethod(method);
  LATTICE_RETURN_IF_ERROR(transfer.Perform());
  if (too_large) {
    return absl::ResourceExhaustedError(
        absl::StrCat(address, ": the answer has more than ", options.max_body_bytes, " bytes"));
  }
  response.status = transfer.status();
  response.content_type = transfer.content_type();
  return response;
}

// Calls `on_line` for the whole lines of *text and leaves the rest; false as soon as it says so.
bool TakeLines(std::string* text, const std::function<bool(absl::string_view)>& on_line) {
  size_t begin = 0;
  bool more = true;
  for (size_t end; more && (end = text->find('\n', begin)) != std::string::npos; begin = end + 1) {
    more = on_line(absl::string_view(*text).substr(begin, end - begin));
  }
  text->erase(0, begin);
  return more;
}

}  // namespace

Client::Client(std::string address, ClientOptions options)
    : address_(std::move(address)), options_(std::move(options)) {}

absl::StatusOr<ClientResponse> Client::Get(absl::string_view target) const {
  return Call(address_, options_, nullptr, target, nullptr);
}

absl::StatusOr<ClientResponse> Client::Post(absl::string_view target, absl::string_view body,
                                            absl::string_view content_type) const {
  const Content content{body, content_type};
  return Call(address_, options_, nullptr, target, &content);
}

absl::StatusOr<ClientResponse> Client::Send(const std::string& method, absl::string_view target, absl::string_view body,
                                            absl::string_view content_type) const {
  const Content content{body, content_type};
  return Call(address_, options_, method.c_str(), target, &content);
}

absl::Status Client::ForEachLine(absl::string_view target,
                                 const std::function<bool(absl::string_view)>& on_line) const {
  std::string text;  // an incomplete line, or the body of an error
  bool too_large = false, stopped = false;
  Transfer* current = nullptr;
  Transfer transfer(address_, target, [&](absl::string_view data) {
    text.append(data.data(), data.size());
    stopped = current->status() / 100 == 2 && !TakeLines(&text, on_line);
    too_large = text.size() > options_.max_body_bytes;
    return !stopped && !too_large;
  });
  current = &transfer;
  transfer.AddHeaders(options_);
  transfer.SetStartTimeout(options_.timeout);
  LATTICE_RETURN_IF_ERROR(transfer.Perform());
  if (stopped) return absl::OkStatus();
  if (too_large) return absl::ResourceExhaustedError(absl::StrCat(address_, ": a line without end"));
  if (transfer.status() / 100 != 2) return StatusOf({.status = transfer.status(), .body = text});
  if (!text.empty()) on_line(text);  // the last line may have no end
  return absl::OkStatus();
}

absl::Status StatusOf(const ClientResponse& response) {
  if (response.status / 100 == 2) return absl::OkStatus();
  const absl::string_view body = absl::StripTrailingAsciiWhitespace(response.body);
  const std::string text = body.empty() ? absl::StrCat("HTTP status ", response.status) : std::string(body);
  switch (response.status) {
    case 400:
      return absl::InvalidArgumentError(text);
    case 401:
      return absl::UnauthenticatedError(text);
    case 403:
      return absl::PermissionDeniedError(text);
    case 404:
      return absl::NotFoundError(text);
    case 409:
      return absl::FailedPreconditionError(text);
    case 413:
      return absl::ResourceExhaustedError(text);
    case 503:
      return absl::UnavailableError(text);
    default:
      return absl::InternalError(text);
  }
}

std::string EscapeQuery(absl::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;  // RFC 3986 2.3
    } else {
      out += '%';
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 15];
    }
  }
  return out;
}

}  // namespace lattice::http
