#include "tests/unit/wireguard/network.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace lattice::wireguard {
namespace {

int NumberOf(const Endpoint& at) {
  return static_cast<int>(at.address.v4_host_order() & 0xff);
}

std::vector<IpPrefix> AllowedOf(int number) {
  return {IpPrefix::Parse(absl::StrCat("10.0.0.", number, "/32")).value(),
          IpPrefix::Parse(absl::StrCat("fd00::", number, "/128")).value()};
}

}  // namespace

MessageType Datagram::type() const {
  MessageType type{};
  ClassifyMessage({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, &type);
  return type;
}

Node::Node(Network& network, const Endpoint& endpoint, const DeviceOptions& options)
    : private_key(options.private_key), at(endpoint), network_(network), options_(options) {
  Start();
}

void Node::Start() {
  auto device = Device::Create(options_, network_.clock, network_.random, *this);
  CHECK(device.ok()) << device.status();
  device_ = std::move(*device);
}

SealResult Node::SendPacket(const std::string& packet) {
  const Bytes bytes(reinterpret_cast<const uint8_t*>(packet.data()), packet.size());
  const SealResult result = device_->Seal(bytes, batch_, network_.now_ns());
  if (!batch_.empty()) Send(batch_.to(), batch_.bytes());
  batch_.Clear();
  return result;
}

ReceiveResult Node::Take(const Endpoint& from, std::string datagram) {
  return device_->ReceiveOne(from, {reinterpret_cast<uint8_t*>(datagram.data()), datagram.size()}, network_.now_ns());
}

void Node::Send(const Endpoint& to, absl::Span<const uint8_t> datagram) {
  network_.Transmit({.from = at, .to = to, .bytes = std::string(datagram.begin(), datagram.end())});
}

void Node::Deliver(const PublicKey&, absl::Span<uint8_t> packet) {
  delivered.emplace_back(packet.begin(), packet.end());
  if (on_deliver) on_deliver(delivered.back());
}

Node& Network::Add(int number, DeviceOptions options) {
  random.Fill(absl::MakeSpan(options.private_key.data(), options.private_key.size()));
  const Endpoint at{.address = IpAddress::FromV4(0xc0000200u + static_cast<uint32_t>(number)), .port = 51820};
  nodes_.push_back(std::make_unique<Node>(*this, at, options));
  return *nodes_.back();
}

void Network::Connect(Node& a, Node& b, const PresharedKey& preshared, uint16_t a_keepalive_s) {
  CHECK(b.device()
            .SetPeer({.public_key = a.key(), .preshared_key = preshared, .allowed_ips = AllowedOf(NumberOf(a.at))},
                     now_ns())
            .ok());
  CHECK(a.device()
            .SetPeer({.public_key = b.key(),
                      .preshared_key = preshared,
                      .endpoint = b.at,
                      .persistent_keepalive_s = a_keepalive_s,
                      .allowed_ips = AllowedOf(NumberOf(b.at))},
                     now_ns())
            .ok());
}

void Network::Transmit(const Datagram& datagram) {
  sent.push_back(datagram);
  if (passes && !passes(datagram)) return;
  const int copies = Fraction() < faults.loss ? 0 : Fraction() < faults.duplicate ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    const absl::Duration delay = faults.delay + Fraction() * faults.more_delay;
    under_way_.emplace(now_ns() + absl::ToInt64Nanoseconds(delay), datagram);
  }
}

void Network::Run(absl::Duration duration) {
  const int64_t end = now_ns() + absl::ToInt64Nanoseconds(duration);
  while (true) {
    int64_t next = under_way_.empty() ? kNever : under_way_.begin()->first;
    for (const auto& node : nodes_) next = std::min(next, node->device().next_deadline_ns());
    next = std::max(next, now_ns());
    if (next > end) break;
    clock.Advance(absl::Nanoseconds(next - now_ns()));
    while (!under_way_.empty() && under_way_.begin()->first <= now_ns()) {
      const Datagram datagram = under_way_.begin()->second;
      under_way_.erase(under_way_.begin());
      for (const auto& node : nodes_) {
        if (node->at == datagram.to) node->Take(datagram.from, datagram.bytes);
      }
    }
    for (const auto& node : nodes_) node->device().HandleTimers(now_ns());
  }
  clock.Advance(absl::Nanoseconds(end - now_ns()));
}

std::string Packet4(int from, int to, const std::string& text) {
  std::string packet(20, '\0');
  packet[0] = 0x45;
  packet[2] = static_cast<char>((20 + text.size()) >> 8);
  packet[3] = static_cast<char>(20 + text.size());
  packet[12] = packet[16] = 10;
  packet[15] = static_cast<char>(from);
  packet[19] = static_cast<char>(to);
  return packet + text;
}

std::string Packet6(int from, int to, const std::string& text) {
  std::string packet(40, '\0');
  packet[0] = 0x60;
  packet[4] = static_cast<char>(text.size() >> 8);
  packet[5] = static_cast<char>(text.size());
  packet[8] = packet[24] = static_cast<char>(0xfd);
  packet[23] = static_cast<char>(from);
  packet[39] = static_cast<char>(to);
  return packet + text;
}

}  // namespace lattice::wireguard
