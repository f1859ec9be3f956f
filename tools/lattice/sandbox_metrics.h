// Metrics and health of a sandbox (`--metrics-addr`): /metrics, /healthz, /readyz.
#ifndef TOOLS_LATTICE_SANDBOX_METRICS_H_
#define TOOLS_LATTICE_SANDBOX_METRICS_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "userspace/audit/publisher.h"
#include "userspace/base/event_loop.h"
#include "userspace/dp/nats_sink.h"
#include "userspace/http/server.h"
#include "userspace/metrics/registry.h"
#include "userspace/sandbox/egress_filter.h"
#include "userspace/sandbox/pod.h"
#include "userspace/sandbox/record_writer.h"

namespace lattice::cli {

// What is told of; pointers may be null.
struct SandboxView {
  const sandbox::Pod& pod;
  const sandbox::EgressFilter& filter;
  const sandbox::RecordWriter& writer;
  const audit::Publisher* publisher = nullptr;
  const dp::NatsSink* sink = nullptr;
  // Why it is not ready; empty: it is.
  std::function<std::string()> not_ready;
};

class SandboxMetrics {
 public:
  // What `view` names must outlive it.
  static absl::StatusOr<std::unique_ptr<SandboxMetrics>> Serve(EventLoop& loop, const std::string& address,
                                                               SandboxView view);
  const std::string& address() const { return server_->address(); }

 private:
  SandboxMetrics() = default;
  metrics::Registry registry_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_SANDBOX_METRICS_H_
