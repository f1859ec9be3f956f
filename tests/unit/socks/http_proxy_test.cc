#include "userspace/socks/http_proxy.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/socks/feeding.h"

namespace lattice::socks {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::vector<Account> kNobody;
const std::vector<Account> kAccounts = {{.user = "agent", .password = "se:cret"}};

std::string Basic(const std::string& pair) {
  return absl::StrCat("Proxy-Authorization: Basic ", absl::Base64Escape(pair), "\r\n");
}
std::string Connect(const std::string& headers) {
  return absl::StrCat("CONNECT example.com:443 HTTP/1.1\r\n", headers, "\r\n");
}
std::string Get(const std::string& headers) {
  return absl::StrCat("GET http://example.com/ HTTP/1.1\r\n", headers, "\r\n");
}
// What the origin gets of Get(), between Host and Connection.
std::string Forwarded(const std::string& headers) {
  return absl::StrCat("GET / HTTP/1.1\r\nHost: example.com\r\n", headers, "Connection: close\r\n\r\n");
}
std::string Lines(size_t count) {
  std::string lines;
  for (size_t i = 0; i < count; ++i) lines += "a: b\r\n";
  return lines;
}
// A head of exactly `bytes`.
std::string HeadOf(size_t bytes) {
  const size_t rest = Connect("a: \r\n").size();
  return Connect(absl::StrCat("a: ", std::string(bytes - rest, 'x'), "\r\n"));
}

struct GoodCase {
  const char* name;
  std::string input;
  std::string target;
  std::string forward;  // "CONNECT" for a CONNECT
  std::string user;
  const std::vector<Account>* accounts = &kNobody;
};

class GoodHead : public ::testing::TestWithParam<GoodCase> {};

TEST_P(GoodHead, IsUnderstoodAndWhatFollowsIsLeft) {
  const GoodCase& c = GetParam();
  const Outcome want{.end = End::kRequest,
                     .consumed = c.input.size(),
                     .answer = "",
                     .error = "",
                     .user = c.user,
                     .target = c.target,
                     .detail = c.forward};
  EXPECT_EQ(FeedWhole<HttpRequestHead>(*c.accounts, c.input), want);
  EXPECT_EQ(FeedBytes<HttpRequestHead>(*c.accounts, c.input), want);
  EXPECT_EQ(FeedWhole<HttpRequestHead>(*c.accounts, c.input + "early\ndata"), want);
  EXPECT_EQ(FeedWhole<HttpRequestHead>(*c.accounts, c.input + c.input), want);
  EXPECT_EQ(FeedWhole<HttpRequestHead>(*c.accounts, c.input.substr(0, c.input.size() - 1)).end, End::kMore);
}

INSTANTIATE_TEST_SUITE_P(
    Tunnel, GoodHead,
    ::testing::Values(
        GoodCase{"Name", Connect("Host: example.com:443\r\n"), "example.com:443", "CONNECT", ""},
        GoodCase{"Ipv4", "CONNECT 192.0.2.7:80 HTTP/1.1\r\nHost: x\r\n\r\n", "192.0.2.7:80", "CONNECT", ""},
        GoodCase{"Ipv6", "CONNECT [2001:db8::1]:443 HTTP/1.1\r\n\r\n", "[2001:db8::1]:443", "CONNECT", ""},
        GoodCase{"NameWithDot", "CONNECT example.com.:443 HTTP/1.1\r\n\r\n", "example.com:443", "CONNECT", ""},
        GoodCase{"OfHttp10", "CONNECT example.com:443 HTTP/1.0\r\n\r\n", "example.com:443", "CONNECT", ""},
        GoodCase{"LengthZero", Connect("Content-Length: 0\r\n"), "example.com:443", "CONNECT", ""},
        GoodCase{"EmptyValueAndTabs", Connect("A:\r\nB:\t x\ty \t\r\n"), "example.com:443", "CONNECT", ""},
        GoodCase{"NotAsciiInValue", Connect("A: \xc3\xbc\r\n"), "example.com:443", "CONNECT", ""},
        GoodCase{"MostHeaderLines", Connect(Lines(100)), "example.com:443", "CONNECT", ""},
        GoodCase{"LongestHead", HeadOf(64 * 1024), "example.com:443", "CONNECT", ""}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Uri, GoodHead,
    ::testing::Values(
        GoodCase{"Rewritten",
                 "POST http://example.com:8080/a/b?c=http://d HTTP/1.1\r\nHost: example.com:8080\r\nX: y\r\n\r\n",
                 "example.com:8080",
                 "POST /a/b?c=http://d HTTP/1.1\r\nHost: example.com:8080\r\nX: y\r\nConnection: close\r\n\r\n", ""},
        GoodCase{"HostIsTheUris", Get("Host: other.example\r\n"), "example.com:80", Forwarded(""), ""},
        GoodCase{"NoHost", Get(""), "example.com:80", Forwarded(""), ""},
        GoodCase{"NoPath", "GET http://example.com HTTP/1.1\r\n\r\n", "example.com:80", Forwarded(""), ""},
        GoodCase{"QueryWithoutPath", "GET http://example.com?q HTTP/1.1\r\n\r\n", "example.com:80",
                 "GET /?q HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n", ""},
        GoodCase{"EmptyPort", "GET http://example.com:/ HTTP/1.1\r\n\r\n", "example.com:80", Forwarded(""), ""},
        GoodCase{"SchemeInCapitals", "GET HTTP://example.com/ HTTP/1.1\r\n\r\n", "example.com:80", Forwarded(""), ""},
        GoodCase{"Ipv6", "GET http://[2001:db8::1]:81/ HTTP/1.1\r\n\r\n", "[2001:db8::1]:81",
                 "GET / HTTP/1.1\r\nHost: [2001:db8::1]:81\r\nConnection: close\r\n\r\n", ""},
        GoodCase{"UserOfUriIsDropped", "GET http://user:pw@example.com/ HTTP/1.1\r\nHost: user:pw@example.com\r\n\r\n",
                 "example.com:80", Forwarded(""), ""},
        GoodCase{"UserWithAt", "GET http://user@a:p@w@example.com/ HTTP/1.1\r\n\r\n", "example.com:80", Forwarded(""),
                 ""},
        GoodCase{"AtInPath", "GET http://example.com/@other.example HTTP/1.1\r\n\r\n", "example.com:80",
                 "GET /@other.example HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n", ""},
        // An answer in chunks would be of no use to the client.
        GoodCase{"OfHttp10", "GET http://example.com/ HTTP/1.0\r\n\r\n", "example.com:80",
                 "GET / HTTP/1.0\r\nHost: example.com\r\nConnection: close\r\n\r\n", ""},
        GoodCase{"OtherMethod", "PROPFIND http://example.com/ HTTP/1.1\r\n\r\n", "example.com:80",
                 "PROPFIND / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n", ""},
        GoodCase{"HopByHop",
                 Get("A: 1\r\nConnection: keep-alive, x-mine ,\r\nX-Mine: 2\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
                     "Upgrade: h2c\r\nProxy-Connection: keep-alive\r\nCONNECTION: X-Too\r\nx-too: 3\r\nB: 4\r\n"),
                 "example.com:80", Forwarded("A: 1\r\nB: 4\r\n"), ""},
        GoodCase{"LengthIsKept", Get("Content-Length: 12\r\nExpect: 100-continue\r\n"), "example.com:80",
                 Forwarded("Expect: 100-continue\r\nContent-Length: 12\r\n"), ""},
        GoodCase{"SameLengthOnce", Get("Content-Length: 12, 12\r\ncontent-length: 012\r\n"), "example.com:80",
                 Forwarded("Content-Length: 12\r\n"), ""},
        GoodCase{"Chunked", Get("transfer-encoding: Chunked\r\nTrailer: X\r\n"), "example.com:80",
                 Forwarded("transfer-encoding: Chunked\r\nTrailer: X\r\n"), ""},
        GoodCase{"SpaceAroundValues", Get("A:  1 \t\r\n"), "example.com:80", Forwarded("A: 1\r\n"), ""}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    User, GoodHead,
    ::testing::Values(
        GoodCase{"TraceId", Connect(Basic("trace-1:whatever")), "example.com:443", "CONNECT", "trace-1"},
        GoodCase{"TraceIdWithoutPassword", Connect(Basic("trace-1:")), "example.com:443", "CONNECT", "trace-1"},
        GoodCase{"NoTraceId", Connect(Basic(":pw")), "example.com:443", "CONNECT", ""},
        GoodCase{"LongestTraceId", Connect(Basic(std::string(255, 'x') + ":")), "example.com:443", "CONNECT",
                 std::string(255, 'x')},
        GoodCase{"OtherScheme", Connect("Proxy-Authorization: Bearer abc\r\n"), "example.com:443", "CONNECT", ""},
        GoodCase{"Account", Connect(Basic("agent:se:cret")), "example.com:443", "CONNECT", "agent", &kAccounts},
        GoodCase{"SchemeInCapitals",
                 Connect("proxy-authorization: BASIC  " + absl::Base64Escape("agent:se:cret") + "\r\n"),
                 "example.com:443", "CONNECT", "agent", &kAccounts},
        // The origin is not to see it.
        GoodCase{"OfAUri", Get(Basic("agent:se:cret") + "Authorization: Basic eA==\r\n"), "example.com:80",
                 Forwarded("Authorization: Basic eA==\r\n"), "agent", &kAccounts}),
    [](const auto& test) { return test.param.name; });

struct BadCase {
  const char* name;
  std::string input;
  int status;
  const char* error;
  const std::vector<Account>* accounts = &kNobody;
};

class BadHead : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadHead, IsRefusedAtTheSameByteHoweverItIsCut) {
  const BadCase& c = GetParam();
  const Outcome whole = FeedWhole<HttpRequestHead>(*c.accounts, c.input);
  EXPECT_EQ(whole.end, End::kFailed) << whole;
  EXPECT_THAT(whole.error, HasSubstr(c.error));
  EXPECT_EQ(whole.answer, ErrorResponse(c.status, whole.error));
  EXPECT_THAT(whole.answer, StartsWith(absl::StrCat("HTTP/1.1 ", c.status, " ")));
  EXPECT_THAT(whole.answer, Not(HasSubstr("cret")));
  EXPECT_THAT(whole.error, Not(HasSubstr("\n")));
  EXPECT_EQ(whole.user, "");
  EXPECT_EQ(FeedBytes<HttpRequestHead>(*c.accounts, c.input), whole);
}

INSTANTIATE_TEST_SUITE_P(
    RequestLine, BadHead,
    ::testing::Values(
        BadCase{"OriginForm", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", 400, "this is a proxy"},
        BadCase{"OriginFormWithUri", "GET /?u=http://example.com/ HTTP/1.1\r\n\r\n", 400,
                "set HTTP_PROXY and HTTPS_PROXY"},
        BadCase{"AsteriskForm", "OPTIONS * HTTP/1.1\r\n\r\n", 400, "this is a proxy"},
        BadCase{"AuthorityFormOfGet", "GET example.com:80 HTTP/1.1\r\n\r\n", 400, "expected http://HOST/PATH"},
        BadCase{"Https", "GET https://user:se:cret@example.com/ HTTP/1.1\r\n\r\n", 400, "use CONNECT"},
        BadCase{"HttpsInCapitals", "GET HTTPS://example.com/ HTTP/1.1\r\n\r\n", 400, "use CONNECT"},
        BadCase{"Ftp", "GET ftp://example.com/ HTTP/1.1\r\n\r\n", 400, "a scheme other than http"},
        BadCase{"NoScheme", "GET ://example.com/ HTTP/1.1\r\n\r\n", 400, "a scheme other than http"},
        BadCase{"Fragment", "GET http://example.com/#a HTTP/1.1\r\n\r\n", 400, "a fragment"},
        BadCase{"FragmentInHost", "GET http://example.com#@other/ HTTP/1.1\r\n\r\n", 400, "a fragment"},
        BadCase{"NoHost", "GET http:///path HTTP/1.1\r\n\r\n", 400, "host or port"},
        BadCase{"OnlyUser", "GET http://user:secret@/path HTTP/1.1\r\n\r\n", 400, "host or port"},
        BadCase{"PasswordWithSlash", "GET http://user:secret/x@example.com/ HTTP/1.1\r\n\r\n", 400, "host or port"},
        BadCase{"BackslashInHost", "GET http://example.com\\other/ HTTP/1.1\r\n\r\n", 400, "host or port"},
        BadCase{"PercentInHost", "GET http://example%2ecom/ HTTP/1.1\r\n\r\n", 400, "host or port"},
        BadCase{"UriPortZero", "GET http://example.com:0/ HTTP/1.1\r\n\r\n", 400, "host or port"},
        BadCase{"UriPortTooLarge", "GET http://example.com:65536/ HTTP/1.1\r\n\r\n", 400, "host or port"},
        BadCase{"ConnectWithoutPort", "CONNECT example.com HTTP/1.1\r\n\r\n", 400, "has no port: expected HOST:PORT"},
        BadCase{"ConnectEmptyPort", "CONNECT example.com: HTTP/1.1\r\n\r\n", 400, "has no port: expected HOST:PORT"},
        BadCase{"ConnectPortZero", "CONNECT example.com:0 HTTP/1.1\r\n\r\n", 400, "expected 1 to 65535"},
        BadCase{"ConnectPortTooLarge", "CONNECT example.com:65536 HTTP/1.1\r\n\r\n", 400, "expected 1 to 65535"},
        BadCase{"ConnectIpv6WithoutBrackets", "CONNECT 2001:db8::1:443 HTTP/1.1\r\n\r\n", 400, "expected 1 to 65535"},
        BadCase{"ConnectUri", "CONNECT http://example.com/ HTTP/1.1\r\n\r\n", 400, "expected 1 to 65535"},
        BadCase{"ConnectWithPath", "CONNECT example.com:443/ HTTP/1.1\r\n\r\n", 400, "expected 1 to 65535"},
        BadCase{"ConnectWithUser", "CONNECT user:secret@example.com:443 HTTP/1.1\r\n\r\n", 400, "a user in its target"},
        BadCase{"SpaceInTarget", "GET http://example.com/a b HTTP/1.1\r\n\r\n", 400, "not a request line"},
        BadCase{"TabInTarget", "GET http://example.com/a\tb HTTP/1.1\r\n\r\n", 400, "not a request line"},
        BadCase{"TabForSpace", "GET\thttp://example.com/ HTTP/1.1\r\n\r\n", 400, "not a request line"},
        BadCase{"TwoSpaces", "GET  http://example.com/ HTTP/1.1\r\n\r\n", 400, "not a request line"},
        BadCase{"SpaceAtTheEnd", "GET http://example.com/ HTTP/1.1 \r\n\r\n", 400, "not a request line"},
        BadCase{"NoTarget", "GET HTTP/1.1\r\n\r\n", 400, "not a request line"},
        BadCase{"OnlyMethod", "GET\r\n\r\n", 400, "not a request line"},
        BadCase{"EmptyLineFirst", "\r\nGET http://example.com/ HTTP/1.1\r\n\r\n", 400, "not a request line"},
        BadCase{"MethodNoToken", "GE(T http://example.com/ HTTP/1.1\r\n\r\n", 400, "not a request line"},
        BadCase{"Http09", "GET http://example.com/\r\n", 400, "HTTP/0.9"},
        BadCase{"Http09ByName", "GET http://example.com/ HTTP/0.9\r\n\r\n", 505, "HTTP/0.9: expected HTTP/1.1"},
        BadCase{"Http12", "GET http://example.com/ HTTP/1.2\r\n\r\n", 505, "HTTP/1.2: expected HTTP/1.1"},
        BadCase{"Http2Preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/2.0: expected HTTP/1.1"},
        BadCase{"VersionInSmallLetters", "GET http://example.com/ http/1.1\r\n\r\n", 400, "no version of HTTP"},
        BadCase{"VersionOfThreeNumbers", "GET http://example.com/ HTTP/1.1.1\r\n\r\n", 400, "no version of HTTP"},
        BadCase{"VersionOfLetters", "GET http://example.com/ HTTP/a.b\r\n\r\n", 400, "no version of HTTP"}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Headers, BadHead,
    ::testing::Values(
        BadCase{"Folded", Connect("A: b\r\n c: d\r\n"), 400, "over several lines"},
        BadCase{"FoldedByTab", Connect("A: b\r\n\tc: d\r\n"), 400, "over several lines"},
        BadCase{"FoldedAtOnce", Connect(" A: b\r\n"), 400, "over several lines"},
        BadCase{"BareLineFeed", Connect("A: b\nC: d\r\n"), 400, "LF without CR"},
        BadCase{"BareLineFeedInRequestLine", "CONNECT example.com:443 HTTP/1.1\n\r\n", 400, "LF without CR"},
        BadCase{"BareLineFeedAtTheEnd", "CONNECT example.com:443 HTTP/1.1\r\nA: b\r\n\n", 400, "LF without CR"},
        BadCase{"BareCarriageReturn", Connect("A: b\rC: d\r\n"), 400, "control character 0x0d"},
        BadCase{"TwoCarriageReturns", Connect("A: b\r\r\n"), 400, "control character 0x0d"},
        BadCase{"ZeroInValue", Connect(Raw("A: b\x00\r\n")), 400, "control character 0x00"},
        BadCase{"ZeroInTarget", Raw("CONNECT example.com\x00.net:443 HTTP/1.1\r\n\r\n"), 400, "control character 0x00"},
        BadCase{"DeleteInValue", Connect("A: b\x7f\r\n"), 400, "control character 0x7f"},
        BadCase{"NoColon", Connect("secret\r\n"), 400, "without a colon"},
        BadCase{"EmptyName", Connect("A: b\r\n: secret\r\n"), 400, "the name in header line 2"},
        BadCase{"SpaceBeforeColon", Connect("Content-Length : 0\r\n"), 400, "the name in header line 1"},
        BadCase{"NameNoToken", Connect("A(b): c\r\n"), 400, "the name in header line 1"},
        BadCase{"NameNotAscii", Connect("\xc3\xbc: c\r\n"), 400, "the name in header line 1"},
        BadCase{"TwoHosts", Get("Host: example.com\r\nhost: example.com\r\n"), 400, "more than one Host"},
        BadCase{"ManyHeaderLines", Connect(Lines(101)), 431, "more than 100 header lines"},
        BadCase{"LongHead", HeadOf(64 * 1024 + 1), 431, "more than 65536 bytes"},
        BadCase{"LongLine", std::string(64 * 1024, 'A'), 431, "more than 65536 bytes"},
        BadCase{"ConnectionNamesHost", Get("Connection: close, host\r\n"), 400, "a Connection header that names host"},
        BadCase{"ConnectionNamesLength", Get("Content-Length: 1\r\nConnection: Content-Length\r\n"), 400,
                "a Connection header that names Content-Length"},
        BadCase{"ConnectionNamesCoding", Get("Transfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n"), 400,
                "a Connection header that names transfer-encoding"},
        BadCase{"ConnectionNamesMany", Get("Connection: " + std::string(100, ',') + "\r\n"), 431,
                "more than 100 names"}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Body, BadHead,
    ::testing::Values(
        BadCase{"LengthAndCoding", Get("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"), 400,
                "both Content-Length"},
        BadCase{"CodingAndLength", Get("Transfer-Encoding: identity\r\nContent-Length: 0\r\n"), 400,
                "both Content-Length"},
        BadCase{"TwoLengths", Get("Content-Length: 4\r\nContent-Length: 5\r\n"), 400, "Content-Length of two values"},
        BadCase{"TwoLengthsInOne", Get("Content-Length: 4, 5\r\n"), 400, "Content-Length of two values"},
        BadCase{"LengthEmpty", Get("Content-Length:\r\n"), 400, "Content-Length: expected a number"},
        BadCase{"LengthWithEmptyWord", Get("Content-Length: 4,\r\n"), 400, "Content-Length: expected a number"},
        BadCase{"LengthNegative", Get("Content-Length: -1\r\n"), 400, "Content-Length: expected a number"},
        BadCase{"LengthWithPlus", Get("Content-Length: +1\r\n"), 400, "Content-Length: expected a number"},
        BadCase{"LengthInHex", Get("Content-Length: 0x10\r\n"), 400, "Content-Length: expected a number"},
        BadCase{"LengthOverflows", Get("Content-Length: 18446744073709551616\r\n"), 400,
                "Content-Length: expected a number"},
        BadCase{"CodingTwice", Get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 501,
                "chunked alone"},
        BadCase{"CodingGzip", Get("Transfer-Encoding: gzip, chunked\r\n"), 501, "chunked alone"},
        BadCase{"CodingUnknown", Get("Transfer-Encoding: xchunked\r\n"), 501, "chunked alone"},
        BadCase{"CodingEmpty", Get("Transfer-Encoding:\r\n"), 501, "chunked alone"},
        BadCase{"CodingOfHttp10", "GET http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
                "in a request of HTTP/1.0"},
        BadCase{"ConnectWithLength", Connect("Content-Length: 1\r\n"), 400, "CONNECT with a body"},
        BadCase{"ConnectWithCoding", Connect("Transfer-Encoding: chunked\r\n"), 400, "CONNECT with a body"}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    User, BadHead,
    ::testing::Values(
        BadCase{"Missing", Connect(""), 407, "missing or wrong", &kAccounts},
        BadCase{"MissingForUri", Get(""), 407, "missing or wrong", &kAccounts},
        BadCase{"OriginsAuthorization", Get("Authorization: Basic " + absl::Base64Escape("agent:se:cret") + "\r\n"),
                407, "missing or wrong", &kAccounts},
        BadCase{"WrongPassword", Connect(Basic("agent:se:creT")), 407, "missing or wrong", &kAccounts},
        BadCase{"WrongUser", Connect(Basic("Agent:se:cret")), 407, "missing or wrong", &kAccounts},
        BadCase{"EmptyPair", Connect(Basic(":")), 407, "missing or wrong", &kAccounts},
        BadCase{"LongPassword", Connect(Basic("agent:" + std::string(300, 'x'))), 407, "missing or wrong", &kAccounts},
        BadCase{"OtherScheme", Connect("Proxy-Authorization: Bearer secret\r\n"), 407, "missing or wrong", &kAccounts},
        BadCase{"EmptyHeader", Connect("Proxy-Authorization:\r\n"), 407, "missing or wrong", &kAccounts},
        BadCase{"Twice", Connect(Basic("agent:se:cret") + Basic("agent:se:cret")), 400,
                "more than one Proxy-Authorization", &kAccounts},
        BadCase{"NotBase64", Connect("Proxy-Authorization: Basic !secret!\r\n"), 400, "in base64", &kAccounts},
        BadCase{"NoColon", Connect(Basic("secret")), 400, "in base64", &kAccounts},
        BadCase{"NoColonOfTraceId", Connect(Basic("secret")), 400, "in base64"},
        BadCase{"NothingBehindBasic", Connect("Proxy-Authorization: Basic\r\n"), 400, "in base64"},
        BadCase{"LongTraceId", Connect(Basic(std::string(256, 'x') + ":")), 400, "more than 255 bytes"}),
    [](const auto& test) { return test.param.name; });

TEST(HttpRequestHead, NothingIsTakenAfterItsEnd) {
  for (const std::string& input : {Connect(""), std::string("GET / HTTP/1.1\r\n")}) {
    HttpRequestHead head(kNobody);
    std::string answer;
    size_t consumed = 0;
    const auto state = head.Feed(BytesOf(input), &consumed, &answer);
    ASSERT_NE(state, HttpRequestHead::State::kMore);
    const std::string before = answer;
    EXPECT_EQ(head.Feed(BytesOf(Connect("")), &consumed, &answer), state);
    EXPECT_EQ(consumed, 0u);
    EXPECT_EQ(answer, before);
  }
}

TEST(ErrorResponse, IsWhole) {
  EXPECT_EQ(ErrorResponse(403, "denied by policy"),
            "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 17\r\n"
            "Connection: close\r\n\r\ndenied by policy\n");
  EXPECT_EQ(ErrorResponse(407, "who?"),
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"lattice\"\r\n"
            "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwho?\n");
  for (const int status : {400, 408, 429, 431, 500, 501, 502, 503, 504, 505}) {
    EXPECT_THAT(ErrorResponse(status, ""),
                ::testing::MatchesRegex(absl::StrCat("HTTP/1.1 ", status, " [A-Z][^\r]+\r\n(.|\n)*")));
  }
}

TEST(ConnectEstablished, HasNoBodyAndNoLength) {
  EXPECT_EQ(ConnectEstablished(), "HTTP/1.1 200 Connection established\r\n\r\n");
}

}  // namespace
}  // namespace lattice::socks
