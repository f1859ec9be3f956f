#include "tools/lattice/sandbox_metrics.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/time/clock.h"
#include "userspace/base/status.h"
#include "userspace/wireguard/aead.h"

namespace lattice::cli {
namespace {

using metrics::Collection;
using metrics::FamilyId;
using metrics::Type;

struct Families {
  explicit Families(metrics::Registry& registry)
      : info(registry.Declare(Type::kGauge, "lattice_sandbox_info", "1, with the cipher in use.", {"cipher"})),
        flows(registry.Declare(Type::kCounter, "lattice_sandbox_flows_total", "Flows, by what became of them.",
                               {"result"})),
        live(registry.Declare(Type::kGauge, "lattice_sandbox_flows", "Flows now.")),
        bytes(registry.Declare(Type::kCounter, "lattice_sandbox_bytes_total", "Payload of flows that ended.",
                               {"direction"})),
        clients(registry.Declare(Type::kGauge, "lattice_sandbox_proxy_clients", "Clients of the proxy now.")),
        requests(registry.Declare(Type::kCounter, "lattice_sandbox_proxy_connections_total",
                                  "Connections to the proxy, and those refused before they asked for a target.",
                                  {"result"})),
        generation(registry.Declare(Type::kGauge, "lattice_sandbox_policy_generation", "Of the policy in force.")),
        rules(registry.Declare(Type::kGauge, "lattice_sandbox_policy_rules", "In force.", {"direction"})),
        handshake(registry.Declare(Type::kGauge, "lattice_sandbox_last_handshake_age_seconds",
                                   "Since the newest handshake with any peer; none yet: not there.")),
        peers(registry.Declare(Type::kGauge, "lattice_sandbox_peers", "Peers, by whether they have a session.",
                               {"session"})),
        tunnel(registry.Declare(Type::kCounter, "lattice_sandbox_tunnel_bytes_total", "Of WireGuard, with all peers.",
                                {"direction"})),
        retransmitted(registry.Declare(Type::kCounter, "lattice_sandbox_tcp_segments_retransmitted_total",
                                       "By the overlay's TCP.")),
        buffered(registry.Declare(Type::kGauge, "lattice_sandbox_buffered_bytes", "Held by the overlay's TCP.")),
        written(registry.Declare(Type::kCounter, "lattice_sandbox_audit_records_written_total",
                                 "Records in the audit file.")),
        lost(registry.Declare(Type::kCounter, "lattice_sandbox_audit_records_lost_total",
                              "Records that are not in the audit file, or left it unpublished.", {"stage"})),
        queued(registry.Declare(Type::kGauge, "lattice_sandbox_audit_queued_records", "On their way to the file.")),
        published(registry.Declare(Type::kCounter, "lattice_sandbox_audit_records_published_total",
                                   "Records that NATS has stored.")),
        spool(registry.Declare(Type::kGauge, "lattice_sandbox_audit_spool_records", "In the file, not published.")),
        nats(registry.Declare(Type::kGauge, "lattice_sandbox_nats_connected", "1 while connected.")) {}

  void Collect(const SandboxView& view, Collection& out) const;
  void CollectTunnel(const SandboxView& view, Collection& out) const;

  FamilyId info, flows, live, bytes, clients, requests, generation, rules, handshake, peers, tunnel, retransmitted,
      buffered, written, lost, queued, published, spool, nats;
};

void Families::CollectTunnel(const SandboxView& view, Collection& out) const {
  const netstack::Stack& stack = view.pod.overlay().stack();
  out.Count(retransmitted, {}, stack.counters().segments_retransmitted);
  out.Set(buffered, {}, static_cast<double>(stack.buffered_bytes()));
  if (const auto last = view.pod.last_handshake(); last.has_value())
    out.Set(handshake, {}, absl::ToDoubleSeconds(absl::Now() - *last));
  const wireguard::Device* const device = view.pod.overlay().tunnel().device();
  if (device == nullptr) return;
  int with = 0, without = 0;
  uint64_t rx = 0, tx = 0;
  for (const wireguard::PeerStatus& peer : device->Peers()) {
    ++(peer.has_session ? with : without);
    rx += peer.rx_bytes;
    tx += peer.tx_bytes;
  }
  out.Set(peers, {"yes"}, with);
  out.Set(peers, {"no"}, without);
  out.Count(tunnel, {"in"}, rx);
  out.Count(tunnel, {"out"}, tx);
}

void Families::Collect(const SandboxView& view, Collection& out) const {
  out.Set(info, {std::string(wireguard::Aead::Name(wireguard::Aead::Best()))}, 1);
  const auto& counters = view.pod.log().counters();
  out.Count(flows, {"started"}, counters.started);
  out.Count(flows, {"ended"}, counters.ended);
  out.Count(flows, {"denied"}, counters.denied);
  out.Count(flows, {"failed"}, counters.failed);
  out.Count(flows, {"revoked"}, counters.revoked);
  out.Set(live, {}, static_cast<double>(view.pod.log().live()));
  out.Count(bytes, {"out"}, counters.bytes_out);
  out.Count(bytes, {"in"}, counters.bytes_in);
  if (const sandbox::ProxyServer* const proxy = view.pod.proxy(); proxy != nullptr) {
    out.Set(clients, {}, static_cast<double>(proxy->sessions()));
    out.Count(requests, {"accepted"}, proxy->accepted());
    out.Count(requests, {"refused"}, proxy->refused());
  }
  out.Set(generation, {}, view.filter.generation());
  out.Set(rules, {"egress"}, static_cast<double>(view.filter.rules().egress.size()));
  out.Set(rules, {"ingress"}, static_cast<double>(view.filter.rules().ingress.size()));
  CollectTunnel(view, out);
  out.Count(written, {}, view.writer.counters().written);
  for (const absl::string_view stage : audit::LossCounters::kStages)
    out.Count(lost, {std::string(stage)}, view.writer.counters().lost.Of(stage));
  out.Set(queued, {}, static_cast<double>(view.writer.queued()));
  if (view.publisher == nullptr) return;
  out.Count(published, {}, view.publisher->counters().published);
  out.Set(spool, {}, static_cast<double>(view.publisher->counters().spool_records));
  out.Set(nats, {}, view.sink->is_connected() ? 1 : 0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SandboxMetrics>> SandboxMetrics::Serve(EventLoop& loop, const std::string& address,
                                                                      SandboxView view) {
  auto metrics = absl::WrapUnique(new SandboxMetrics());
  LATTICE_ASSIGN_OR_RETURN(metrics->server_,
                           http::Server::Create(loop, {.address = address, .flag = "--metrics-addr"}));
  metrics->registry_.AddCollector(
      [families = Families(metrics->registry_), view](Collection& out) { families.Collect(view, out); });
  metrics->server_->Handle("GET", "/metrics", [registry = &metrics->registry_](const http::Request&) {
    http::Response response = http::Response::Text(registry->Render());
    response.content_type = metrics::kContentType;
    return response;
  });
  metrics->server_->Handle("GET", "/healthz", [](const http::Request&) { return http::Response::Text("ok\n"); });
  metrics->server_->Handle("GET", "/readyz", [not_ready = view.not_ready](const http::Request&) {
    const std::string why = not_ready();
    return why.empty() ? http::Response::Text("ok\n") : http::Response::Error(503, why);
  });
  return metrics;
}

}  // namespace lattice::cli
