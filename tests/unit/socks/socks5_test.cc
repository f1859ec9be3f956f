#include "userspace/socks/socks5.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/socks/feeding.h"

namespace lattice::socks {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<Account> kNobody;
const std::vector<Account> kAccounts = {{.user = "agent", .password = "secret"}, {.user = "other", .password = "word"}};

const std::string kNoAuth = Raw("\x05\x01\x00");
const std::string kPasswordOnly = Raw("\x05\x01\x02");
const std::string kLogin =
    Raw("\x01\x05"
        "agent"
        "\x06"
        "secret");
const std::string kConnectV4 = Raw("\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb");
const std::string kRefused = Raw("\x00\x01\x00\x00\x00\x00\x00\x00");  // behind version and code of a reply

std::string ConnectTo(const std::string& name, const std::string& port = Raw("\x01\xbb")) {
  return absl::StrCat(Raw("\x05\x01\x00\x03"), std::string(1, static_cast<char>(name.size())), name, port);
}

std::string Login(const std::string& user, const std::string& password) {
  return absl::StrCat("\x01", std::string(1, static_cast<char>(user.size())), user,
                      std::string(1, static_cast<char>(password.size())), password);
}

struct GoodCase {
  const char* name;
  const std::vector<Account>* accounts;
  std::string input;
  std::string answer;
  std::string target;
  std::string user;
  const char* command = "CONNECT";
};

class GoodHandshake : public ::testing::TestWithParam<GoodCase> {};

TEST_P(GoodHandshake, EndsInTheRequestAndLeavesEarlyData) {
  const GoodCase& c = GetParam();
  const Outcome want{.end = End::kRequest,
                     .consumed = c.input.size(),
                     .answer = c.answer,
                     .error = "",
                     .user = c.user,
                     .target = c.target,
                     .detail = c.command};
  EXPECT_EQ(FeedWhole<ServerHandshake>(*c.accounts, c.input), want);
  EXPECT_EQ(FeedBytes<ServerHandshake>(*c.accounts, c.input), want);
  EXPECT_EQ(FeedWhole<ServerHandshake>(*c.accounts, c.input + "early data"), want);
  EXPECT_EQ(FeedWhole<ServerHandshake>(*c.accounts, c.input + c.input), want);
  for (size_t cut = 0; cut < c.input.size(); ++cut) {
    const Outcome less = FeedWhole<ServerHandshake>(*c.accounts, c.input.substr(0, cut));
    EXPECT_EQ(less.end, End::kMore) << cut;
    EXPECT_EQ(less.consumed, cut);
  }
}

const std::string kLongName =
    absl::StrCat(std::string(63, 'a'), ".", std::string(63, 'b'), ".", std::string(63, 'c'), ".", std::string(61, 'd'));

INSTANTIATE_TEST_SUITE_P(
    Cases, GoodHandshake,
    ::testing::Values(
        GoodCase{"Ipv4", &kNobody, kNoAuth + kConnectV4, Raw("\x05\x00"), "192.0.2.7:443", ""},
        GoodCase{
            "Ipv6", &kNobody,
            kNoAuth + Raw("\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50"),
            Raw("\x05\x00"), "[2001:db8::1]:80", ""},
        GoodCase{
            "MappedIpv6IsIpv4", &kNobody,
            kNoAuth + Raw("\x05\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0a\x00\x00\x01\x00\x50"),
            Raw("\x05\x00"), "10.0.0.1:80", ""},
        GoodCase{"Name", &kNobody, kNoAuth + ConnectTo("example.com"), Raw("\x05\x00"), "example.com:443", ""},
        GoodCase{"NameWithDot", &kNobody, kNoAuth + ConnectTo("example.com."), Raw("\x05\x00"), "example.com:443", ""},
        GoodCase{"LongestName", &kNobody, kNoAuth + ConnectTo(kLongName), Raw("\x05\x00"), kLongName + ":443", ""},
        GoodCase{"Ipv4AsName", &kNobody, kNoAuth + ConnectTo("10.0.0.1"), Raw("\x05\x00"), "10.0.0.1:443", ""},
        GoodCase{"Ipv6AsName", &kNobody, kNoAuth + ConnectTo("2001:db8::1"), Raw("\x05\x00"), "[2001:db8::1]:443", ""},
        GoodCase{"Ipv6InBracketsAsName", &kNobody, kNoAuth + ConnectTo("[::1]"), Raw("\x05\x00"), "[::1]:443", ""},
        GoodCase{"HighestPort", &kNobody, kNoAuth + ConnectTo("a", "\xff\xff"), Raw("\x05\x00"), "a:65535", ""},
        // RFC 1928 asks for a zero, but there is nothing to go wrong.
        GoodCase{"ReservedNotZero", &kNobody, kNoAuth + Raw("\x05\x01\xff\x01\xc0\x00\x02\x07\x01\xbb"),
                 Raw("\x05\x00"), "192.0.2.7:443", ""},
        GoodCase{"UdpAssociate", &kNobody, kNoAuth + Raw("\x05\x03\x00\x01\xc0\x00\x02\x07\x01\xbb"), Raw("\x05\x00"),
                 "192.0.2.7:443", "", "UDP ASSOCIATE"},
        GoodCase{"UdpAssociateFromAnywhere", &kNobody, kNoAuth + Raw("\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00"),
                 Raw("\x05\x00"), "0.0.0.0:0", "", "UDP ASSOCIATE"},
        GoodCase{"NoAuthenticationIsPreferred", &kNobody, Raw("\x05\x02\x02\x00") + kConnectV4, Raw("\x05\x00"),
                 "192.0.2.7:443", ""},
        GoodCase{"AmongManyMethods", &kNobody, "\x05\xff" + std::string(254, '\x80') + Raw("\x00") + kConnectV4,
                 Raw("\x05\x00"), "192.0.2.7:443", ""},
        GoodCase{"TraceIdByUserName", &kNobody, kPasswordOnly + kLogin + kConnectV4, Raw("\x05\x02\x01\x00"),
                 "192.0.2.7:443", "agent"},
        GoodCase{"TraceIdWithoutPassword", &kNobody, kPasswordOnly + Login("trace", "") + kConnectV4,
                 Raw("\x05\x02\x01\x00"), "192.0.2.7:443", "trace"},
        GoodCase{"LongestUserAndPassword", &kNobody,
                 kPasswordOnly + Login(std::string(255, 'u'), std::string(255, 'p')) + kConnectV4,
                 Raw("\x05\x02\x01\x00"), "192.0.2.7:443", std::string(255, 'u')},
        GoodCase{"UserOfAnyBytes", &kNobody, kPasswordOnly + Login(Raw("\x00\xff\n"), "x") + kConnectV4,
                 Raw("\x05\x02\x01\x00"), "192.0.2.7:443", Raw("\x00\xff\n")},
        GoodCase{"Account", &kAccounts, kPasswordOnly + kLogin + kConnectV4, Raw("\x05\x02\x01\x00"), "192.0.2.7:443",
                 "agent"},
        GoodCase{"OtherAccount", &kAccounts, kPasswordOnly + Login("other", "word") + kConnectV4,
                 Raw("\x05\x02\x01\x00"), "192.0.2.7:443", "other"},
        GoodCase{"AccountsArePreferred", &kAccounts, Raw("\x05\x02\x00\x02") + kLogin + kConnectV4,
                 Raw("\x05\x02\x01\x00"), "192.0.2.7:443", "agent"}),
    [](const auto& test) { return test.param.name; });

struct BadCase {
  const char* name;
  const std::vector<Account>* accounts;
  std::string input;
  size_t consumed;
  std::string answer;
  const char* error;
};

class BadHandshake : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadHandshake, IsRefusedAtTheSameByteHoweverItIsCut) {
  const BadCase& c = GetParam();
  const Outcome whole = FeedWhole<ServerHandshake>(*c.accounts, c.input);
  EXPECT_EQ(whole.end, End::kFailed);
  EXPECT_EQ(whole.consumed, c.consumed);
  EXPECT_EQ(whole.answer, c.answer);
  EXPECT_THAT(whole.error, HasSubstr(c.error));
  EXPECT_THAT(whole.error, Not(HasSubstr("secret")));
  EXPECT_THAT(whole.error, Not(HasSubstr("\n")));
  EXPECT_EQ(whole.user, "");
  EXPECT_EQ(FeedBytes<ServerHandshake>(*c.accounts, c.input), whole);
}

// A refused request, all of which was read.
BadCase BadRequest(const char* name, const std::string& request, char code, const char* error) {
  return {name,
          &kNobody,
          kNoAuth + request,
          kNoAuth.size() + request.size(),
          absl::StrCat(Raw("\x05\x00\x05"), std::string(1, code), kRefused),
          error};
}

INSTANTIATE_TEST_SUITE_P(
    Greeting, BadHandshake,
    ::testing::Values(
        BadCase{"WrongVersion", &kNobody, Raw("\x06\x01\x00"), 1, "", "greeting of version 6: expected 5"},
        BadCase{"Socks4", &kNobody, Raw("\x04\x01\x01\xbb\xc0\x00\x02\x07\x00"), 1, "", "greeting of version 4"},
        BadCase{"NoMethods", &kNobody, Raw("\x05\x00"), 2, Raw("\x05\xff"), "without a method"},
        BadCase{"OnlyGssapi", &kNobody, Raw("\x05\x01\x01"), 3, Raw("\x05\xff"), "offers neither"},
        BadCase{"MethodBehindTheList", &kNobody, Raw("\x05\x01\x01\x00"), 3, Raw("\x05\xff"), "offers neither"},
        BadCase{"NoPasswordWithAccounts", &kAccounts, Raw("\x05\x02\x00\x01"), 4, Raw("\x05\xff"),
                "does not offer user and password"}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Password, BadHandshake,
    ::testing::Values(BadCase{"WrongVersion", &kNobody,
                              kPasswordOnly + Raw("\x05\x05"
                                                  "agent"
                                                  "\x06"
                                                  "secret"),
                              4, Raw("\x05\x02\x01\x01"), "of version 5: expected 1"},
                      BadCase{"EmptyUser", &kNobody, kPasswordOnly + Login("", "secret"), 5, Raw("\x05\x02\x01\x01"),
                              "user name of 0 bytes"},
                      BadCase{"WrongPassword", &kAccounts, kPasswordOnly + Login("agent", "secreT") + kConnectV4, 17,
                              Raw("\x05\x02\x01\x01"), "no account of user \"agent\" with that password"},
                      BadCase{"PasswordOfAnother", &kAccounts, kPasswordOnly + Login("other", "secret"), 17,
                              Raw("\x05\x02\x01\x01"), "no account of user \"other\""},
                      BadCase{"EmptyPassword", &kAccounts, kPasswordOnly + Login("agent", ""), 11,
                              Raw("\x05\x02\x01\x01"), "no account of user \"agent\""},
                      BadCase{"UnknownUserOfAnyBytes", &kAccounts, kPasswordOnly + Login(Raw("\n\x00\xff"), "secret"),
                              15, Raw("\x05\x02\x01\x01"), "no account of user \"\\n\\000\\377\""}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Request, BadHandshake,
    ::testing::Values(
        BadCase{"WrongVersion", &kNobody, kNoAuth + Raw("\x04\x01\x00\x01\xc0\x00\x02\x07\x01\xbb"), 4,
                Raw("\x05\x00\x05\x01") + kRefused, "request of version 4: expected 5"},
        BadRequest("Bind", Raw("\x05\x02\x00\x01\xc0\x00\x02\x07\x01\xbb"), 7, "command BIND"),
        BadRequest("CommandZero", Raw("\x05\x00\x00\x01\xc0\x00\x02\x07\x01\xbb"), 7, "command 0x00"),
        BadRequest("UnknownCommand",
                   Raw("\x05\xf0\x00\x03\x01"
                       "a\x00\x00"),
                   7, "command 0xf0"),
        BadCase{"AddressTypeZero", &kNobody, kNoAuth + Raw("\x05\x01\x00\x00\xc0\x00\x02\x07\x01\xbb"), 7,
                Raw("\x05\x00\x05\x08") + kRefused, "address type 0x00"},
        BadCase{"AddressTypeTwo", &kNobody, kNoAuth + Raw("\x05\x01\x00\x02\xc0\x00\x02\x07\x01\xbb"), 7,
                Raw("\x05\x00\x05\x08") + kRefused, "address type 0x02"},
        BadCase{"AddressTypeBeforeCommand", &kNobody, kNoAuth + Raw("\x05\x02\x00\x05\xc0\x00\x02\x07\x01\xbb"), 7,
                Raw("\x05\x00\x05\x08") + kRefused, "address type 0x05"},
        BadRequest("EmptyName", ConnectTo(""), 1, "\"\" is neither a host name nor an address"),
        BadRequest("NameWithZero",
                   ConnectTo(Raw("a\x00"
                                 "b")),
                   1, "neither a host name"),
        BadRequest("NameWithSpace", ConnectTo("a b"), 1, "neither a host name"),
        BadRequest("NameWithLineFeed", ConnectTo("a\nb"), 1, "\"a\\nb\" is neither a host name"),
        BadRequest("NameWithPort", ConnectTo("example.com:80"), 1, "neither a host name"),
        BadRequest("NameOf255Bytes", ConnectTo(std::string(255, 'a')), 1, "neither a host name"),
        BadRequest("PortZero", Raw("\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x00"), 1, "CONNECT to port 0: 192.0.2.7:0"),
        BadRequest("PortZeroOfName", ConnectTo("example.com", Raw("\x00\x00")), 1, "CONNECT to port 0: example.com:0"),
        BadRequest("UdpAssociateOfBadName", Raw("\x05\x03\x00\x03\x01/\x01\xbb"), 1, "neither a host name")),
    [](const auto& test) { return test.param.name; });

TEST(ServerHandshake, NothingIsTakenAfterItsEnd) {
  for (const std::string& input : {kNoAuth + kConnectV4, Raw("\x06")}) {
    ServerHandshake handshake(kNobody);
    std::string answer;
    size_t consumed = 0;
    const auto state = handshake.Feed(BytesOf(input), &consumed, &answer);
    ASSERT_NE(state, ServerHandshake::State::kMore);
    const std::string before = answer;
    EXPECT_EQ(handshake.Feed(BytesOf(kNoAuth), &consumed, &answer), state);
    EXPECT_EQ(consumed, 0u);
    EXPECT_EQ(answer, before);
  }
}

TEST(ServerHandshake, AnswersEachMessageAsSoonAsItIsWhole) {
  ServerHandshake handshake(kAccounts);
  const auto feed = [&](const std::string& input) {
    std::string answer;
    size_t consumed = 0;
    handshake.Feed(BytesOf(input), &consumed, &answer);
    return answer;
  };
  EXPECT_EQ(feed("\x05\x01"), "");
  EXPECT_EQ(feed("\x02"), "\x05\x02");
  EXPECT_EQ(feed(kLogin.substr(0, kLogin.size() - 1)), "");
  EXPECT_EQ(feed("t"), Raw("\x01\x00"));
  EXPECT_EQ(feed(kConnectV4), "");  // the caller answers, once it has dialled
}

TEST(Reply, HasOurEndInItsFamily) {
  EXPECT_EQ(EncodeReply(Reply::kSucceeded, {.address = IpAddress::Parse("192.0.2.1").value(), .port = 0x1234}),
            Raw("\x05\x00\x00\x01\xc0\x00\x02\x01\x12\x34"));
  EXPECT_EQ(EncodeReply(Reply::kSucceeded, {.address = IpAddress::Parse("2001:db8::2").value(), .port = 0xfffe}),
            Raw("\x05\x00\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\xff\xfe"));
}

TEST(Reply, WithoutAnEndIsTheShortForm) {
  EXPECT_EQ(EncodeReply(Reply::kNotAllowed), Raw("\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"));
  EXPECT_EQ(EncodeReply(Reply::kNetworkUnreachable), Raw("\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00"));
  EXPECT_EQ(EncodeReply(Reply::kHostUnreachable), Raw("\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"));
  EXPECT_EQ(EncodeReply(Reply::kConnectionRefused), Raw("\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"));
  EXPECT_EQ(EncodeReply(Reply::kTtlExpired), Raw("\x05\x06\x00\x01\x00\x00\x00\x00\x00\x00"));
}

}  // namespace
}  // namespace lattice::socks
