// What /metrics of latticed shows. The loop's thread.
#ifndef USERSPACE_CONTROL_SERVER_SERVER_METRICS_H_
#define USERSPACE_CONTROL_SERVER_SERVER_METRICS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "userspace/control/api/audit_api.h"
#include "userspace/control/audit/ingest.h"
#include "userspace/control/server/nats_child.h"
#include "userspace/control/server/nats_users.h"
#include "userspace/control/server/retention.h"
#include "userspace/metrics/registry.h"

namespace lattice::control {

struct MetricSources {
  const Ingest& ingest;
  const Retention& retention;
  const AuditApi& api;
  const NatsChild* nats_child;  // null, and the next: NATS of others
  const NatsUsers* nats_users;
  const std::atomic<uint64_t>& gaps;
  const std::atomic<uint64_t>& lost;
  std::function<bool()> ready;
};

class ServerMetrics {
 public:
  // All of `sources` must outlive it.
  explicit ServerMetrics(MetricSources sources);
  std::string Render() { return registry_.Render(); }

 private:
  void AddIngest();
  void AddOthers();
  void Counter(const char* name, const char* help, std::function<uint64_t()> value);
  void Gauge(const char* name, const char* help, std::function<double()> value);

  const MetricSources sources_;
  metrics::Registry registry_;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_SERVER_SERVER_METRICS_H_
