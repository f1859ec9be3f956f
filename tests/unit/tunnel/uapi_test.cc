#include "userspace/tunnel/uapi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"

namespace lattice::tunnel {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kPrivate(64, '7');
const std::string kPeer = absl::StrCat(std::string(62, 'a'), "0b");
const std::string kOther = absl::StrCat(std::string(62, 'c'), "0d");

class Nothing : public Inside {
  void OnPacket(const wireguard::PublicKey&, absl::Span<uint8_t>) override {}
  void OnBurstEnd() override {}
  void OnWritable() override {}
};

class UapiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = *EventLoop::Create();
    auto tunnel = Tunnel::Create(*loop_, RealClock(), {}, inside_);
    ASSERT_TRUE(tunnel.ok()) << tunnel.status();
    tunnel_ = *std::move(tunnel);
  }
  std::string Set(absl::string_view lines) { return AnswerUapi(absl::StrCat("set=1\n", lines, "\n"), *tunnel_); }
  std::string Get() { return AnswerUapi("get=1\n\n", *tunnel_); }

  Nothing inside_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Tunnel> tunnel_;
};

TEST_F(UapiTest, WhatIsSetIsToldAgain) {
  EXPECT_EQ(Set(absl::StrCat("private_key=", kPrivate, "\npublic_key=", kPeer, "\npreshared_key=", kOther,
                             "\nendpoint=192.0.2.7:51820\npersistent_keepalive_interval=25\nreplace_allowed_ips=true\n"
                             "allowed_ip=10.42.0.7/32\nallowed_ip=2001:db8::/32\n")),
            "errno=0\n\n");
  const std::string state = Get();
  for (const std::string& line :
       {absl::StrCat("private_key=", kPrivate), absl::StrCat("listen_port=", tunnel_->port()),
        absl::StrCat("public_key=", kPeer), absl::StrCat("preshared_key=", kOther),
        std::string("endpoint=192.0.2.7:51820"), std::string("persistent_keepalive_interval=25"),
        std::string("allowed_ip=10.42.0.7/32"), std::string("allowed_ip=2001:db8::/32"),
        std::string("last_handshake_time_sec=0"), std::string("rx_bytes=0"), std::string("errno=0\n")}) {
    EXPECT_THAT(state, HasSubstr(absl::StrCat(line, "\n")));
  }
}

TEST_F(UapiTest, APeerIsChangedInPartAndRemoved) {
  Set(absl::StrCat("private_key=", kPrivate, "\npublic_key=", kPeer,
                   "\nendpoint=192.0.2.7:51820\nallowed_ip=10.42.0.7/32\npersistent_keepalive_interval=25\n"));
  EXPECT_EQ(Set(absl::StrCat("public_key=", kPeer, "\nallowed_ip=10.42.0.8/32\n")), "errno=0\n\n");
  EXPECT_THAT(Get(), HasSubstr("allowed_ip=10.42.0.7/32\nallowed_ip=10.42.0.8/32\n"));
  EXPECT_THAT(Get(), HasSubstr("endpoint=192.0.2.7:51820\n"));
  EXPECT_THAT(Get(), HasSubstr("persistent_keepalive_interval=25\n"));
  Set(absl::StrCat("public_key=", kPeer, "\nreplace_allowed_ips=true\nallowed_ip=10.42.0.9/32\n"));
  EXPECT_THAT(Get(), Not(HasSubstr("10.42.0.7")));
  Set(absl::StrCat("public_key=", kPeer, "\nremove=true\n"));
  EXPECT_THAT(Get(), Not(HasSubstr("public_key")));
  EXPECT_EQ(Set(absl::StrCat("public_key=", kPeer, "\nremove=true\n")), "errno=0\n\n") << "one that is not there";
}

TEST_F(UapiTest, AnUpdateAddsNoPeer) {
  Set(absl::StrCat("public_key=", kPeer, "\nupdate_only=true\nallowed_ip=10.42.0.7/32\n"));
  EXPECT_THAT(Get(), Not(HasSubstr("public_key")));
}

TEST_F(UapiTest, APrefixLeavesThePeerThatHadIt) {
  Set(absl::StrCat("private_key=", kPrivate, "\npublic_key=", kPeer, "\nallowed_ip=10.42.0.7/32\n"));
  Set(absl::StrCat("public_key=", kOther, "\nallowed_ip=10.42.0.7/32\n"));
  const std::string state = Get();
  EXPECT_EQ(state.find("allowed_ip"), state.rfind("allowed_ip"));
  EXPECT_GT(state.find("allowed_ip"), state.find(kOther));
}

TEST_F(UapiTest, ReplacePeersTakesTheOthersAway) {
  Set(absl::StrCat("private_key=", kPrivate, "\npublic_key=", kPeer, "\n"));
  Set(absl::StrCat("replace_peers=true\npublic_key=", kOther, "\n"));
  EXPECT_THAT(Get(), Not(HasSubstr(kPeer)));
  EXPECT_THAT(Get(), HasSubstr(kOther));
}

TEST_F(UapiTest, AnotherPrivateKeyKeepsThePeers) {
  Set(absl::StrCat("private_key=", kPrivate, "\npublic_key=", kPeer, "\nallowed_ip=10.42.0.7/32\n"));
  const wireguard::PublicKey before = tunnel_->device()->public_key();
  EXPECT_EQ(Set(absl::StrCat("private_key=", kOther, "\n")), "errno=0\n\n");
  EXPECT_NE(tunnel_->device()->public_key(), before);
  EXPECT_EQ(tunnel_->device()->Peers().size(), 1u);
  EXPECT_THAT(Get(), HasSubstr("allowed_ip=10.42.0.7/32\n"));
}

TEST_F(UapiTest, APortInUseIsAnErrorAndTheOldOneStays) {
  const auto taken = UdpSocket::Open({});
  ASSERT_TRUE(taken.ok());
  const uint16_t before = tunnel_->port();
  EXPECT_EQ(Set(absl::StrCat("listen_port=", (*taken)->port(), "\n")), absl::StrCat("errno=", EADDRINUSE, "\n\n"));
  EXPECT_EQ(tunnel_->port(), before);
}

struct BadCase {
  std::string name;
  std::string lines;
};

class BadUapiTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadUapiTest, IsRefusedByItsLineWithoutTheKey) {
  const auto change = ParseUapiChange(GetParam().lines);
  ASSERT_FALSE(change.ok());
  EXPECT_THAT(std::string(change.status().message()), HasSubstr("line "));
  EXPECT_THAT(std::string(change.status().message()), Not(HasSubstr(kPrivate.substr(0, 20))));
}

const std::string kAPeer = absl::StrCat("public_key=", kPeer, "\n");

INSTANTIATE_TEST_SUITE_P(
    Table, BadUapiTest,
    ::testing::Values(BadCase{"ShortKey", absl::StrCat("private_key=", kPrivate.substr(1), "\n")},
                      BadCase{"LongKey", absl::StrCat("private_key=", kPrivate, "7\n")},
                      BadCase{"NoHexKey", absl::StrCat("private_key=", kPrivate.substr(1), "g\n")},
                      BadCase{"PortTooLarge", "listen_port=65536\n"}, BadCase{"PortWithSign", "listen_port=+1\n"},
                      BadCase{"PortWithBlank", "listen_port= 1\n"}, BadCase{"PortEmpty", "listen_port=\n"},
                      BadCase{"MarkTooLarge", "fwmark=4294967296\n"}, BadCase{"UnknownKey", "colour=red\n"},
                      BadCase{"NoValue", "listen_port\n"}, BadCase{"ReplaceFalse", "replace_peers=false\n"},
                      BadCase{"PeerKeyBeforePeer", "endpoint=192.0.2.1:1\n"},
                      BadCase{"DeviceKeyInPeer", kAPeer + "listen_port=1\n"},
                      BadCase{"EndpointWithoutPort", kAPeer + "endpoint=192.0.2.1\n"},
                      BadCase{"EndpointIsAName", kAPeer + "endpoint=example.com:1\n"},
                      BadCase{"EndpointV6Bare", kAPeer + "endpoint=2001:db8::1:1\n"},
                      BadCase{"EndpointV4InBrackets", kAPeer + "endpoint=[192.0.2.1]:1\n"},
                      BadCase{"EndpointZoneIsAName", kAPeer + "endpoint=[fe80::1%eth0]:1\n"},
                      BadCase{"AllowedIpNoAddress", kAPeer + "allowed_ip=ten/8\n"},
                      BadCase{"AllowedIpTooLong", kAPeer + "allowed_ip=10.0.0.0/33\n"},
                      BadCase{"KeepaliveTooLong", kAPeer + "persistent_keepalive_interval=65536\n"},
                      BadCase{"Version", kAPeer + "protocol_version=2\n"}),
    [](const auto& test) { return test.param.name; });

TEST_F(UapiTest, OtherRequestsAreRefused) {
  for (const char* request : {"get=2\n\n", "\n\n", "hello\n\n", "set=1\n\n\n"}) {
    EXPECT_EQ(AnswerUapi(request, *tunnel_) == "errno=0\n\n", std::string(request) == "set=1\n\n\n") << request;
  }
}

}  // namespace
}  // namespace lattice::tunnel
