#include "tests/testing/wireguard_pair.h"

#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tests/testing/command.h"
#include "tests/testing/wait_until.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::testing {
namespace {

constexpr char kNodeLines[] =
    "addr add 10.42.0.1/16 dev wg0\n"
    "addr add fd42::1/64 dev wg0 nodad\n"
    "link set wg0 mtu 1420 up\n"
    "route add 198.51.100.0/24 dev wg0\n"
    "route add 203.0.113.0/24 dev wg0\n"
    "route add 2001:db8:f::/48 dev wg0";
constexpr char kPeerLines[] =
    "addr add 10.42.0.10/16 dev wg0\n"
    "addr add 10.42.0.20/16 dev wg0\n"
    "addr add fd42::10/64 dev wg0 nodad\n"
    "addr add fd42::20/64 dev wg0 nodad\n"
    "link set wg0 mtu 1420 up\n"
    "route add local 198.51.100.0/24 dev lo\n"
    "route add local 203.0.113.0/24 dev lo\n"
    "route add local 2001:db8:f::/48 dev lo";

absl::StatusOr<std::string> Wg(std::vector<std::string> argv, const std::string& input) {
  CommandResult result = RunCommand(std::move(argv), {.input = input});
  LATTICE_RETURN_IF_ERROR(result.status());
  return std::string(absl::StripAsciiWhitespace(result.out));
}

}  // namespace

absl::StatusOr<std::unique_ptr<WireguardPair>> WireguardPair::Create() {
  auto pair = absl::WrapUnique(new WireguardPair());
  LATTICE_RETURN_IF_ERROR(pair->CreateEnds());
  LATTICE_RETURN_IF_ERROR(ConnectByVeth(pair->node(), pair->peer(), "net0", {"192.0.2.1/24", "2001:db8::1/64"},
                                        {"192.0.2.2/24", "2001:db8::2/64"}));
  LATTICE_RETURN_IF_ERROR(StartWireguard(pair->node_, pair->peer_));
  LATTICE_RETURN_IF_ERROR(StartWireguard(pair->peer_, pair->node_));
  LATTICE_RETURN_IF_ERROR(pair->WaitUntilUsable());
  return pair;
}

absl::Status WireguardPair::CreateEnds() {
  node_.address_lines = kNodeLines;
  node_.underlay = "192.0.2.1";
  peer_.address_lines = kPeerLines;
  peer_.underlay = "192.0.2.2";
  for (End* end : {&node_, &peer_}) {
    LATTICE_ASSIGN_OR_RETURN(end->ns, NetNamespace::Create(end == &node_ ? "node" : "peer"));
    // Or the kernel's own packets come in at any time between those that a test counts.
    LATTICE_RETURN_IF_ERROR(
        RunCommand(end->ns->Inside({"sysctl", "-qw", "net.ipv6.conf.default.router_solicitations=0"})).status());
    LATTICE_ASSIGN_OR_RETURN(end->private_key, Wg({"wg", "genkey"}, ""));
    LATTICE_ASSIGN_OR_RETURN(end->public_key, Wg({"wg", "pubkey"}, end->private_key));
  }
  return absl::OkStatus();
}

absl::Status WireguardPair::StartWireguard(End& end, const End& other) {
  // wireguard-go's control socket is /run/wireguard/wg0.sock whatever the network namespace: each end
  // gets that folder for itself.
  LATTICE_RETURN_IF_ERROR(MakeDirectories("/run/wireguard", 0755));
  LATTICE_ASSIGN_OR_RETURN(
      end.wireguard,
      ChildProcess::Start({.argv = {"unshare", "--mount", "sh", "-c",
                                    "mount -t tmpfs tmpfs /run/wireguard && exec wireguard-go --foreground wg0"},
                           .env = {{"LOG_LEVEL", "error"}},
                           .netns = end.ns->path()}));
  const std::string pid = absl::StrCat(end.wireguard->pid());
  const std::string socket = absl::StrCat("/proc/", pid, "/root/run/wireguard/wg0.sock");
  struct stat ignored;
  if (!WaitUntil([&] { return ::stat(socket.c_str(), &ignored) == 0 || !end.wireguard->running(); }) ||
      !end.wireguard->running()) {
    return absl::InternalError(absl::StrCat("wireguard-go did not start: ", end.wireguard->err()));
  }
  LATTICE_RETURN_IF_ERROR(Wg({"nsenter", "--target", pid, "--net", "--mount", "--", "wg", "set", "wg0", "listen-port",
                              "51820", "private-key", "/dev/stdin", "peer", other.public_key, "allowed-ips",
                              "0.0.0.0/0,::/0", "endpoint", absl::StrCat(other.underlay, ":51820")},
                             end.private_key)
                              .status());
  return end.ns->Ip(end.address_lines);
}

absl::Status WireguardPair::WaitUntilUsable() const {
  for (const char* address : {"10.42.0.10", "fd42::10"}) {
    CommandResult ping;
    const auto answers = [&] {
      ping = RunCommand(node().Inside({"ping", "-n", "-c1", "-W1", address}));
      return ping.ok();
    };
    if (!WaitUntil(answers)) return Annotate(ping.status(), "the tunnel does not come up");
  }
  return absl::OkStatus();
}

absl::Status WireguardPair::RemoveNodeDevice() {
  node_.wireguard = nullptr;  // its TUN goes with it
  if (!WaitUntil([&] { return !RunCommand({"ip", "-n", node().name(), "link", "show", "wg0"}).ok(); })) {
    return absl::InternalError("wg0 is still there after the end of wireguard-go");
  }
  return absl::OkStatus();
}

absl::Status WireguardPair::RestoreNodeDevice() {
  return StartWireguard(node_, peer_);
}

absl::StatusOr<LinkCounters> ReadLinkCounters(const NetNamespace& ns, const std::string& device) {
  CommandResult shown = RunCommand({"ip", "-n", ns.name(), "-s", "-j", "link", "show", device});
  LATTICE_RETURN_IF_ERROR(shown.status());
  const nlohmann::json links = nlohmann::json::parse(shown.out, nullptr, /*allow_exceptions=*/false);
  if (!links.is_array() || links.empty()) return absl::InternalError(absl::StrCat("ip -s -j link: ", shown.out));
  const nlohmann::json& rx = links[0]["stats64"]["rx"];
  const nlohmann::json& tx = links[0]["stats64"]["tx"];
  const auto number = [](const nlohmann::json& from, const char* key) { return from.value(key, uint64_t{0}); };
  return LinkCounters{.tx_packets = number(tx, "packets"),
                      .tx_bytes = number(tx, "bytes"),
                      .tx_dropped = number(tx, "dropped"),
                      .rx_packets = number(rx, "packets"),
                      .rx_bytes = number(rx, "bytes"),
                      .rx_dropped = number(rx, "dropped")};
}

}  // namespace lattice::testing
