// Whatever a client sends, and however the network cuts it: the outcome is that of the whole, no byte behind the end
// is consumed (feeding.h watches), and what is accepted is within its bounds.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/testing/seed.h"
#include "tests/unit/socks/feeding.h"

namespace lattice::socks {
namespace {

using Random = std::mt19937_64;

const std::vector<Account> kNobody;
const std::vector<Account> kAccounts = {{.user = "agent", .password = "secret"}};

size_t Below(Random& random, size_t bound) {
  return random() % bound;
}

std::string Garbage(Random& random, size_t most) {
  std::string bytes(Below(random, most + 1), '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

// One of `seeds` with some bytes changed, taken out, repeated or put in.
std::string Mutated(Random& random, const std::vector<std::string>& seeds) {
  std::string text = seeds[Below(random, seeds.size())];
  for (size_t left = Below(random, 4); left != 0; --left) {
    const size_t at = Below(random, text.size() + 1);
    switch (Below(random, 4)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, Below(random, 4));
        break;
      case 2:
        text.insert(at, text.substr(Below(random, text.size() + 1), Below(random, 40)));
        break;
      default:
        text.insert(at, Garbage(random, 3));
    }
  }
  return text + Garbage(random, 8);
}

struct Ends {
  size_t requests = 0, failures = 0;
};

template <typename Codec>
Ends CheckAnyCut(const std::vector<std::string>& seeds, const std::function<void(const Outcome&)>& check) {
  Random random(testing::TestSeed());
  Ends ends;
  for (int round = 0; round < 20000 && !::testing::Test::HasFailure(); ++round) {
    const auto& accounts = random() % 2 == 0 ? kNobody : kAccounts;
    const std::string input = random() % 8 == 0 ? Garbage(random, 700) : Mutated(random, seeds);
    SCOPED_TRACE(absl::CEscape(input));
    const Outcome whole = FeedWhole<Codec>(accounts, input);
    EXPECT_EQ(FeedBytes<Codec>(accounts, input), whole);
    EXPECT_EQ(Feed<Codec>(accounts, input, [&](size_t left) { return 1 + Below(random, left); }), whole);
    if (whole.end == End::kMore) {
      EXPECT_EQ(whole.consumed, input.size());
      EXPECT_EQ(whole.error, "");
    }
    ends.requests += whole.end == End::kRequest;
    ends.failures += whole.end == End::kFailed;
    EXPECT_EQ(whole.end == End::kFailed, !whole.error.empty());
    EXPECT_LE(whole.user.size(), kMaxCredentialBytes);
    check(whole);
  }
  return ends;
}

TEST(AnyInput, ToSocks5) {
  const std::vector<std::string> seeds = {
      Raw("\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb"),
      Raw("\x05\x02\x00\x02\x01\x05"
          "agent\x06secret\x05\x01\x00\x03\x0b"
          "example.com\x01\xbb"),
      Raw("\x05\x01\x02\x01\x05"
          "agent\x06secret\x05\x03\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00"),
  };
  const Ends ends = CheckAnyCut<ServerHandshake>(seeds, [](const Outcome& whole) {
    if (whole.end == End::kRequest && whole.detail == "CONNECT") {
      EXPECT_TRUE(ParseHostPort(whole.target, 0).ok());
    }
    // Two bytes for the greeting, two for the password, ten for a refused request.
    EXPECT_LE(whole.answer.size(), 14u);
  });
  EXPECT_GT(ends.requests, 1000u);
  EXPECT_GT(ends.failures, 1000u);
}

TEST(AnyInput, ToTheHttpProxy) {
  const std::string login = "Proxy-Authorization: Basic " + absl::Base64Escape("agent:secret") + "\r\n";
  const std::vector<std::string> seeds = {
      "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n" + login + "\r\n",
      "CONNECT [2001:db8::1]:443 HTTP/1.0\r\n\r\n",
      "POST http://u:p@example.com:8080/a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n" + login + "\r\nbody",
      "GET http://192.0.2.1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: a, b\r\na: 1\r\nb: 2\r\n\r\n",
  };
  const Ends ends = CheckAnyCut<HttpRequestHead>(seeds, [](const Outcome& whole) {
    if (whole.end != End::kRequest) return;
    EXPECT_EQ(whole.answer, "");
    EXPECT_TRUE(ParseHostPort(whole.target, 0).ok());
    if (whole.detail == "CONNECT") return;
    EXPECT_FALSE(absl::StrContains(absl::AsciiStrToLower(whole.detail), "\r\nproxy-authorization:")) << whole;
    EXPECT_TRUE(absl::EndsWith(whole.detail, "\r\nConnection: close\r\n\r\n")) << whole;
    // One head: its only empty line is its end.
    EXPECT_EQ(whole.detail.find("\r\n\r\n"), whole.detail.size() - 4) << whole;
  });
  EXPECT_GT(ends.requests, 1000u);
  EXPECT_GT(ends.failures, 1000u);
}

TEST(AnyInput, AsADatagram) {
  Random random(testing::TestSeed());
  const std::vector<std::string> seeds = {Raw("\x00\x00\x00\x01\xc0\x00\x02\x07\x00\x35hello"),
                                          Raw("\x00\x00\x00\x03\x0b"
                                              "example.com\x00\x35hello")};
  size_t good = 0;
  for (int round = 0; round < 20000; ++round) {
    const std::string input = Mutated(random, seeds);
    const std::vector<uint8_t> datagram(input.begin(), input.end());
    const auto parsed = ParseUdp(datagram);
    if (!parsed.has_value()) continue;
    ++good;
    ASSERT_TRUE(ParseHostPort(parsed->target.ToString(), 0).ok()) << absl::CEscape(input);
    ASSERT_EQ(parsed->payload.data() + parsed->payload.size(), datagram.data() + datagram.size());
  }
  EXPECT_GT(good, 1000u);
}

}  // namespace
}  // namespace lattice::socks
