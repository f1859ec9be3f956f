#include "tests/integration/wireguard_interop_fixture.h"

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "glog/logging.h"
#include "tests/testing/command.h"
#include "tests/testing/wait_until.h"
#include "userspace/base/clock.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::testing {
namespace {

using wireguard::PrivateKey;
using wireguard::PublicKey;

constexpr uint16_t kGoPort = 51820;
constexpr char kLoopback[] = "127.0.0.1";

uint16_t Checksum(const std::string& data, uint32_t sum = 0) {
  for (size_t i = 0; i < data.size(); ++i) {
    sum += static_cast<uint32_t>(static_cast<uint8_t>(data[i])) << (i % 2 == 0 ? 8 : 0);
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

void Put16(std::string& data, size_t at, uint16_t value) {
  data[at] = static_cast<char>(value >> 8);
  data[at + 1] = static_cast<char>(value);
}

std::string AddressBytes(const IpAddress& address) {
  const auto& bytes = address.bytes();
  return std::string(reinterpret_cast<const char*>(bytes.data()) + (address.is_v4() ? 12 : 0),
                     address.is_v4() ? 4 : 16);
}

// An ICMP or ICMPv6 message of `type` around `rest` (identifier, sequence, data).
std::string IcmpPacket(const IpAddress& source, const IpAddress& destination, uint8_t type, const std::string& rest) {
  std::string icmp = std::string({static_cast<char>(type), 0, 0, 0}) + rest;
  const std::string addresses = AddressBytes(source) + AddressBytes(destination);
  std::string header;
  if (source.is_v4()) {
    Put16(icmp, 2, Checksum(icmp));
    header = std::string({0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0}) + addresses;
    Put16(header, 2, static_cast<uint16_t>(header.size() + icmp.size()));
    Put16(header, 10, Checksum(header));
  } else {
    std::string pseudo = addresses + std::string({0, 0, 0, 0, 0, 0, 0, 58});
    Put16(pseudo, 34, static_cast<uint16_t>(icmp.size()));
    Put16(icmp, 2, Checksum(pseudo + icmp));
    header = std::string({0x60, 0, 0, 0, 0, 0, 58, 64}) + addresses;
    Put16(header, 4, static_cast<uint16_t>(icmp.size()));
  }
  return header + icmp;
}

bool IsV4(const std::string& packet) {
  return static_cast<uint8_t>(packet[0]) >> 4 == 4;
}
size_t IcmpAt(const std::string& packet) {
  return IsV4(packet) ? 20 : 40;
}

sockaddr_in SocketAddressOf(const Endpoint& endpoint) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  address.sin_addr.s_addr = htonl(endpoint.address.v4_host_order());
  return address;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WireguardGo>> WireguardGo::Create() {
  auto go = absl::WrapUnique(new WireguardGo());
  LATTICE_ASSIGN_OR_RETURN(go->ns_, NetNamespace::Create("wg-go"));
  // Each wireguard-go of the machine has /run/wireguard for itself.
  LATTICE_RETURN_IF_ERROR(MakeDirectories("/run/wireguard", 0755));
  LATTICE_ASSIGN_OR_RETURN(go->process_, ChildProcess::Start({.argv = {"unshare", "--mount", "sh", "-c",
                                                                       "mount -t tmpfs tmpfs /run/wireguard && "
                                                                       "exec wireguard-go --foreground wg0"},
                                                              .env = {{"LOG_LEVEL", "verbose"}},
                                                              .netns = go->ns_->path()}));
  const std::string socket = absl::StrCat("/proc/", go->process_->pid(), "/root/run/wireguard/wg0.sock");
  struct stat ignored;
  if (!WaitUntil([&] { return ::stat(socket.c_str(), &ignored) == 0 || !go->process_->running(); }) ||
      !go->process_->running()) {
    return absl::InternalError(absl::StrCat("wireguard-go did not start: ", go->process_->err()));
  }
  PrivateKey key;
  wireguard::SystemRandom().Fill(absl::MakeSpan(key.data(), key.size()));
  go->public_key_ = wireguard::PublicOf(key);
  PublicKey text;  // for its base64
  std::copy(key.data(), key.data() + key.size(), text.bytes.begin());
  LATTICE_RETURN_IF_ERROR(
      go->Wg({"set", "wg0", "listen-port", absl::StrCat(kGoPort), "private-key", "/dev/stdin"}, text.ToString())
          .status());
  LATTICE_RETURN_IF_ERROR(
      go->ns_->Ip("addr add 10.42.0.10/24 dev wg0\naddr add fd42::10/64 dev wg0 nodad\nlink set wg0 mtu 1420 up"));
  return go;
}

Endpoint WireguardGo::endpoint() const {
  return {.address = IpAddress::Parse(kLoopback).value(), .port = kGoPort};
}

absl::StatusOr<std::string> WireguardGo::Wg(std::vector<std::string> argv, const std::string& input) const {
  std::vector<std::string> all = {"nsenter", "--target", absl::StrCat(process_->pid()), "--net", "--mount", "--", "wg"};
  all.insert(all.end(), argv.begin(), argv.end());
  CommandResult result = RunCommand(std::move(all), {.input = input});
  LATTICE_RETURN_IF_ERROR(result.status());
  return std::string(absl::StripAsciiWhitespace(result.out));
}

std::vector<std::string> WireguardGo::PeerLine(const PublicKey& peer) const {
  const auto dump = Wg({"show", "wg0", "dump"});
  if (!dump.ok()) return {};
  for (const absl::string_view line : absl::StrSplit(*dump, '\n')) {
    std::vector<std::string> fields = absl::StrSplit(line, '\t');
    if (fields.size() == 8 && fields[0] == peer.ToString()) return fields;
  }
  return {};
}

InteropDriver::InteropDriver(const std::string& address, const PathFaults& faults)
    : address_(IpAddress::Parse(address).value()), faults_(faults), random_(faults.seed) {}

absl::StatusOr<std::unique_ptr<InteropDriver>> InteropDriver::Create(const NetNamespace& ns, const std::string& address,
                                                                     const PathFaults& faults,
                                                                     wireguard::DeviceOptions options) {
  auto driver = absl::WrapUnique(new InteropDriver(address, faults));
  wireguard::SystemRandom().Fill(absl::MakeSpan(options.private_key.data(), options.private_key.size()));
  LATTICE_ASSIGN_OR_RETURN(driver->device_,
                           wireguard::Device::Create(options, RealClock(), wireguard::SystemRandom(), *driver));
  LATTICE_RETURN_IF_ERROR(driver->Rebind(ns));
  return driver;
}

absl::Status InteropDriver::Rebind(const NetNamespace& ns) {
  UniqueFd fd = ns.Socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  if (!fd.ok()) return ErrnoStatus(errno, "socket");
  sockaddr_in address = SocketAddressOf({.address = IpAddress::Parse(kLoopback).value()});
  socklen_t length = sizeof address;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return ErrnoStatus(errno, "bind");
  }
  socket_ = std::move(fd);
  port_ = ntohs(address.sin_port);
  return absl::OkStatus();
}

bool InteropDriver::RunUntil(const std::function<bool()>& done, absl::Duration deadline) {
  const absl::Time end = absl::Now() + deadline;
  while (!done()) {
    if (absl::Now() > end) return false;
    pollfd ready{socket_.get(), POLLIN, 0};
    // Also `done` may depend on what others do.
    constexpr int kPollMs = 10;
    ::poll(&ready, 1, kPollMs);
    ReceiveAll();
    if (!answers_.empty()) SendPackets(std::exchange(answers_, {}));
    const int64_t now_ns = RealClock().MonotonicNs();
    if (device_->next_deadline_ns() <= now_ns) device_->HandleTimers(now_ns);
  }
  return true;
}

void InteropDriver::SendPackets(const std::vector<std::string>& packets) {
  for (const std::string& packet : packets) {
    const wireguard::Bytes bytes(reinterpret_cast<const uint8_t*>(packet.data()), packet.size());
    while (device_->Seal(bytes, batch_, RealClock().MonotonicNs()) == wireguard::SealResult::kBatchFull) FlushBatch();
  }
  FlushBatch();
}

void InteropDriver::FlushBatch() {
  if (batch_.empty()) return;
  SendOnPath(batch_.to(), batch_.bytes(), batch_.segment_bytes());
  batch_.Clear();
}

void InteropDriver::Send(const Endpoint& to, absl::Span<const uint8_t> datagram) {
  SendOnPath(to, datagram, datagram.size());
}

void InteropDriver::SendOnPath(const Endpoint& to, absl::Span<const uint8_t> datagrams, size_t segment_bytes) {
  sockaddr_in address = SocketAddressOf(to);
  const auto send = [&](const uint8_t* data, size_t size, uint16_t segment) {
    iovec piece{const_cast<uint8_t*>(data), size};  // NOLINT: iovec's, only read
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))] = {};
    msghdr message{.msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &piece, .msg_iovlen = 1};
    if (segment != 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_UDP;
      header->cmsg_type = UDP_SEGMENT;
      header->cmsg_len = CMSG_LEN(sizeof segment);
      std::memcpy(CMSG_DATA(header), &segment, sizeof segment);
    }
    // ECONNREFUSED tells of an earlier datagram to a port that was closed.
    PCHECK(::sendmsg(socket_.get(), &message, 0) >= 0 || errno == ECONNREFUSED || errno == EAGAIN);
  };
  if (faults_.loss + faults_.duplicate + faults_.reorder == 0) {
    return send(datagrams.data(), datagrams.size(), static_cast<uint16_t>(segment_bytes));
  }
  for (; !datagrams.empty(); datagrams.remove_prefix(std::min(segment_bytes, datagrams.size()))) {
    const auto one = datagrams.first(std::min(segment_bytes, datagrams.size()));
    ThroughPath(std::string(one.begin(), one.end()), &held_out_, [&](const std::string& datagram) {
      send(reinterpret_cast<const uint8_t*>(datagram.data()), datagram.size(), 0);
    });
  }
}

void InteropDriver::ReceiveAll() {
  while (true) {
    std::string datagram(65536, '\0');
    sockaddr_in from{};
    socklen_t length = sizeof from;
    const ssize_t n =
        ::recvfrom(socket_.get(), datagram.data(), datagram.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (n < 0 && errno == ECONNREFUSED) continue;
    if (n < 0) return;
    datagram.resize(static_cast<size_t>(n));
    const Endpoint source{.address = IpAddress::FromV4(ntohl(from.sin_addr.s_addr)), .port = ntohs(from.sin_port)};
    ThroughPath(std::move(datagram), &held_in_, [&](std::string one) {
      device_->ReceiveOne(source, {reinterpret_cast<uint8_t*>(one.data()), one.size()}, RealClock().MonotonicNs());
    });
  }
}

bool InteropDriver::Chance(double probability) {
  return probability > 0 && std::uniform_real_distribution<double>(0, 1)(random_) < probability;
}

void InteropDriver::ThroughPath(std::string datagram, std::deque<std::string>* held,
                                const std::function<void(std::string)>& pass) {
  if (Chance(faults_.loss)) return;
  if (Chance(faults_.reorder)) return held->push_back(std::move(datagram));
  if (Chance(faults_.duplicate)) pass(datagram);
  pass(std::move(datagram));
  for (std::string& late : std::exchange(*held, {})) pass(std::move(late));
}

void InteropDriver::Deliver(const PublicKey&, absl::Span<uint8_t> packet) {
  const std::string text(packet.begin(), packet.end());
  const size_t at = IcmpAt(text);
  const bool v4 = IsV4(text);
  const bool icmp = text.size() >= at + 8 && text[v4 ? 9 : 6] == (v4 ? 1 : 58);
  if (icmp && static_cast<uint8_t>(text[at]) == (v4 ? 8 : 128)) {
    const std::string from = text.substr(v4 ? 12 : 8, v4 ? 4 : 16);
    const auto* bytes = reinterpret_cast<const uint8_t*>(from.data());
    const IpAddress source =
        v4 ? IpAddress::FromV4({bytes[0], bytes[1], bytes[2], bytes[3]}) : IpAddress::FromBytes(bytes);
    answers_.push_back(IcmpPacket(address_, source, v4 ? 0 : 129, text.substr(at + 4)));
    ++requests_answered_;
  } else {
    delivered_.push_back(text);
  }
}

std::string EchoRequestPacket(const std::string& source, const std::string& destination, uint16_t sequence,
                              size_t bytes) {
  const IpAddress from = IpAddress::Parse(source).value();
  std::string rest(4 + bytes, 'x');
  Put16(rest, 0, 0x4c41);
  Put16(rest, 2, sequence);
  return IcmpPacket(from, IpAddress::Parse(destination).value(), from.is_v4() ? 8 : 128, rest);
}

bool IsEchoReply(const std::string& packet, uint16_t sequence) {
  const size_t at = IcmpAt(packet);
  if (packet.size() < at + 8 || static_cast<uint8_t>(packet[at]) != (IsV4(packet) ? 0 : 129)) return false;
  const auto* bytes = reinterpret_cast<const uint8_t*>(packet.data());
  return (bytes[at + 6] << 8 | bytes[at + 7]) == sequence;
}

}  // namespace lattice::testing
