#include "userspace/dp/metrics_http.h"

#include "absl/strings/str_join.h"
#include "userspace/base/clock.h"
#include "userspace/dp/health.h"

namespace lattice::dp {
namespace {

http::Response Answer(const Reasons& problems) {
  if (problems.empty()) return http::Response::Text("ok\n");
  return http::Response::Error(503, absl::StrJoin(problems, "\n"));
}

}  // namespace

void ServeMetrics(http::Server& server, const DaemonState& state, const DaemonMetrics& metrics) {
  server.Handle("GET", "/metrics", [&metrics](const http::Request&) {
    http::Response response = http::Response::Text(metrics.Render());
    response.content_type = metrics::kContentType;
    return response;
  });
  server.Handle("GET", "/healthz",
                [&state](const http::Request&) { return Answer(LivenessProblems(state, RealClock().MonotonicNs())); });
  server.Handle("GET", "/readyz",
                [&state](const http::Request&) { return Answer(ReadinessProblems(state, RealClock().MonotonicNs())); });
}

}  // namespace lattice::dp
