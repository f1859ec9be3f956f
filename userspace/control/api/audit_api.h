// The endpoints under /api/v1/audit and /api/v1/overview.
//
//   GET /api/v1/audit/flow            list, or an export as NDJSON or CSV
//   GET /api/v1/audit/flow/stream     live tail (server-sent events)
//   GET /api/v1/audit/flow/timeline   GET …/top   GET …/hints
//   GET /api/v1/audit/sources  …/gaps  …/digests  …/rejects
//   GET /api/v1/overview
//
// Schema: openapi.json beside this. Each query has a deadline; exports and tails are bounded in number. The loop's
// thread; queries on workers'.
#ifndef USERSPACE_CONTROL_API_AUDIT_API_H_
#define USERSPACE_CONTROL_API_AUDIT_API_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "userspace/base/event_loop.h"
#include "userspace/control/api/flow_params.h"
#include "userspace/control/api/live_tail.h"
#include "userspace/control/api/workers.h"
#include "userspace/control/audit/flow_store.h"
#include "userspace/http/server.h"

namespace lattice::control {

// Unauthenticated or PermissionDenied: the request is not let in.
using Admit = std::function<absl::Status(const http::Request&)>;

struct AuditApiOptions {
  absl::Duration query_deadline = absl::Seconds(10);
  int max_exports = 4;
  LiveTailOptions tail;
};

class AuditApi {
 public:
  // All must outlive the loop's last turn.
  AuditApi(EventLoop& loop, Workers& workers, FlowStore& store, AuditApiOptions options = {});

  void Serve(http::Server& server, Admit admit);

  const LiveTail& tail() const { return tail_; }
  int exports() const { return exports_; }

 private:
  using View = std::function<absl::StatusOr<std::string>(FlowStore&, const FlowParams&, absl::Time deadline)>;
  void Add(http::Server& server, const std::string& path, FlowCall call, View view);
  void AddList(http::Server& server);
  void AddStream(http::Server& server);
  absl::StatusOr<http::Response> Export(FlowParams params);
  void Answer(http::Responder responder, FlowParams params, const View& view);

  EventLoop& loop_;
  Workers& workers_;
  FlowStore& store_;
  const AuditApiOptions options_;
  Admit admit_;
  LiveTail tail_;
  int exports_ = 0;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_API_AUDIT_API_H_
