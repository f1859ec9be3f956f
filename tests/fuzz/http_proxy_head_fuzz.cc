// The head of a request to the HTTP proxy: any bytes are refused with a response, too few, or a request whose target
// prints and reads back as itself; cut in two anywhere they are the same, and no byte behind the head is consumed. What
// goes to the origin is one head, without the proxy's password, and reads as that of one request of the same target.
//
// The first byte says where to cut, and by its lowest bit whether there are accounts.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "userspace/socks/http_proxy.h"

using lattice::socks::Account;
using lattice::socks::HttpRequestHead;
using lattice::socks::kMaxHeadBytes;
using lattice::socks::kMaxHeaderLines;
using lattice::socks::ParseHostPort;

namespace {

const std::vector<Account> kAccounts = {{.user = "agent", .password = "secret"}};
const std::vector<Account> kNobody;

void CheckForward(const HttpRequestHead& head) {
  const std::string& forward = head.forward();
  CHECK_EQ(forward.find("\r\n\r\n"), forward.size() - 4);
  CHECK(absl::EndsWith(forward, "\r\nConnection: close\r\n\r\n"));
  CHECK(!absl::StrContains(absl::AsciiStrToLower(forward), "\r\nproxy-authorization:"));
  // As a request to another proxy it is the same request, if what was added to the longest head is not too much for
  // that.
  constexpr size_t kAddedLines = 3;  // Host, Content-Length, Connection
  constexpr size_t kAddedBytes = 1024;
  const auto lines = static_cast<size_t>(std::count(forward.begin(), forward.end(), '\n'));
  if (lines + kAddedLines > kMaxHeaderLines || forward.size() + kAddedBytes > kMaxHeadBytes) return;
  const size_t path = forward.find(' ') + 1;
  const std::string again =
      absl::StrCat(forward.substr(0, path), "http://", head.target().ToString(), forward.substr(path));
  HttpRequestHead next(kNobody);
  size_t consumed = 0;
  std::string answer;
  const auto state = next.Feed({reinterpret_cast<const uint8_t*>(again.data()), again.size()}, &consumed, &answer);
  CHECK(state == HttpRequestHead::State::kRequest) << next.error();
  CHECK_EQ(consumed, again.size());
  CHECK(next.target() == head.target());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto& accepted = data[0] % 2 == 0 ? kNobody : kAccounts;
  const absl::Span<const uint8_t> input(data + 1, size - 1);
  const size_t cut = std::min<size_t>(data[0] / 2, input.size());

  HttpRequestHead whole(accepted);
  std::string answer;
  size_t consumed = 0;
  const auto state = whole.Feed(input, &consumed, &answer);
  CHECK_LE(consumed, input.size());
  CHECK(state != HttpRequestHead::State::kMore || consumed == input.size());
  CHECK_EQ(state == HttpRequestHead::State::kFailed, !whole.error().empty());
  CHECK_EQ(state == HttpRequestHead::State::kFailed, absl::StartsWith(answer, "HTTP/1.1 "));

  HttpRequestHead pieces(accepted);
  std::string same_answer;
  size_t first = 0, second = 0;
  auto same_state = pieces.Feed(input.first(cut), &first, &same_answer);
  if (same_state == HttpRequestHead::State::kMore)
    same_state = pieces.Feed(input.subspan(first), &second, &same_answer);
  CHECK(same_state == state);
  CHECK_EQ(first + second, consumed);
  CHECK(same_answer == answer);

  if (state == HttpRequestHead::State::kRequest) {
    CHECK(accepted.empty() || whole.user() == "agent");
    CHECK(ParseHostPort(whole.target().ToString(), 0).value() == whole.target());
    CHECK_EQ(whole.is_connect(), whole.forward().empty());
    CHECK(pieces.forward() == whole.forward());
    if (!whole.is_connect()) CheckForward(whole);
  }
  return 0;
}
