// Feeds a codec of userspace/socks as a socket would, in pieces of any size, and tells all that came of it.
#ifndef TESTS_UNIT_SOCKS_FEEDING_H_
#define TESTS_UNIT_SOCKS_FEEDING_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "userspace/socks/accounts.h"
#include "userspace/socks/http_proxy.h"
#include "userspace/socks/socks5.h"

namespace lattice::socks {

inline absl::Span<const uint8_t> BytesOf(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Bytes with zeros in them: Raw("\x05\x01\x00").
template <size_t kSize>
std::string Raw(const char (&literal)[kSize]) {
  return std::string(literal, kSize - 1);
}

enum class End : uint8_t { kMore, kRequest, kFailed };

struct Outcome {
  End end = End::kMore;
  size_t consumed = 0;
  std::string answer;
  std::string error;
  std::string user;
  std::string target;  // of a kRequest
  std::string detail;  // of a kRequest: the command, or the head for the origin

  bool operator==(const Outcome&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const Outcome& o) {
    return out << "end " << static_cast<int>(o.end) << ", consumed " << o.consumed << ", answer \""
               << absl::CEscape(o.answer) << "\", error \"" << o.error << "\", user \"" << absl::CEscape(o.user)
               << "\", target " << o.target << ", \"" << absl::CEscape(o.detail) << '"';
  }
};

inline std::string DetailOf(const ServerHandshake& handshake) {
  return handshake.command() == Command::kConnect ? "CONNECT" : "UDP ASSOCIATE";
}
inline std::string DetailOf(const HttpRequestHead& head) {
  return head.is_connect() ? "CONNECT" + head.forward() : head.forward();
}

// `piece` says how long the next piece is, given what is left; at least 1.
template <typename Codec>
Outcome Feed(const std::vector<Account>& accounts, absl::string_view input,
             const std::function<size_t(size_t)>& piece) {
  Codec codec(accounts);
  Outcome outcome;
  auto state = Codec::State::kMore;
  while (state == Codec::State::kMore && outcome.consumed < input.size()) {
    const absl::string_view rest = input.substr(outcome.consumed);
    // A copy of its own, so that a sanitizer sees what is read beyond it.
    const std::vector<uint8_t> part(rest.begin(), rest.begin() + std::min(piece(rest.size()), rest.size()));
    size_t consumed = SIZE_MAX;
    state = codec.Feed(part, &consumed, &outcome.answer);
    if (consumed > part.size() || (state == Codec::State::kMore && consumed != part.size())) {
      outcome.error = "consumed another number of bytes than there were";
      return outcome;
    }
    outcome.consumed += consumed;
  }
  outcome.end = static_cast<End>(state);
  outcome.error = codec.error();
  outcome.user = codec.user();
  if (outcome.end == End::kRequest) {
    outcome.target = codec.target().ToString();
    outcome.detail = DetailOf(codec);
  }
  return outcome;
}

template <typename Codec>
Outcome FeedWhole(const std::vector<Account>& accounts, absl::string_view input) {
  return Feed<Codec>(accounts, input, [](size_t left) { return left; });
}

template <typename Codec>
Outcome FeedBytes(const std::vector<Account>& accounts, absl::string_view input) {
  return Feed<Codec>(accounts, input, [](size_t) { return size_t{1}; });
}

}  // namespace lattice::socks

#endif  // TESTS_UNIT_SOCKS_FEEDING_H_
