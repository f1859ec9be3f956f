#include "userspace/control/server/latticed.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <signal.h>
#include <sys/file.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "userspace/base/clock.h"
#include "userspace/base/file.h"
#include "userspace/base/notify.h"
#include "userspace/base/status.h"
#include "userspace/control/api/envelope.h"
#include "userspace/control/api/openapi.h"
#include "userspace/control/audit/sql_flow_store.h"
#include "userspace/control/web/assets.h"
#include "userspace/nats/connection.h"

namespace lattice::control {
namespace {

constexpr int kWorkers = 4;
constexpr absl::Duration kLockPatience = absl::Seconds(3);
constexpr absl::Duration kRefreshPeriod = absl::Seconds(2);
// A database that another process has locked is waited for this long at a time: so long a stop may take.
constexpr absl::Duration kBusyTimeout = absl::Seconds(2);
constexpr absl::Duration kCheckDeadline = absl::Seconds(5);
constexpr absl::Duration kAdminTokenTtl = absl::Hours(24 * 365 * 10);
// How long another replica's record may take from its id to its commit.
constexpr absl::Duration kSettle = absl::Seconds(1);
// Our own nats-server that answers nothing for so long is started anew: after a full disk 2.9 does not come back.
constexpr absl::Duration kNatsSilence = absl::Seconds(20);
constexpr absl::Duration kNatsWatchPeriod = absl::Seconds(5);
constexpr char kStream[] = "LATTICE_AUDIT";

int ExitCodeOf(const absl::Status& status) {
  return absl::IsInvalidArgument(status) ? 2 : 3;
}

void AddSecurityHeaders(http::Response& response) {
  response.headers.emplace_back("Content-Security-Policy",
                                "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'");
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  response.headers.emplace_back("Referrer-Policy", "no-referrer");
}

http::Response PageResponse(const http::Request& request) {
  const bool gzip = absl::StrContains(std::string(request.Header("Accept-Encoding").value_or("")), "gzip");
  const Asset* const asset = FindPage(request.path, gzip);
  if (asset == nullptr) return Failure(404, absl::StrCat("no such page: ", request.path));
  http::Response response;
  response.content_type = std::string(asset->content_type);
  response.headers.emplace_back("ETag", std::string(asset->etag));
  response.headers.emplace_back("Vary", "Accept-Encoding");
  response.headers.emplace_back("Cache-Control", asset->immutable ? "public, max-age=31536000, immutable" : "no-cache");
  AddSecurityHeaders(response);
  if (request.Header("If-None-Match") == asset->etag) {
    response.status = 304;
    return response;
  }
  response.body = std::string(asset->body);
  if (asset->gzip) response.headers.emplace_back("Content-Encoding", "gzip");
  return response;
}

}  // namespace

Latticed::~Latticed() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  // Before the first of them is waited for.
  if (ingest_ != nullptr) ingest_->RequestStop();
  if (nats_child_ != nullptr) nats_child_->Wake();
  if (refresh_.joinable()) refresh_.join();
  // Who takes new work goes first; the loop, which the late answers of workers are posted to, last.
  server_ = nullptr;
  workers_ = nullptr;  // runs what it has: a change of a policy is still pushed by the service
  service_ = nullptr;
  nats_users_ = nullptr;
  audit_api_ = nullptr;
  ingest_ = nullptr;
  retention_ = nullptr;
  nats_child_ = nullptr;
}

int Latticed::Run() {
  if (const absl::Status started = Start(); !started.ok()) {
    for (absl::string_view line : absl::StrSplit(started.message(), '\n')) LOG(ERROR) << line;
    return ExitCodeOf(started);
  }
  const absl::Status ran = loop_->Run();
  NotifyStopping();
  LOG_IF(ERROR, !ran.ok()) << "ending: " << ran.message();
  LOG(INFO) << "stopping; records that are not stored yet wait in NATS";
  return ran.ok() ? 0 : 1;
}

absl::Status Latticed::Start() {
  LATTICE_ASSIGN_OR_RETURN(loop_, EventLoop::Create());
  for (const int signal : {SIGTERM, SIGINT}) {  // before any thread, so that all block them
    LATTICE_RETURN_IF_ERROR(loop_->AddSignal(signal, [this] { loop_->Stop(); }));
  }
  if (::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return ErrnoStatus(errno, "ignoring SIGPIPE");
  LATTICE_RETURN_IF_ERROR(LockDataDir());
  LATTICE_RETURN_IF_ERROR(OpenDatabase());
  LATTICE_ASSIGN_OR_RETURN(server_, http::Server::Create(*loop_, {.address = options_.http_addr,
                                                                  .flag = "--http-addr",
                                                                  .max_connections = 1024,
                                                                  .max_connections_per_address = 128,
                                                                  .error = [](int status, absl::string_view message) {
                                                                    return Failure(status, message);
                                                                  }}));
  LATTICE_RETURN_IF_ERROR(OpenRegistry());
  LATTICE_RETURN_IF_ERROR(OpenNats());
  OpenRegistryApi();
  LATTICE_RETURN_IF_ERROR(WriteAccess());
  LATTICE_RETURN_IF_ERROR(OpenHttp());
  StartThreads();
  const std::string line = absl::StrCat("latticed is ready: API and dashboard at http://", server_->address(),
                                        "/, database ", database_->name(), ", NATS ",
                                        nats_child_ == nullptr ? "of others" : absl::StrCat("at ", nats_child_->url()),
                                        "; admin token in ", options_.data_dir, "/admin.token");
  LOG(INFO) << line;
  NotifyReady(line);
  return absl::OkStatus();
}

absl::Status Latticed::LockDataDir() {
  const absl::Status made = MakeDirectories(options_.data_dir, 0700);
  if (!made.ok()) return Annotate(made, absl::StrCat("--data-dir=", options_.data_dir));
  const std::string path = options_.data_dir + "/latticed.lock";
  lock_.reset(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_.ok()) return ErrnoStatus(errno, absl::StrCat("--data-dir=", options_.data_dir));
  // One that was killed just now may still be giving its memory back.
  const absl::Time deadline = absl::Now() + kLockPatience;
  while (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(100));
      continue;
    }
    return absl::AlreadyExistsError(absl::StrCat("--data-dir=", options_.data_dir,
                                                 ": another latticed runs there; each needs a folder of its own"));
  }
  return absl::OkStatus();
}

absl::Status Latticed::OpenDatabase() {
  const bool own = options_.database.empty();
  const std::string url = own ? absl::StrCat("sqlite://", options_.data_dir, "/lattice.db") : options_.database;
  LATTICE_ASSIGN_OR_RETURN(database_, sql::Database::Open(url, {.busy_timeout = kBusyTimeout}));
  auto store = SqlFlowStore::Create(*database_);
  if (!store.ok()) return Annotate(store.status(), absl::StrCat("database ", database_->name()));
  store_ = *std::move(store);
  return absl::OkStatus();
}

absl::Status Latticed::OpenRegistry() {
  LATTICE_ASSIGN_OR_RETURN(registry_, Registry::Open(*database_, RealClock(),
                                                     {.overlay = options_.overlay,
                                                      .approve_by_hand = options_.approve_by_hand,
                                                      .nats_users = options_.own_nats()}));
  return absl::OkStatus();
}

absl::Status Latticed::OpenNats() {
  if (!options_.own_nats()) {
    // Anyone can read it, so what we log in with has no place there.
    if (options_.public_nats_url.empty()) options_.public_nats_url = nats::RedactUrls(options_.nats.urls[0]);
    return absl::OkStatus();
  }
  const std::string folder = options_.data_dir + "/nats";
  LATTICE_ASSIGN_OR_RETURN(nats_users_, NatsUsers::Create({.folder = folder,
                                                           .open_enrolment = options_.open_enrolment,
                                                           .open_records = !options_.require_agent_auth,
                                                           .agents = [this] { return registry_->NatsUsers(); }}));
  LATTICE_ASSIGN_OR_RETURN(nats_child_, NatsChild::Start(*loop_, {.folder = folder,
                                                                  .address = options_.nats_host,
                                                                  .port = options_.nats_port,
                                                                  .tls_cert_file = options_.nats_server_cert,
                                                                  .tls_key_file = options_.nats_server_key}));
  options_.nats.name = "latticed";
  options_.nats.tls_ca_file = options_.nats_server_cert;  // empty: no TLS
  nats::Options anyone = options_.nats;
  anyone.urls = {nats_child_->url()};
  nats_users_->Start([this] { loop_->Post([this] { nats_child_->Reload(); }); }, anyone);
  options_.nats.urls = {nats_child_->url(nats_users_->server_login())};
  nats_at_any_address_ =
      options_.public_nats_url.empty() && (options_.nats_host == "0.0.0.0" || options_.nats_host == "::");
  if (options_.public_nats_url.empty()) options_.public_nats_url = nats_child_->url(nats_users_->enrol_login());
  return absl::OkStatus();
}

void Latticed::OpenRegistryApi() {
  signals_ = std::make_unique<SignalService>(*registry_, RealClock());
  registry_api_ =
      std::make_unique<RegistryApi>(*registry_, RealClock(),
                                    RegistryApiOptions{.nats_url = options_.public_nats_url,
                                                       .nats_at_any_address = nats_at_any_address_,
                                                       .secure_cookie = options_.secure_cookie,
                                                       .activity = [this](int64_t from_ns, int64_t to_ns) {
                                                         FlowFilter filter;
                                                         if (from_ns != 0) filter.from_ns = from_ns;
                                                         if (to_ns != 0) filter.to_ns = to_ns;
                                                         return store_->Agents(filter, absl::Now() + kCheckDeadline);
                                                       }});
}

// What people and agents need to come in.
absl::Status Latticed::WriteAccess() {
  const std::string token_path = options_.data_dir + "/admin.token";
  const absl::StatusOr<std::string> token = ReadFile(token_path, 64 << 10);
  const bool good = token.ok() && registry_->verifier().VerifyUser(absl::StripTrailingAsciiWhitespace(*token)).ok();
  if (!good) {
    LATTICE_ASSIGN_OR_RETURN(const std::string made, registry_->IssueUserToken("admin", "admin", kAdminTokenTtl));
    LATTICE_RETURN_IF_ERROR(WriteFileAtomically(token_path, made + "\n", 0600));
  }
  // For writers. Where they need a token, that is what they log in with.
  const bool by_token = nats_users_ != nullptr && options_.require_agent_auth;
  const std::string url = by_token ? nats::RedactUrls(options_.public_nats_url) : options_.public_nats_url;
  return WriteFileAtomically(options_.data_dir + "/nats.url", url + "\n", 0600);
}

absl::Status Latticed::OpenHttp() {
  workers_ = std::make_unique<Workers>(kWorkers);
  AuditApiOptions api;
  if (database_->engine() == sql::Engine::kPostgresql) api.tail.settle = kSettle;
  audit_api_ = std::make_unique<AuditApi>(*loop_, *workers_, *store_, api);
  audit_api_->Serve(*server_, [this](const http::Request& request) {
    return registry_api_->authenticator().Authorize(request).status();
  });
  IngestOptions ingest;
  ingest.nats = options_.nats;
  ingest.stream = {.name = kStream,
                   .subjects = {"lattice.audit.>"},
                   .replicas = options_.stream_replicas,
                   .max_age = options_.stream_max_age,
                   .max_bytes = options_.stream_max_bytes};
  ingest.consumer = {.durable = "latticed"};
  if (options_.require_agent_auth) {
    ingest.verify_token = [this](absl::string_view token, absl::Time written,
                                 absl::Time received) -> absl::StatusOr<std::string> {
      LATTICE_ASSIGN_OR_RETURN(const auto claims, registry_->verifier().VerifyWriter(token, written, received));
      return claims->subject;
    };
  }
  ingest_ = std::make_unique<Ingest>(*store_, std::move(ingest));
  retention_ = std::make_unique<Retention>(
      *store_, RetentionOptions{.keep = options_.retention, .archive_dir = options_.archive_dir});
  metrics_ = std::make_unique<ServerMetrics>(MetricSources{.ingest = *ingest_,
                                                           .retention = *retention_,
                                                           .api = *audit_api_,
                                                           .nats_child = nats_child_.get(),
                                                           .nats_users = nats_users_.get(),
                                                           .gaps = gaps_,
                                                           .lost = lost_,
                                                           .ready = [this] { return NotReady().empty(); }});
  ServeRegistry();
  ServePages();
  return absl::OkStatus();
}

void Latticed::ServeRegistry() {
  for (const RegistryApi::Route& route : RegistryApi::Routes()) {
    server_->HandleLater(route.method, route.path, [this](http::Request request, http::Responder responder) {
      const auto work = [this, request = std::move(request), responder] {
        const http::Response response = registry_api_->Handle(request);
        // Who has enrolled can log in to NATS at once. Only this answer waits for it, and none of the workers.
        const bool enrolled = request.path == kRedeemPath && response.status == 200;
        if (nats_users_ == nullptr || !enrolled) return responder(response);
        nats_users_->WhenInForce([responder, response] { responder(response); });
      };
      if (!workers_->Run(work)) responder(Failure(503, "too many requests wait already: try again in a moment"));
    });
  }
}

void Latticed::ServePages() {
  server_->Handle("GET", "/healthz", [](const http::Request&) { return http::Response::Text("ok\n"); });
  server_->Handle("GET", "/readyz", [this](const http::Request&) {
    const std::string problem = NotReady();
    return problem.empty() ? http::Response::Text("ok\n") : http::Response::Error(503, problem);
  });
  server_->Handle("GET", "/metrics", [this](const http::Request&) {
    http::Response response = http::Response::Text(metrics_->Render());
    response.content_type = metrics::kContentType;
    return response;
  });
  server_->Handle("GET", "/openapi.json", [](const http::Request&) { return http::Response::Json(OpenApiText()); });
  server_->Handle("GET", "/api/*", [](const http::Request& request) {
    return Failure(404, absl::StrCat("no such path: ", request.path, "; /openapi.json lists them"));
  });
  server_->Handle("GET", "/", &PageResponse);
  server_->Handle("GET", "/*", &PageResponse);
}

void Latticed::StartThreads() {
  ingest_->Start();
  retention_->Start();
  refresh_ = std::thread([this] { Refresh(); });
  if (nats_child_ != nullptr) loop_->AddTimer(kNatsWatchPeriod, [this] { WatchNats(); });
  nats::ServiceOptions service;
  service.connection = options_.nats;
  service.queue = kSignalQueueGroup;
  service.subjects = {kSignalSubjects};
  service.stream = kStream;
  service.handle = [this](const nats::ServiceRequest& request) {
    return signals_->Handle(request.subject, request.payload);
  };
  auto created = nats::Service::Create(std::move(service));
  if (!created.ok()) {
    LOG(ERROR) << "agents can't enrol over NATS: " << created.status().message();
    return;
  }
  service_ = *std::move(created);
  registry_->SetOnChange([this, service = service_.get()](const Change& change) {
    if (nats_users_ != nullptr && change.agent.empty()) nats_users_->Changed();
    const std::string subject =
        change.agent.empty() ? "lattice.signals.config" : absl::StrCat("lattice.signals.config.", change.agent);
    // Who misses it asks again within 15 s in any case.
    const absl::Status pushed = service->Publish(subject, absl::StrCat("{\"configVersion\":\"", change.version, "\"}"));
    VLOG_IF(1, !pushed.ok()) << "configuration push: " << pushed;
  });
}

void Latticed::WatchNats() {
  const absl::Time now = absl::Now();
  const absl::Time since = std::max(ingest_->state().silent_since, nats_replaced_);
  if (now - since < kNatsSilence) return;
  LOG(ERROR) << "nats-server answers nothing for " << absl::FormatDuration(kNatsSilence) << ", ending it";
  nats_replaced_ = now;
  nats_child_->Replace();
}

// What is asked every few seconds and may block.
void Latticed::Refresh() {
  while (true) {
    const absl::Status checked = store_->Check(absl::Now() + kCheckDeadline);
    if (const auto state = store_->ReadCompleteness(absl::Now() + kCheckDeadline); state.ok()) {
      gaps_ = state->gaps;
      lost_ = state->lost;
    }
    const absl::Status refreshed = registry_->RefreshRevocations();
    LOG_IF(WARNING, !refreshed.ok()) << "revocations of other replicas are not seen: " << refreshed.message();
    absl::MutexLock lock(&mutex_);
    database_problem_ = checked.ok() ? "" : absl::StrCat("database: ", checked.message());
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kRefreshPeriod)) return;
  }
}

// Empty when all is well.
std::string Latticed::NotReady() {
  const IngestState ingest = ingest_->state();
  if (!ingest.problem.empty()) return ingest.problem;
  if (!ingest.connected) return "not yet connected to NATS";
  absl::MutexLock lock(&mutex_);
  return database_problem_;
}

}  // namespace lattice::control
