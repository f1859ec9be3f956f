#include "tools/lattice/wg_metrics.h"

#include "absl/memory/memory.h"
#include "userspace/base/status.h"
#include "userspace/wireguard/aead.h"

namespace lattice::cli {
namespace {

using metrics::Collection;
using metrics::Type;

struct Families {
  explicit Families(metrics::Registry& registry)
      : info(registry.Declare(Type::kGauge, "lattice_wg_info",
                              "1, with what is in use: the cipher's implementation, segmentation by the kernel.",
                              {"cipher", "udp_gso", "udp_gro", "tun_offload"})),
        peers(registry.Declare(Type::kGauge, "lattice_wg_peers", "Peers by whether packets can be sent at once.",
                               {"session"})),
        sealed(registry.Declare(Type::kCounter, "lattice_wg_packets_out_total",
                                "Packets of this host, by what became of them.", {"result"})),
        received(registry.Declare(Type::kCounter, "lattice_wg_datagrams_in_total",
                                  "Datagrams that came, by what became of them.", {"result"})),
        dropped(registry.Declare(Type::kCounter, "lattice_wg_dropped_packets_total",
                                 "Packets lost beside the engine, by where.", {"where"})),
        sessions(registry.Declare(Type::kCounter, "lattice_wg_sessions_total", "Sessions begun.")),
        given_up(registry.Declare(Type::kCounter, "lattice_wg_handshakes_given_up_total",
                                  "Handshakes without an answer for 90 seconds.")) {}

  void Collect(tunnel::TunInterface& interface, Collection& out) const;

  metrics::FamilyId info, peers, sealed, received, dropped, sessions, given_up;
};

std::string OnOff(bool on) {
  return on ? "on" : "off";
}

void Families::Collect(tunnel::TunInterface& interface, Collection& out) const {
  const tunnel::Tunnel& tunnel = interface.tunnel();
  const tunnel::UdpSocket& udp = tunnel.socket();
  out.Set(info,
          {wireguard::Aead::Name(wireguard::Aead::Best()), OnOff(udp.sends_segments()), OnOff(udp.receives_segments()),
           OnOff(interface.device().offloads())},
          1);
  const auto& counters = udp.counters();
  out.Count(dropped, {"udp_receive_overflow"}, counters.overflowed);
  out.Count(dropped, {"udp_send_too_big"}, counters.too_big);
  out.Count(dropped, {"udp_send_refused"}, counters.unreachable);
  out.Count(dropped, {"udp_send_full"}, tunnel.counters().dropped_full);
  out.Count(dropped, {"no_private_key"}, tunnel.counters().dropped_no_key);
  out.Count(dropped, {"tun_malformed"}, interface.device().counters().malformed);
  out.Count(dropped, {"tun_refused"}, interface.device().counters().refused);
  if (tunnel.device() == nullptr) return;
  const wireguard::DeviceCounters& engine = tunnel.device()->counters();
  for (size_t i = 0; i < wireguard::kSealResults; ++i) {
    if (static_cast<wireguard::SealResult>(i) == wireguard::SealResult::kBatchFull) continue;  // it comes again
    out.Count(sealed, {std::string(wireguard::Name(static_cast<wireguard::SealResult>(i)))}, engine.sealed[i]);
  }
  for (size_t i = 0; i < wireguard::kReceiveResults; ++i) {
    out.Count(received, {std::string(wireguard::Name(static_cast<wireguard::ReceiveResult>(i)))}, engine.received[i]);
  }
  out.Count(dropped, {"no_session"}, engine.staged_dropped);
  out.Count(sessions, {}, engine.sessions);
  out.Count(given_up, {}, engine.handshakes_given_up);
  int live = 0, all = 0;
  for (const wireguard::PeerStatus& peer : tunnel.device()->Peers()) {
    ++all;
    live += peer.has_session ? 1 : 0;
  }
  out.Set(peers, {"yes"}, live);
  out.Set(peers, {"no"}, all - live);
}

}  // namespace

absl::StatusOr<std::unique_ptr<WgMetrics>> WgMetrics::Serve(EventLoop& loop, const std::string& address,
                                                            tunnel::TunInterface& interface) {
  auto metrics = absl::WrapUnique(new WgMetrics());
  LATTICE_ASSIGN_OR_RETURN(metrics->server_,
                           http::Server::Create(loop, {.address = address, .flag = "--metrics-addr"}));
  metrics->registry_.AddCollector(
      [families = Families(metrics->registry_), &interface](Collection& out) { families.Collect(interface, out); });
  metrics->server_->Handle("GET", "/metrics", [registry = &metrics->registry_](const http::Request&) {
    http::Response response = http::Response::Text(registry->Render());
    response.content_type = metrics::kContentType;
    return response;
  });
  return metrics;
}

}  // namespace lattice::cli
