#include "userspace/tunnel/udp_socket.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <string>

namespace lattice::tunnel {
namespace {

const IpAddress kLoopback = IpAddress::FromV4({127, 0, 0, 1});
const IpAddress kLoopback6 = *IpAddress::Parse("::1");

struct Kind {
  std::string name;
  IpAddress address;
  bool offload;
};

class UdpSocketTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    for (auto* socket : {&a_, &b_}) {
      auto opened = UdpSocket::Open({.address = GetParam().address, .offload = GetParam().offload});
      ASSERT_TRUE(opened.ok()) << opened.status();
      *socket = *std::move(opened);
    }
    // A socket on all addresses of both families is reached at one of each.
    to_ = {GetParam().address == IpAddress() ? kLoopback : GetParam().address, b_->port()};
  }

  // All that waits at b, until `count` datagrams came.
  std::vector<std::string> Receive(size_t count) {
    std::vector<std::string> got;
    while (got.size() < count) {
      pollfd poll_fd{.fd = b_->fd(), .events = POLLIN};
      if (poll(&poll_fd, 1, 10000) != 1) break;
      const auto received = b_->Receive();
      EXPECT_TRUE(received.ok()) << received.status();
      for (const Received& group : *received) {
        EXPECT_EQ(group.peer.port, a_->port());
        for (size_t at = 0; at < group.bytes.size(); at += group.segment_bytes) {
          const auto one = group.bytes.subspan(at, group.segment_bytes);
          got.emplace_back(reinterpret_cast<const char*>(one.data()), one.size());
        }
      }
    }
    return got;
  }

  std::unique_ptr<UdpSocket> a_;
  std::unique_ptr<UdpSocket> b_;
  Endpoint to_;
};

TEST_P(UdpSocketTest, GroupsArriveAsTheOutgoingTheyAre) {
  std::string bytes;
  std::vector<std::string> want;
  for (int i = 0; i < 30; ++i) {
    want.emplace_back(i == 29 ? 70 : 1400, static_cast<char>('a' + i));
    bytes += want.back();
  }
  const Outgoing group{to_, absl::MakeSpan(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()), 1400};
  EXPECT_EQ(a_->Send({group}), 1u);
  EXPECT_EQ(Receive(30), want);
  EXPECT_EQ(a_->counters().sent, 30u);
  EXPECT_EQ(b_->counters().received, 30u);
  EXPECT_EQ(a_->sends_segments(), GetParam().offload);
  EXPECT_EQ(a_->counters().send_calls, 1u);  // sendmmsg takes what is not segmented
}

TEST_P(UdpSocketTest, ManyGroupsGoInOneBatch) {
  std::vector<std::string> want;
  for (int i = 0; i < 70; ++i) want.emplace_back(100 + i, static_cast<char>('0' + i));
  std::vector<Outgoing> batch;
  for (std::string& one : want) {
    batch.push_back({to_, absl::MakeSpan(reinterpret_cast<uint8_t*>(one.data()), one.size()), one.size()});
  }
  EXPECT_EQ(a_->Send(batch), batch.size());
  EXPECT_EQ(Receive(70), want);
}

INSTANTIATE_TEST_SUITE_P(Kinds, UdpSocketTest,
                         testing::Values(Kind{"IPv4", kLoopback, true}, Kind{"IPv4Single", kLoopback, false},
                                         Kind{"IPv6", kLoopback6, true}, Kind{"IPv6Single", kLoopback6, false},
                                         Kind{"Both", IpAddress(), true}),
                         [](const auto& test) { return test.param.name; });

TEST(UdpSocketErrorTest, APortInUseIsNamed) {
  const auto first = UdpSocket::Open({.address = kLoopback});
  ASSERT_TRUE(first.ok());
  const auto second = UdpSocket::Open({.address = kLoopback, .port = (*first)->port()});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find(std::to_string((*first)->port())), std::string::npos);
}

TEST(UdpSocketErrorTest, WhatCanNotBeSentIsCountedAndTheRestGoes) {
  const auto socket = UdpSocket::Open({.address = kLoopback});
  const auto other = UdpSocket::Open({.address = kLoopback});
  ASSERT_TRUE(socket.ok() && other.ok());
  std::vector<uint8_t> huge(65520, 1);  // longer than a datagram of IPv4 can be
  std::vector<uint8_t> small(10, 2);
  const Outgoing batch[] = {{{kLoopback, (*other)->port()}, absl::MakeSpan(huge), huge.size()},
                            {{kLoopback, (*other)->port()}, absl::MakeSpan(small), small.size()}};
  Endpoint too_big;
  EXPECT_EQ((*socket)->Send(batch, &too_big), 2u);
  EXPECT_EQ((*socket)->counters().too_big, 1u);
  EXPECT_EQ(too_big.port, (*other)->port());
  EXPECT_EQ((*socket)->counters().sent, 1u);
}

TEST(UdpSocketErrorTest, AFullReceiverIsCounted) {
  const auto socket = UdpSocket::Open({.address = kLoopback, .offload = false});
  const auto slow = UdpSocket::Open({.address = kLoopback, .buffer_bytes = 4096, .offload = false});
  ASSERT_TRUE(socket.ok() && slow.ok());
  std::vector<uint8_t> bytes(1000, 1);
  const Outgoing one{{kLoopback, (*slow)->port()}, absl::MakeSpan(bytes), bytes.size()};
  for (int i = 0; i < 200; ++i) ASSERT_EQ((*socket)->Send({one}), 1u);
  // The count travels with the next datagram that gets in.
  ASSERT_TRUE((*slow)->Receive().ok());
  ASSERT_EQ((*socket)->Send({one}), 1u);
  ASSERT_TRUE((*slow)->Receive().ok());
  EXPECT_GT((*slow)->counters().overflowed, 0u);
  EXPECT_EQ((*slow)->counters().overflowed + (*slow)->counters().received, 201u);
}

}  // namespace
}  // namespace lattice::tunnel
