#include "userspace/control/server/server_metrics.h"

#include <utility>

#include "userspace/base/version.h"

namespace lattice::control {

using metrics::Type;

ServerMetrics::ServerMetrics(MetricSources sources) : sources_(std::move(sources)) {
  AddIngest();
  AddOthers();
}

void ServerMetrics::Counter(const char* name, const char* help, std::function<uint64_t()> value) {
  const metrics::FamilyId family = registry_.Declare(Type::kCounter, name, help);
  registry_.AddCollector(
      [family, value = std::move(value)](metrics::Collection& out) { out.Count(family, {}, value()); });
}

void ServerMetrics::Gauge(const char* name, const char* help, std::function<double()> value) {
  const metrics::FamilyId family = registry_.Declare(Type::kGauge, name, help);
  registry_.AddCollector(
      [family, value = std::move(value)](metrics::Collection& out) { out.Set(family, {}, value()); });
}

// received = stored + duplicates + rejected + heads, and what is being stored now.
void ServerMetrics::AddIngest() {
  const IngestCounters& counters = sources_.ingest.counters();
  const struct {
    const char* name;
    const char* help;
    const std::atomic<uint64_t>& value;
  } kCounters[] = {
      {"latticed_ingest_received_total", "Messages taken from the stream, those that came again included.",
       counters.received},
      {"latticed_ingest_redelivered_total", "Messages that had been given out before.", counters.redelivered},
      {"latticed_ingest_stored_total", "Records that are new in la_flow_events.", counters.stored},
      {"latticed_ingest_duplicates_total", "Records that were there already.", counters.duplicates},
      {"latticed_ingest_rejected_total", "Messages kept raw in la_flow_rejects.", counters.rejected},
      {"latticed_ingest_heads_total", "Heads and digests of audit files.", counters.heads},
      {"latticed_ingest_batches_total", "Transactions tried.", counters.batches},
      {"latticed_ingest_store_failures_total", "Transactions that the database did not take.", counters.store_failures},
      {"latticed_ingest_reconnects_total", "Times the connection to NATS was made again.", counters.reconnects},
      {"latticed_ingest_rewinds_total", "Times the stream went back and was read again from its beginning.",
       counters.rewinds},
  };
  for (const auto& counter : kCounters) {
    Counter(counter.name, counter.help, [&value = counter.value] { return value.load(); });
  }
  const Ingest& ingest = sources_.ingest;
  Gauge("latticed_nats_connected", "1: connected to NATS and reading the stream.",
        [&ingest] { return ingest.state().connected ? 1 : 0; });
  Gauge("latticed_stream_pending_messages", "Messages of the stream not yet given to any replica.", [&ingest] {
    const IngestState state = ingest.state();
    return state.stream.has_value() ? static_cast<double>(state.stream->consumer_pending) : 0;
  });
  Gauge("latticed_stream_messages", "Messages in the stream.", [&ingest] {
    const IngestState state = ingest.state();
    return state.stream.has_value() ? static_cast<double>(state.stream->messages) : 0;
  });
  Gauge("latticed_stream_bytes", "Size of the stream.", [&ingest] {
    const IngestState state = ingest.state();
    return state.stream.has_value() ? static_cast<double>(state.stream->bytes) : 0;
  });
}

void ServerMetrics::AddOthers() {
  const metrics::FamilyId build =
      registry_.Declare(Type::kGauge, "latticed_build_info", "1, with the version.", {"version"});
  registry_.AddCollector([build](metrics::Collection& out) { out.Set(build, {Version()}, 1); });
  Gauge("latticed_ready", "1: /readyz says ok.", [ready = sources_.ready] { return ready() ? 1 : 0; });
  const Retention& retention = sources_.retention;
  Counter("latticed_retention_deleted_total", "Records deleted for their age.",
          [&retention] { return retention.deleted(); });
  Counter("latticed_retention_failures_total", "Times deleting failed.", [&retention] { return retention.failures(); });
  Gauge("latticed_audit_gap_records", "Records of all nodes that are missing, and no loss record says why.",
        [&gaps = sources_.gaps] { return static_cast<double>(gaps.load()); });
  Gauge("latticed_audit_lost_records", "Records that loss records name.",
        [&lost = sources_.lost] { return static_cast<double>(lost.load()); });
  const AuditApi& api = sources_.api;
  Gauge("latticed_live_tails", "Clients of the live tail.",
        [&api] { return static_cast<double>(api.tail().clients()); });
  Counter("latticed_live_tails_cut_total", "Live tails cut because their client took nothing.",
          [&api] { return api.tail().cut(); });
  Gauge("latticed_exports", "Exports under way.", [&api] { return api.exports(); });
  if (sources_.nats_child == nullptr) return;
  Counter("latticed_nats_server_restarts_total", "Times latticed's own nats-server ended and was started again.",
          [child = sources_.nats_child] { return child->restarts(); });
  const NatsUsers* const users = sources_.nats_users;
  Gauge("latticed_nats_users", "Agents that have a user on latticed's own nats-server.",
        [users] { return static_cast<double>(users->agents()); });
  Counter("latticed_nats_reloads_total", "Times latticed's own nats-server was told of agents that came or went.",
          [users] { return users->reloads(); });
  Counter("latticed_nats_reload_failures_total",
          "Times it could not be told, or did not take it. Agents that came can't log in, those that went still can.",
          [users] { return users->failures(); });
}

}  // namespace lattice::control
