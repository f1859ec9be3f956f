// The routes for Prometheus and for probes. Main thread.
#ifndef USERSPACE_DP_METRICS_HTTP_H_
#define USERSPACE_DP_METRICS_HTTP_H_

#include "userspace/dp/daemon_metrics.h"
#include "userspace/dp/state.h"
#include "userspace/http/server.h"

namespace lattice::dp {

// /metrics; /healthz: 503 if the process is stuck; /readyz: 503 while something promised does not hold, a line
// for each reason. All must outlive the server.
void ServeMetrics(http::Server& server, const DaemonState& state, const DaemonMetrics& metrics);

}  // namespace lattice::dp

#endif  // USERSPACE_DP_METRICS_HTTP_H_
