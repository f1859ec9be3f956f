#include "userspace/sandbox/forward_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace lattice::sandbox {
namespace {

using ::testing::HasSubstr;

TEST(ForwardSpec, IsReadAsItIsPrinted) {
  for (const char* text : {"8080:127.0.0.1:8080", "1:[::1]:65535", "53/udp:10.0.0.1:5353", "80:localhost:8080",
                           "8080:unix:/run/app.sock", "443:my-host.example_1:443"}) {
    const auto spec = ParseForward(text);
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_EQ(spec->ToString(), text);
  }
  EXPECT_EQ(ParseForward("80/tcp:127.0.0.1:1")->ToString(), "80:127.0.0.1:1");
}

struct BadSpec {
  std::string name, text, want;
};

class BadForward : public ::testing::TestWithParam<BadSpec> {};

TEST_P(BadForward, NamesTheTextAndWhatIsWrong) {
  const auto spec = ParseForward(GetParam().text);
  ASSERT_FALSE(spec.ok());
  EXPECT_THAT(spec.status().message(), HasSubstr("--forward=" + GetParam().text + ": "));
  EXPECT_THAT(spec.status().message(), HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(
    Texts, BadForward,
    ::testing::Values(BadSpec{"Empty", "", "expected PORT"}, BadSpec{"PortAlone", "8080", "expected PORT"},
                      BadSpec{"NoHostPort", "8080:127.0.0.1", "expected PORT"},
                      BadSpec{"PortZero", "0:127.0.0.1:80", "no overlay port"},
                      BadSpec{"PortTooLarge", "65536:127.0.0.1:80", "no overlay port"},
                      BadSpec{"PortWithSign", "+80:127.0.0.1:80", "no overlay port"},
                      BadSpec{"PortWithBlank", " 80:127.0.0.1:80", "no overlay port"},
                      BadSpec{"PortVeryLong", "000000080:127.0.0.1:80", "no overlay port"},
                      BadSpec{"UnknownProtocol", "80/sctp:127.0.0.1:80", "no overlay port"},
                      BadSpec{"HostPortZero", "80:127.0.0.1:0", "no port of this host"},
                      BadSpec{"HostPortMissing", "80:127.0.0.1:", "no port of this host"},
                      BadSpec{"HostMissing", "80::80", "no address"},
                      BadSpec{"Ipv6WithoutBrackets", "80:2001:db8::1:80", "must be in brackets"},
                      BadSpec{"Ipv4InBrackets", "80:[127.0.0.1]:80", "an IPv6 address is expected"},
                      BadSpec{"BracketNotClosed", "80:[::1:80", "an IPv6 address is expected"},
                      BadSpec{"HostWithSlash", "80:a/b:80", "no address"},
                      BadSpec{"HostWithNul", std::string("80:a\0b:80", 9), "no address"},
                      BadSpec{"UnixRelative", "80:unix:run/app", "must begin with /"},
                      BadSpec{"UnixTooLong", "80:unix:/" + std::string(107, 'x'), "too long"},
                      BadSpec{"UnixWithUdp", "80/udp:unix:/run/app", "no datagrams"}),
    [](const auto& param) { return param.param.name; });

TEST(ForwardSpecs, AreSeparatedByCommasAndOneOfAPort) {
  const auto specs = ParseForwards({"80:127.0.0.1:1, 81:127.0.0.1:1", "80/udp:127.0.0.1:1"});
  ASSERT_TRUE(specs.ok()) << specs.status();
  EXPECT_EQ(specs->size(), 3u);
  EXPECT_THAT(ParseForwards({"80:127.0.0.1:1", "80:unix:/run/app"}).status().message(), HasSubstr("has this port"));
  EXPECT_FALSE(ParseForwards({"80:127.0.0.1:1,"}).ok());
}

}  // namespace
}  // namespace lattice::sandbox
