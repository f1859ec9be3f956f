#include "userspace/base/ip.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace lattice {
namespace {

using ::testing::HasSubstr;

struct AddressCase {
  const char* text;
  const char* want;  // printed; nullptr: refused
  bool v4;
};

class IpAddressText : public ::testing::TestWithParam<AddressCase> {};

TEST_P(IpAddressText, ParsesAndPrints) {
  const auto address = IpAddress::Parse(GetParam().text);
  if (GetParam().want == nullptr) {
    EXPECT_TRUE(absl::IsInvalidArgument(address.status())) << GetParam().text;
    EXPECT_THAT(std::string(address.status().message()), HasSubstr("is not an IP address"));
    return;
  }
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->ToString(), GetParam().want);
  EXPECT_EQ(address->is_v4(), GetParam().v4);
  EXPECT_EQ(*IpAddress::Parse(address->ToString()), *address);
}

INSTANTIATE_TEST_SUITE_P(Good, IpAddressText,
                         ::testing::Values(AddressCase{"192.0.2.1", "192.0.2.1", true},
                                           AddressCase{"0.0.0.0", "0.0.0.0", true},
                                           AddressCase{"255.255.255.255", "255.255.255.255", true},
                                           AddressCase{"2001:db8::1", "2001:db8::1", false},
                                           AddressCase{"2001:DB8:0:0:0:0:0:1", "2001:db8::1", false},
                                           AddressCase{"::", "::", false}, AddressCase{"::1", "::1", false},
                                           AddressCase{"fe80::1:0:0:1", "fe80::1:0:0:1", false},
                                           // RFC 5952 4.2.2: one group of zeros is not shortened.
                                           AddressCase{"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", false},
                                           // An IPv4-mapped address is the IPv4 address.
                                           AddressCase{"::ffff:192.0.2.1", "192.0.2.1", true},
                                           AddressCase{"::ffff:c000:201", "192.0.2.1", true}));

INSTANTIATE_TEST_SUITE_P(
    Bad, IpAddressText,
    ::testing::Values(AddressCase{""}, AddressCase{" "}, AddressCase{"192.0.2"}, AddressCase{"192.0.2.256"},
                      AddressCase{"192.0.2.1.1"}, AddressCase{"192.0.2.01"}, AddressCase{"0x7f.0.0.1"},
                      AddressCase{"192.0.2.1 "}, AddressCase{" 192.0.2.1"}, AddressCase{"192.0.2.1:80"},
                      AddressCase{"192.0.2.1/32"}, AddressCase{"192.0.2.-1"}, AddressCase{":"}, AddressCase{":::"},
                      AddressCase{"1::2::3"}, AddressCase{"2001:db8::g"}, AddressCase{"2001:db8::12345"},
                      AddressCase{"1:2:3:4:5:6:7"}, AddressCase{"1:2:3:4:5:6:7:8:9"}, AddressCase{"[::1]"},
                      AddressCase{"fe80::1%eth0"}, AddressCase{"localhost"}));

TEST(IpAddress, RefusesTextAfterANul) {
  EXPECT_FALSE(IpAddress::Parse(absl::string_view("192.0.2.1\0x", 11)).ok());
}

TEST(IpAddress, IsBuiltFromBytesAndNumbers) {
  EXPECT_EQ(IpAddress::FromV4(0xc0000201).ToString(), "192.0.2.1");
  EXPECT_EQ(IpAddress::FromV4({192, 0, 2, 1}).v4_host_order(), 0xc0000201u);
  const IpAddress address = *IpAddress::Parse("2001:db8::ff");
  EXPECT_EQ(IpAddress::FromBytes(address.bytes().data()), address);
  EXPECT_EQ(address.bytes()[15], 0xff);
  EXPECT_EQ(IpAddress().ToString(), "::");
}

TEST(IpAddress, IsOrderedByItsBytes) {
  const std::set<IpAddress> set = {*IpAddress::Parse("192.0.2.2"), *IpAddress::Parse("::1"),
                                   *IpAddress::Parse("192.0.2.1"), *IpAddress::Parse("2001:db8::"),
                                   *IpAddress::Parse("192.0.2.1")};
  std::string order;
  for (const IpAddress& address : set) order += address.ToString() + " ";
  EXPECT_EQ(order, "::1 192.0.2.1 192.0.2.2 2001:db8:: ");
}

struct PrefixCase {
  const char* text;
  const char* want;  // printed; nullptr: refused
  bool host_bits;
};

class IpPrefixText : public ::testing::TestWithParam<PrefixCase> {};

TEST_P(IpPrefixText, ParsesMasksAndPrints) {
  bool host_bits = !GetParam().host_bits;
  const auto prefix = IpPrefix::Parse(GetParam().text, &host_bits);
  if (GetParam().want == nullptr) {
    EXPECT_TRUE(absl::IsInvalidArgument(prefix.status())) << GetParam().text;
    return;
  }
  ASSERT_TRUE(prefix.ok()) << prefix.status();
  EXPECT_EQ(prefix->ToString(), GetParam().want);
  EXPECT_EQ(host_bits, GetParam().host_bits);
  EXPECT_EQ(*IpPrefix::Parse(prefix->ToString()), *prefix);
}

INSTANTIATE_TEST_SUITE_P(
    Good, IpPrefixText,
    ::testing::Values(PrefixCase{"192.0.2.0/24", "192.0.2.0/24"}, PrefixCase{"192.0.2.1/24", "192.0.2.0/24", true},
                      PrefixCase{"192.0.2.1", "192.0.2.1/32"}, PrefixCase{"192.0.2.1/32", "192.0.2.1/32"},
                      PrefixCase{"0.0.0.0/0", "0.0.0.0/0"}, PrefixCase{"255.255.255.255/0", "0.0.0.0/0", true},
                      PrefixCase{"255.255.255.255/1", "128.0.0.0/1", true},
                      PrefixCase{"255.255.255.255/31", "255.255.255.254/31", true}, PrefixCase{"::/0", "::/0"},
                      PrefixCase{"2001:db8::/32", "2001:db8::/32"}, PrefixCase{"2001:db8::1/32", "2001:db8::/32", true},
                      PrefixCase{"2001:db8::1", "2001:db8::1/128"},
                      PrefixCase{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127",
                                 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", true},
                      PrefixCase{"ffff::/3", "e000::/3", true}));

INSTANTIATE_TEST_SUITE_P(Bad, IpPrefixText,
                         ::testing::Values(PrefixCase{""}, PrefixCase{"/24"}, PrefixCase{"192.0.2.0/"},
                                           PrefixCase{"192.0.2.0/33"}, PrefixCase{"192.0.2.0/-1"},
                                           PrefixCase{"192.0.2.0/+8"}, PrefixCase{"192.0.2.0/ 8"},
                                           PrefixCase{"192.0.2.0/8 "}, PrefixCase{"192.0.2.0/8/8"},
                                           PrefixCase{"192.0.2.0/0x8"}, PrefixCase{"192.0.2.0/255.255.255.0"},
                                           PrefixCase{"192.0.2.0/99999999999999999999"}, PrefixCase{"2001:db8::/129"},
                                           PrefixCase{"192.0.2/24"},
                                           // Mapped, so of the IPv4 family: at most 32.
                                           PrefixCase{"::ffff:192.0.2.0/120"}));

TEST(IpPrefix, NamesWhatWasExpected) {
  EXPECT_THAT(std::string(IpPrefix::Parse("192.0.2.0/33").status().message()),
              HasSubstr("\"33\" of \"192.0.2.0/33\": expected 0 to 32"));
  EXPECT_THAT(std::string(IpPrefix::Parse("::/129").status().message()), HasSubstr("expected 0 to 128"));
}

struct ContainsCase {
  const char* prefix;
  const char* address;
  bool want;
};

TEST(IpPrefix, ContainsItsOwnFamilyOnly) {
  for (const ContainsCase& c :
       {ContainsCase{"192.0.2.0/24", "192.0.2.0", true}, ContainsCase{"192.0.2.0/24", "192.0.2.255", true},
        ContainsCase{"192.0.2.0/24", "192.0.3.0", false}, ContainsCase{"192.0.2.0/24", "192.0.1.255", false},
        ContainsCase{"192.0.2.128/25", "192.0.2.127", false}, ContainsCase{"0.0.0.0/0", "255.255.255.255", true},
        ContainsCase{"0.0.0.0/0", "::1", false}, ContainsCase{"::/0", "192.0.2.1", false},
        ContainsCase{"::/0", "2001:db8::1", true}, ContainsCase{"2001:db8::/33", "2001:db8:8000::", false},
        ContainsCase{"2001:db8::1/128", "2001:db8::1", true}, ContainsCase{"2001:db8::1/128", "2001:db8::2", false}}) {
    EXPECT_EQ(IpPrefix::Parse(c.prefix)->Contains(*IpAddress::Parse(c.address)), c.want)
        << c.address << " in " << c.prefix;
  }
}

TEST(IpPrefix, CountsItsLengthIn128BitsToo) {
  EXPECT_EQ(IpPrefix::Parse("192.0.2.0/24")->length128(), 120);
  EXPECT_EQ(IpPrefix::Parse("0.0.0.0/0")->length128(), 96);
  EXPECT_EQ(IpPrefix::Parse("2001:db8::/32")->length128(), 32);
  EXPECT_TRUE(IpPrefix::Parse("0.0.0.0/0")->is_v4());
  EXPECT_FALSE(IpPrefix().is_v4());
  EXPECT_EQ(IpPrefix().ToString(), "::/0");
  EXPECT_NE(*IpPrefix::Parse("0.0.0.0/0"), IpPrefix());
}

}  // namespace
}  // namespace lattice
