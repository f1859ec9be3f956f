// The header of datagrams of a UDP association (RFC 1928 7).
#include <string>

#include "gtest/gtest.h"
#include "tests/unit/socks/feeding.h"
#include "userspace/socks/socks5.h"

namespace lattice::socks {
namespace {

struct GoodCase {
  const char* name;
  std::string header;
  std::string target;
};

class GoodDatagram : public ::testing::TestWithParam<GoodCase> {};

TEST_P(GoodDatagram, IsSplitAndEveryShorterHeaderRefused) {
  for (const std::string& payload : {std::string(), std::string(1, '\0'), std::string(65000, 'x')}) {
    const std::string datagram = GetParam().header + payload;
    const auto parsed = ParseUdp(BytesOf(datagram));
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(parsed->target.ToString(), GetParam().target);
    EXPECT_EQ(parsed->payload, BytesOf(payload));
    EXPECT_EQ(parsed->payload.data(), BytesOf(datagram).data() + GetParam().header.size());
  }
  for (size_t cut = 0; cut < GetParam().header.size(); ++cut) {
    const std::string less = GetParam().header.substr(0, cut);
    EXPECT_FALSE(ParseUdp(BytesOf(less)).has_value()) << cut;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, GoodDatagram,
    ::testing::Values(
        GoodCase{"Ipv4", Raw("\x00\x00\x00\x01\xc0\x00\x02\x07\x00\x35"), "192.0.2.7:53"},
        GoodCase{"Ipv6",
                 Raw("\x00\x00\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x35"),
                 "[2001:db8::1]:53"},
        GoodCase{"Name",
                 Raw("\x00\x00\x00\x03\x0b"
                     "example.com\x00\x35"),
                 "example.com:53"},
        GoodCase{"AddressAsName",
                 Raw("\x00\x00\x00\x03\x08"
                     "10.0.0.1\x00\x35"),
                 "10.0.0.1:53"},
        GoodCase{"ReservedNotZero", Raw("\xff\xff\x00\x01\xc0\x00\x02\x07\x00\x35"), "192.0.2.7:53"}),
    [](const auto& test) { return test.param.name; });

struct BadCase {
  const char* name;
  std::string datagram;
};

class BadDatagram : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadDatagram, IsRefused) {
  EXPECT_FALSE(ParseUdp(BytesOf(GetParam().datagram)).has_value());
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadDatagram,
    ::testing::Values(BadCase{"FirstFragment", Raw("\x00\x00\x01\x01\xc0\x00\x02\x07\x00\x35hello")},
                      BadCase{"LastFragment", Raw("\x00\x00\x82\x01\xc0\x00\x02\x07\x00\x35hello")},
                      BadCase{"AddressTypeZero", Raw("\x00\x00\x00\x00\xc0\x00\x02\x07\x00\x35hello")},
                      BadCase{"AddressTypeTwo", Raw("\x00\x00\x00\x02\xc0\x00\x02\x07\x00\x35hello")},
                      BadCase{"PortZero", Raw("\x00\x00\x00\x01\xc0\x00\x02\x07\x00\x00hello")},
                      BadCase{"PortZeroOfName", Raw("\x00\x00\x00\x03\x01"
                                                    "a\x00\x00hello")},
                      BadCase{"EmptyName", Raw("\x00\x00\x00\x03\x00\x00\x35hello")},
                      BadCase{"BadName", Raw("\x00\x00\x00\x03\x03"
                                             "a b\x00\x35hello")}),
    [](const auto& test) { return test.param.name; });

TEST(UdpHeader, OfWhatCameFromAnEndReadsBackAsIt) {
  for (const char* address : {"192.0.2.1", "2001:db8::1", "0.0.0.0", "::"}) {
    const Endpoint from{.address = IpAddress::Parse(address).value(), .port = 0xfe35};
    const std::string header = EncodeUdpHeader(from);
    const auto parsed = ParseUdp(BytesOf(header));
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(parsed->target.ToString(), from.ToString());
    EXPECT_TRUE(parsed->payload.empty());
    EXPECT_EQ(header.size(), from.address.is_v4() ? 10u : 22u);
  }
  EXPECT_EQ(EncodeUdpHeader({.address = IpAddress::Parse("192.0.2.1").value(), .port = 53}),
            Raw("\x00\x00\x00\x01\xc0\x00\x02\x01\x00\x35"));
}

}  // namespace
}  // namespace lattice::socks
