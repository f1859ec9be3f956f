// Addresses as operators write them: NATS URLs, and HOST:PORT to listen at. Whatever the
// rest of the text is, no secret in the user part of an URL is in what is shown of it.
#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "userspace/http/listen.h"
#include "userspace/nats/connection.h"

namespace {

// In the input: the secret, and a whole user part.
constexpr char kSecretMark[] = "\x01";
constexpr char kUserMark[] = "\x02";
constexpr char kSecret[] = "hunter2hunter2";

// Whether some word shows the secret where no user part is: then nobody can know it.
bool ShownElsewhere(absl::string_view text) {
  for (const absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(" \t\r\n"))) {
    const size_t last = word.rfind(kSecret);
    if (last == absl::string_view::npos) continue;
    const size_t at = word.rfind('@');
    if (at == absl::string_view::npos || at < last) return true;
  }
  return false;
}

void CheckUrl(const std::string& text) {
  const std::string redacted = lattice::nats::RedactUrls(text);
  CHECK_LE(redacted.size(), text.size());
  CHECK_EQ(lattice::nats::RedactUrls(redacted), redacted);
  const absl::Status valid = lattice::nats::Validate({.urls = {text}});
  CHECK(valid.ok() || absl::IsInvalidArgument(valid)) << valid;
  if (ShownElsewhere(text)) return;
  CHECK(!absl::StrContains(redacted, kSecret)) << text << " is shown as " << redacted;
  CHECK(!absl::StrContains(valid.message(), kSecret)) << text << " gives " << valid;
  // As the wrapper shows what the library says.
  const std::string told = lattice::nats::RedactUrls(absl::StrCat("NATS URLs: Invalid (\"", text, "\")"));
  CHECK(!absl::StrContains(told, kSecret)) << text << " is shown as " << told;
}

void CheckHostPort(const std::string& text) {
  using lattice::http::SplitHostPort;
  std::string host, port;
  if (!SplitHostPort(text, &host, &port)) return;
  CHECK(!host.empty());
  const int number = std::stoi(port);
  CHECK(number >= 0 && number <= 65535 && port == std::to_string(number)) << port;
  const bool brackets = absl::StrContains(host, ':') || absl::StartsWith(host, "[");
  const std::string again = absl::StrCat(brackets ? "[" : "", host, brackets ? "]:" : ":", port);
  std::string same_host, same_port;
  CHECK(SplitHostPort(again, &same_host, &same_port)) << again;
  CHECK_EQ(same_host, host);
  CHECK_EQ(same_port, port);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  CheckUrl(absl::StrReplaceAll(text, {{kSecretMark, kSecret}, {kUserMark, absl::StrCat("me:", kSecret, "@")}}));
  CheckHostPort(text);
  return 0;
}
