#include "userspace/socks/target.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lattice::socks {
namespace {

using ::testing::HasSubstr;

const std::string kLabel63(63, 'a');
const std::string kName253 = absl::StrCat(kLabel63, ".", kLabel63, ".", kLabel63, ".", std::string(61, 'b'));

struct GoodCase {
  const char* name;
  std::string host;
  std::string want;
  bool literal = false;
};

class GoodHost : public ::testing::TestWithParam<GoodCase> {};

TEST_P(GoodHost, IsAnAddressOrAName) {
  const auto target = ParseHost(GetParam().host, 443);
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->address.has_value(), GetParam().literal);
  EXPECT_EQ(target->name.empty(), GetParam().literal);
  EXPECT_EQ(target->port, 443);
  EXPECT_EQ(target->ToString(), GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, GoodHost,
    ::testing::Values(GoodCase{"Name", "example.com", "example.com:443"},
                      GoodCase{"CaseIsKept", "Example.COM", "Example.COM:443"},
                      GoodCase{"OneLabel", "localhost", "localhost:443"},
                      GoodCase{"DigitsDashUnderscore", "_dns-1.2x.example", "_dns-1.2x.example:443"},
                      GoodCase{"TrailingDotIsTakenOff", "example.com.", "example.com:443"},
                      GoodCase{"LongestLabel", kLabel63, kLabel63 + ":443"},
                      GoodCase{"LongestName", kName253, kName253 + ":443"},
                      GoodCase{"LongestNameWithTheDot", kName253 + ".", kName253 + ":443"},
                      GoodCase{"Ipv4", "192.0.2.1", "192.0.2.1:443", true},
                      GoodCase{"Ipv4WithTheDot", "192.0.2.1.", "192.0.2.1:443", true},
                      GoodCase{"Ipv6", "2001:DB8::1", "[2001:db8::1]:443", true},
                      GoodCase{"Ipv6InBrackets", "[2001:db8::1]", "[2001:db8::1]:443", true},
                      GoodCase{"MappedIsIpv4", "::ffff:192.0.2.1", "192.0.2.1:443", true},
                      GoodCase{"MappedInBracketsIsIpv4", "[::ffff:192.0.2.1]", "192.0.2.1:443", true}),
    [](const auto& test) { return test.param.name; });

struct BadCase {
  const char* name;
  std::string text;
};

class BadHost : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadHost, IsRefused) {
  const auto target = ParseHost(GetParam().text, 443);
  ASSERT_FALSE(target.ok()) << target->ToString();
  EXPECT_EQ(target.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(target.status().message()), HasSubstr("is neither a host name nor an address"));
  EXPECT_THAT(std::string(target.status().message()), Not(HasSubstr("\n")));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadHost,
    ::testing::Values(BadCase{"Empty", ""}, BadCase{"Dot", "."}, BadCase{"Dots", ".."},
                      BadCase{"TwoTrailingDots", "example.com.."}, BadCase{"LeadingDot", ".example.com"},
                      BadCase{"EmptyLabel", "example..com"}, BadCase{"Zero", std::string("example.com\0.net", 16)},
                      BadCase{"Space", "example .com"}, BadCase{"LineFeed", "example.com\n"},
                      BadCase{"Slash", "example.com/"}, BadCase{"At", "user@example.com"},
                      BadCase{"Colon", "example.com:443"},
                      BadCase{"NotAscii",
                              "b\xc3\xbc"
                              "cher.example"},
                      BadCase{"Percent", "%65xample.com"}, BadCase{"Zone", "fe80::1%eth0"},
                      BadCase{"LongLabel", kLabel63 + "a.com"}, BadCase{"LongName", kName253 + "b"},
                      BadCase{"Ipv4InBrackets", "[192.0.2.1]"}, BadCase{"NameInBrackets", "[example]"},
                      BadCase{"NothingInBrackets", "[]"}, BadCase{"OneBracket", "[2001:db8::1"},
                      BadCase{"OtherBracket", "2001:db8::1]"}, BadCase{"TwoBrackets", "[[2001:db8::1]]"}),
    [](const auto& test) { return test.param.name; });

struct HostPortCase {
  const char* name;
  std::string text;
  uint16_t default_port;
  std::string want;  // or a part of the message
};

class GoodHostPort : public ::testing::TestWithParam<HostPortCase> {};

TEST_P(GoodHostPort, IsSplit) {
  const auto target = ParseHostPort(GetParam().text, GetParam().default_port);
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->ToString(), GetParam().want);
  // And what is printed is read as the same.
  EXPECT_EQ(ParseHostPort(target->ToString(), 0).value(), *target);
}

INSTANTIATE_TEST_SUITE_P(Cases, GoodHostPort,
                         ::testing::Values(HostPortCase{"Name", "example.com:443", 0, "example.com:443"},
                                           HostPortCase{"Ipv4", "192.0.2.1:1", 0, "192.0.2.1:1"},
                                           HostPortCase{"Ipv6", "[2001:db8::1]:65535", 0, "[2001:db8::1]:65535"},
                                           HostPortCase{"LeadingZeros", "example.com:00080", 0, "example.com:80"},
                                           HostPortCase{"PortOverDefault", "example.com:8080", 80, "example.com:8080"},
                                           HostPortCase{"Default", "example.com", 80, "example.com:80"},
                                           HostPortCase{"DefaultOfEmptyPort", "example.com:", 80, "example.com:80"},
                                           HostPortCase{"DefaultOfIpv6", "[2001:db8::1]", 80, "[2001:db8::1]:80"},
                                           HostPortCase{"DefaultOfIpv6EmptyPort", "[2001:db8::1]:", 80,
                                                        "[2001:db8::1]:80"}),
                         [](const auto& test) { return test.param.name; });

class BadHostPort : public ::testing::TestWithParam<HostPortCase> {};

TEST_P(BadHostPort, IsRefused) {
  const auto target = ParseHostPort(GetParam().text, GetParam().default_port);
  ASSERT_FALSE(target.ok()) << target->ToString();
  EXPECT_EQ(target.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(target.status().message()), HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadHostPort,
    ::testing::Values(HostPortCase{"Empty", "", 0, "has no port"}, HostPortCase{"EmptyWithDefault", "", 80, "neither"},
                      HostPortCase{"NoPort", "example.com", 0, "has no port"},
                      HostPortCase{"EmptyPort", "example.com:", 0, "has no port"},
                      HostPortCase{"NoHost", ":443", 0, "neither"},
                      HostPortCase{"PortZero", "example.com:0", 80, "expected 1 to 65535"},
                      HostPortCase{"PortZeros", "example.com:00000", 80, "expected 1 to 65535"},
                      HostPortCase{"PortTooLarge", "example.com:65536", 80, "expected 1 to 65535"},
                      HostPortCase{"PortOfManyDigits", "example.com:000443", 80, "expected 1 to 65535"},
                      HostPortCase{"NegativePort", "example.com:-1", 80, "expected 1 to 65535"},
                      HostPortCase{"PlusPort", "example.com:+80", 80, "expected 1 to 65535"},
                      HostPortCase{"SpaceInPort", "example.com: 80", 80, "expected 1 to 65535"},
                      HostPortCase{"HexPort", "example.com:0x50", 80, "expected 1 to 65535"},
                      HostPortCase{"NamedPort", "example.com:http", 80, "expected 1 to 65535"},
                      HostPortCase{"TwoPorts", "example.com:80:80", 80, "expected 1 to 65535"},
                      HostPortCase{"Ipv6WithoutBrackets", "2001:db8::1:443", 0, "expected 1 to 65535"},
                      HostPortCase{"BracketNotClosed", "[2001:db8::1:443", 80, "neither"},
                      HostPortCase{"TextBehindBracket", "[2001:db8::1]x:443", 80, "neither"},
                      HostPortCase{"NameInBrackets", "[example.com]:443", 80, "neither"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace lattice::socks
