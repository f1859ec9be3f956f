// The control plane as one process: database, NATS, ingest, registry, HTTP.
//
// Order of the start: what can be refused first (folder, flags, ports, database), then NATS, then what runs for ever.
// Promise: when Start() is OK, API and dashboard answer, and records that come are stored. Stop order is the reverse;
// what is not stored stays in the stream.
//
// Threads: the event loop (HTTP, the nats-server child), four workers for calls that block, and one each of ingest,
// retention, refresh and the agents' service.
#ifndef USERSPACE_CONTROL_SERVER_LATTICED_H_
#define USERSPACE_CONTROL_SERVER_LATTICED_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/base/event_loop.h"
#include "userspace/base/unique_fd.h"
#include "userspace/control/api/audit_api.h"
#include "userspace/control/api/workers.h"
#include "userspace/control/audit/flow_store.h"
#include "userspace/control/audit/ingest.h"
#include "userspace/control/registry/registry.h"
#include "userspace/control/registry/registry_api.h"
#include "userspace/control/registry/signal_service.h"
#include "userspace/control/server/nats_child.h"
#include "userspace/control/server/nats_users.h"
#include "userspace/control/server/options.h"
#include "userspace/control/server/retention.h"
#include "userspace/control/server/server_metrics.h"
#include "userspace/http/server.h"
#include "userspace/nats/service.h"
#include "userspace/sql/database.h"

namespace lattice::control {

class Latticed {
 public:
  explicit Latticed(Options options) : options_(std::move(options)) {}
  ~Latticed();

  // The exit code: 0 stopped by a signal, 1 a failure while running, 3 it could not start.
  int Run();

 private:
  absl::Status Start();
  absl::Status LockDataDir();
  absl::Status OpenDatabase();
  absl::Status OpenRegistry();
  absl::Status OpenNats();
  void OpenRegistryApi();
  absl::Status WriteAccess();
  absl::Status OpenHttp();
  void ServeRegistry();
  void ServePages();
  void StartThreads();
  void WatchNats();
  void Refresh();
  std::string NotReady();

  Options options_;
  bool nats_at_any_address_ = false;  // and no other URL is told
  std::unique_ptr<EventLoop> loop_;
  UniqueFd lock_;
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<FlowStore> store_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<NatsUsers> nats_users_;  // with nats_child_
  std::unique_ptr<NatsChild> nats_child_;
  std::unique_ptr<SignalService> signals_;
  std::unique_ptr<RegistryApi> registry_api_;
  std::unique_ptr<Ingest> ingest_;
  std::unique_ptr<Retention> retention_;
  std::unique_ptr<nats::Service> service_;
  std::unique_ptr<Workers> workers_;
  std::unique_ptr<AuditApi> audit_api_;
  std::unique_ptr<ServerMetrics> metrics_;
  std::unique_ptr<http::Server> server_;

  // As Refresh() saw them last.
  std::atomic<uint64_t> gaps_{0};
  std::atomic<uint64_t> lost_{0};
  absl::Mutex mutex_;
  absl::Time nats_replaced_ = absl::InfinitePast();  // the loop's thread
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::string database_problem_ ABSL_GUARDED_BY(mutex_);
  std::thread refresh_;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_SERVER_LATTICED_H_
