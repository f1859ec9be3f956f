// What `lattice wg` counts, as Prometheus metrics: each packet that went or was lost, and why. One thread: the loop's.
#ifndef TOOLS_LATTICE_WG_METRICS_H_
#define TOOLS_LATTICE_WG_METRICS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "userspace/base/event_loop.h"
#include "userspace/http/server.h"
#include "userspace/metrics/registry.h"
#include "userspace/tunnel/tun_interface.h"

namespace lattice::cli {

class WgMetrics {
 public:
  // Serves /metrics on `address`, named --metrics-addr in errors. References must outlive it.
  static absl::StatusOr<std::unique_ptr<WgMetrics>> Serve(EventLoop& loop, const std::string& address,
                                                          tunnel::TunInterface& interface);
  // Where it listens.
  std::string address() const { return server_->address(); }

 private:
  WgMetrics() = default;
  metrics::Registry registry_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_WG_METRICS_H_
