#include "userspace/wireguard/wg_quick.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lattice::wireguard {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kKey[] = "YAnz5TF+lXXJte14tji3zlMNftqK3sM6Tc3XrrQ1fWU=";
constexpr char kOther[] = "6AnZ5TF+lXXJte14tji3zlMNftqK3sM6Tc3XrrQ1fWU=";

std::string Interface(const std::string& lines) {
  return absl::StrCat("[Interface]\nPrivateKey = ", kKey, "\n", lines);
}
std::string Peer(const std::string& lines) {
  return absl::StrCat(Interface("[Peer]\nPublicKey = "), kOther, "\n", lines);
}

TEST(WgQuick, ReadsAWholeFile) {
  const auto config = ParseWgQuick(absl::StrCat(
      "# made by hand\r\n[Interface]\r\n  PrivateKey=", kKey,
      "  # a secret\nAddress = 10.0.0.2/24, fd00::2/64\nADDRESS = 10.0.1.2\nDNS = 10.0.0.1, fd00::1, example.com\n"
      "MTU = 1380\nListenPort = 51820\nTable = off\n\n[peer]\npublickey = ",
      kKey, "\nPresharedKey = ", kOther,
      "\nAllowedIPs = 0.0.0.0/0, ::/0\nAllowedIPs = 10.0.0.7/24\nEndpoint = [2001:db8::1]:51820\n"
      "PersistentKeepalive = 25\n[Peer]\nPublicKey = ",
      kOther, "\nEndpoint = vpn.example.com:443\nAllowedIPs =\nPersistentKeepalive = off"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->private_key == PrivateKey::Parse(kKey).value());
  EXPECT_THAT(config->addresses, ElementsAre(WgQuickAddress{IpAddress::Parse("10.0.0.2").value(), 24},
                                             WgQuickAddress{IpAddress::Parse("fd00::2").value(), 64},
                                             WgQuickAddress{IpAddress::Parse("10.0.1.2").value(), 32}));
  EXPECT_THAT(config->dns, ElementsAre(IpAddress::Parse("10.0.0.1").value(), IpAddress::Parse("fd00::1").value()));
  EXPECT_THAT(config->dns_search, ElementsAre("example.com"));
  EXPECT_EQ(config->mtu, 1380u);
  EXPECT_EQ(config->listen_port, 51820);
  EXPECT_EQ(config->table, "off");
  ASSERT_EQ(config->peers.size(), 2u);
  const WgQuickPeer& first = config->peers[0];
  EXPECT_EQ(first.public_key, PublicKey::Parse(kKey).value());
  EXPECT_TRUE(first.preshared_key == PresharedKey::Parse(kOther).value());
  EXPECT_THAT(first.allowed_ips, ElementsAre(IpPrefix::Parse("0.0.0.0/0").value(), IpPrefix::Parse("::/0").value(),
                                             IpPrefix::Parse("10.0.0.0/24").value()));
  EXPECT_EQ(first.endpoint, (HostPort{.host = "2001:db8::1", .port = 51820}));
  EXPECT_EQ(first.persistent_keepalive_s, 25);
  const WgQuickPeer& second = config->peers[1];
  EXPECT_TRUE(second.preshared_key.is_zero());
  EXPECT_THAT(second.allowed_ips, IsEmpty());
  EXPECT_EQ(second.endpoint, (HostPort{.host = "vpn.example.com", .port = 443}));
  EXPECT_EQ(second.persistent_keepalive_s, 0);
}

TEST(WgQuick, TheLeastFile) {
  const auto config = ParseWgQuick(Interface(""));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->mtu, std::nullopt);
  EXPECT_EQ(config->listen_port, std::nullopt);
  EXPECT_THAT(config->peers, IsEmpty());
}

struct BadCase {
  const char* name;
  std::string text;
  const char* message;  // a part of it
};

class BadWgQuick : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadWgQuick, NamesLineAndRemedy) {
  const auto config = ParseWgQuick(GetParam().text);
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(config.status().message()), HasSubstr(GetParam().message));
  // Nothing of a secret.
  EXPECT_THAT(std::string(config.status().message()), Not(HasSubstr("nz5TF")));
}

INSTANTIATE_TEST_SUITE_P(
    Named, BadWgQuick,
    ::testing::Values(
        BadCase{"Empty", "", "no [Interface] section"},
        BadCase{"OnlyAPeer", absl::StrCat("[Peer]\nPublicKey=", kKey), "no [Interface] section"},
        BadCase{"NoSection", "MTU = 1420", "line 1: before any section"},
        BadCase{"NoPrivateKey", "[Interface]\nMTU = 1420\n[Peer]",
                "line 3: the [Interface] of line 1 has no PrivateKey"},
        BadCase{"NoPublicKey", Interface("[Peer]\n"), "the [Peer] of line 3 has no PublicKey"},
        BadCase{"TwoInterfaces", Interface("[Interface]"), "line 3: a second [Interface]: the first is at line 1"},
        BadCase{"OtherSection", Interface("[WireGuard]"), "line 3: \"[WireGuard]\": expected [Interface] or [Peer]"},
        BadCase{"NoEquals", Interface("YAnz5TF"), "line 3: expected a line"},
        BadCase{"ABareKey", Interface(kKey), "line 3: expected a line"},
        BadCase{"UnknownInInterface", Interface("Jc = 4"), "line 3: Jc: unknown in [Interface]"},
        BadCase{"UnknownInPeer", Peer("Address = 10.0.0.1"), "line 5: Address: unknown in [Peer]"},
        BadCase{"PostUp", Interface("PostUp = iptables -A FORWARD"), "line 3: PostUp: commands of wg-quick files"},
        BadCase{"PreDown", Interface("predown = true"), "line 3: predown: commands of wg-quick files"},
        BadCase{"SaveConfig", Interface("SaveConfig = true"), "only read"},
        BadCase{"FwMark", Interface("FwMark = 1"), "not marked"},
        BadCase{"ShortKey", "[Interface]\nPrivateKey = YAnz5TF+lXXJ", "line 2: PrivateKey: not a key"},
        BadCase{"KeyWithSpace", "[Interface]\nPrivateKey = YAnz5TF+lXXJte14tji3zlMN tqK3sM6Tc3XrrQ1fWU=", "not a key"},
        BadCase{"ZeroKey", "[Interface]\nPrivateKey = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "all zeros"},
        BadCase{"PrivateKeyTwice", Interface(absl::StrCat("PrivateKey = ", kOther)), "given twice, first at line 2"},
        BadCase{"SamePeerTwice", Peer(absl::StrCat("[Peer]\nPublicKey = ", kOther)), "the peer of line 4 has it"},
        BadCase{"SmallMtu", Interface("MTU = 575"), "line 3: MTU: \"575\": expected a number from 576 to 65535"},
        BadCase{"SignedMtu", Interface("MTU = +1420"), "expected a number"},
        BadCase{"LargePort", Interface("ListenPort = 65536"), "expected a number from 0 to 65535"},
        BadCase{"TableWord", Interface("Table = main"), "auto, off or the number"},
        BadCase{"AddressName", Interface("Address = here"), "an address such as"},
        BadCase{"AddressLength", Interface("Address = 10.0.0.1/33"), "a prefix length of at most 32"},
        BadCase{"EmptyWord", Interface("Address = 10.0.0.1/24,,"), "an address such as"},
        BadCase{"DnsWithBlank", Interface("DNS = 10.0.0.1 10.0.0.2"), "a name server"},
        BadCase{"AllowedIpsText", Peer("AllowedIPs = all"), "line 5: AllowedIPs: \"all\": expected a prefix"},
        BadCase{"AllowedIpsLength", Peer("AllowedIPs = ::/129"), "expected a prefix"},
        BadCase{"EndpointNoPort", Peer("Endpoint = vpn.example.com"), "HOST:PORT"},
        BadCase{"EndpointPortZero", Peer("Endpoint = 192.0.2.1:0"), "HOST:PORT"},
        BadCase{"EndpointBareV6", Peer("Endpoint = 2001:db8::1:51820"), "HOST:PORT"},
        BadCase{"EndpointV4InBrackets", Peer("Endpoint = [192.0.2.1]:51820"), "HOST:PORT"},
        BadCase{"EndpointOpenBracket", Peer("Endpoint = [2001:db8::1:51820"), "HOST:PORT"},
        BadCase{"EndpointBadName", Peer("Endpoint = a b:51820"), "HOST:PORT"},
        BadCase{"KeepaliveWord", Peer("PersistentKeepalive = yes"), "expected a number from 0 to 65535"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace lattice::wireguard
