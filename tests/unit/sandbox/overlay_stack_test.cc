// Two hosts in one event loop: real UDP on loopback, our WireGuard and our TCP/IP on both ends.
#include "userspace/sandbox/overlay_stack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>

namespace lattice::sandbox {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr uint16_t kPort = 7000;

IpAddress Overlay(uint8_t number) {
  return IpAddress::FromV4({10, 42, 0, number});
}

// Byte `at` of the stream that is sent.
uint8_t ByteAt(uint64_t at) {
  return static_cast<uint8_t>(at * 2654435761 >> 13);
}

class Host : public netstack::Application {
 public:
  explicit Host(uint8_t number) : number_(number) {}

  void Start(EventLoop& loop) {
    auto created = OverlayStack::Create(loop, RealClock(), {}, {.addresses = {Overlay(number_)}}, *this);
    ASSERT_TRUE(created.ok()) << created.status();
    overlay = *std::move(created);
    wireguard::PrivateKey key;
    std::fill_n(key.data(), key.size(), number_);
    ASSERT_TRUE(overlay->tunnel().SetPrivateKey(key).ok());
  }
  void Join(const Host& other) {
    ASSERT_TRUE(overlay->tunnel()
                    .SetPeer({.public_key = other.overlay->tunnel().device()->public_key(),
                              .endpoint = Endpoint{IpAddress::FromV4({127, 0, 0, 1}), other.overlay->tunnel().port()},
                              .allowed_ips = {IpPrefix(Overlay(other.number_), 32)}})
                    .ok());
  }

  void OnTcp(netstack::TcpConnection& connection, uint8_t events) override { on_tcp(connection, events); }
  void OnAccept(netstack::TcpListener& listener) override { on_accept(listener); }
  void OnUdp(netstack::UdpSocket& socket) override { on_udp(socket); }

  std::unique_ptr<OverlayStack> overlay;
  std::function<void(netstack::TcpConnection&, uint8_t)> on_tcp;
  std::function<void(netstack::TcpListener&)> on_accept;
  std::function<void(netstack::UdpSocket&)> on_udp;

 private:
  const uint8_t number_;
};

class OverlayStackTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = *EventLoop::Create();
    a_.Start(*loop_);
    b_.Start(*loop_);
    a_.Join(b_);
    b_.Join(a_);
    loop_->AddOnce(kPatience, [this] {
      late_ = true;
      loop_->Stop();
    });
  }
  void Run() {
    ASSERT_TRUE(loop_->Run().ok());
    ASSERT_FALSE(late_);
  }

  std::unique_ptr<EventLoop> loop_;
  Host a_{1}, b_{2};
  bool late_ = false;
};

TEST_F(OverlayStackTest, AStreamArrivesByteByByte) {
  constexpr uint64_t kBytes = 8 << 20;
  uint64_t sent = 0, got = 0, wrong = 0;
  bool shut = false;
  ASSERT_TRUE(b_.overlay->stack().Listen({Overlay(2), kPort}, 16).ok());
  b_.on_accept = [](netstack::TcpListener& listener) { ASSERT_NE(listener.Accept(), nullptr); };
  b_.on_tcp = [&](netstack::TcpConnection& connection, uint8_t) {
    std::array<iovec, 8> data;
    size_t pieces;
    while ((pieces = connection.ReceiveData(absl::MakeSpan(data))) > 0) {
      size_t bytes = 0;
      for (size_t i = 0; i < pieces; ++i) {
        const auto* at = static_cast<const uint8_t*>(data[i].iov_base);
        for (size_t j = 0; j < data[i].iov_len; ++j) wrong += at[j] != ByteAt(got + bytes + j);
        bytes += data[i].iov_len;
      }
      connection.Consume(bytes);
      got += bytes;
    }
    if (!connection.receive_finished()) return;
    connection.Close();
    loop_->Stop();
  };
  a_.on_tcp = [&](netstack::TcpConnection& connection, uint8_t events) {
    if ((events & netstack::kEnded) != 0) return;
    std::array<iovec, 8> space;
    size_t pieces;
    while (sent < kBytes && (pieces = connection.SendSpace(absl::MakeSpan(space))) > 0) {
      size_t bytes = 0;
      for (size_t i = 0; i < pieces; ++i) {
        auto* at = static_cast<uint8_t*>(space[i].iov_base);
        const size_t part = std::min<uint64_t>(space[i].iov_len, kBytes - sent - bytes);
        for (size_t j = 0; j < part; ++j) at[j] = ByteAt(sent + bytes + j);
        bytes += part;
      }
      connection.Commit(bytes);
      sent += bytes;
    }
    if (sent == kBytes && !std::exchange(shut, true)) connection.ShutdownWrite();
  };
  ASSERT_TRUE(a_.overlay->stack().Connect({Overlay(2), kPort}, {}).ok());
  a_.overlay->Turn();
  Run();
  EXPECT_EQ(got, kBytes);
  EXPECT_EQ(wrong, 0u);
}

TEST_F(OverlayStackTest, NobodyListensIsToldAtOnce) {
  auto reason = netstack::CloseReason::kNone;
  a_.on_tcp = [&](netstack::TcpConnection& connection, uint8_t events) {
    ASSERT_EQ(events, netstack::kEnded);
    reason = connection.reason();
    connection.Close();
    loop_->Stop();
  };
  ASSERT_TRUE(a_.overlay->stack().Connect({Overlay(2), kPort}, {}).ok());
  a_.overlay->Turn();
  Run();
  EXPECT_EQ(reason, netstack::CloseReason::kRefused);
}

TEST_F(OverlayStackTest, ADatagramIsAnswered) {
  std::string answer;
  const auto server = b_.overlay->stack().Bind({Overlay(2), kPort});
  ASSERT_TRUE(server.ok()) << server.status();
  b_.on_udp = [&](netstack::UdpSocket& socket) {
    const auto datagram = socket.Front();
    ASSERT_TRUE(datagram.has_value());
    EXPECT_EQ(socket.Send(datagram->payload, datagram->remote), netstack::UdpResult::kOk);
    socket.Pop();
  };
  a_.on_udp = [&](netstack::UdpSocket& socket) {
    const auto datagram = socket.Front();
    ASSERT_TRUE(datagram.has_value());
    answer.assign(datagram->payload.begin(), datagram->payload.end());
    socket.Pop();
    loop_->Stop();
  };
  const auto client = a_.overlay->stack().Bind({Overlay(1), 0});
  ASSERT_TRUE(client.ok()) << client.status();
  const std::string question = "who is it";
  EXPECT_EQ((*client)->Send({reinterpret_cast<const uint8_t*>(question.data()), question.size()}, {Overlay(2), kPort}),
            netstack::UdpResult::kOk);
  a_.overlay->Turn();
  Run();
  EXPECT_EQ(answer, question);
}

}  // namespace
}  // namespace lattice::sandbox
