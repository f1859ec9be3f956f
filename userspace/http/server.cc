// Theory of operation. libmicrohttpd has an epoll of its own; that is one readable fd in our loop. When it is readable
// or its timeout is over, MHD_run() does what can be done without blocking, and everything below is called from
// there. Its timeout counts idle time only, so a client that sends a byte now and then would stay for ever: the
// sweep cuts a connection that has not given a whole request in time, by shutdown(), which the library sees as its end.
//
// Its limit of connections per address refuses the newest, so that whoever holds that many half requests keeps out
// everybody of that address, on 127.0.0.1 the agent and Prometheus together. Ours cuts the oldest instead: a client
// that sends its request at once is answered before as many newer ones have come: a run of the library accepts ten.
//
// One file: all of it is the life of one daemon of the library, told by its callbacks in turn.
#include "userspace/http/server.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "glog/logging.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/http/exchange.h"
#include "userspace/http/listen.h"

namespace lattice::http {
namespace {

constexpr int64_t kNever = INT64_MAX;
constexpr size_t kMaxParameters = 256;

// Stands for the exchange, which does not begin before the headers are there.
char refused_path;

using AnyHandler = std::variant<Handler, LateHandler>;

// Request line and headers, and the buffer of the answer.
constexpr size_t kConnectionMemoryBytes = 48 << 10;

// An answer that takes longer does not keep its place from another client.
constexpr int64_t kSlowAnswerNs = 1'000'000'000;

// The bytes of the address without the port; empty for a Unix socket.
std::string HostOf(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const in_addr& host = reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
    return std::string(reinterpret_cast<const char*>(&host), sizeof(host));
  }
  if (address->sa_family == AF_INET6) {
    const in6_addr& host = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
    return std::string(reinterpret_cast<const char*>(&host), sizeof(host));
  }
  return "";
}

void LogLine(void*, const char* format, va_list arguments) {
  char line[512];
  vsnprintf(line, sizeof(line), format, arguments);
  VLOG(1) << "libmicrohttpd: " << absl::StripTrailingAsciiWhitespace(line);
}

}  // namespace

class Server::Impl {
 public:
  Impl(EventLoop& loop, const ServerOptions& options, Listener listener)
      : loop_(loop), options_(options), listener_(std::move(listener)) {}
  ~Impl();
  absl::Status Start();

  void Handle(const std::string& method, const std::string& path, AnyHandler handler) {
    routes_[path][method] = std::move(handler);
  }
  const std::string& address() const { return listener_.address(); }
  int connections() const { return static_cast<int>(peers_.size()); }

 private:
  // An open connection.
  struct Peer {
    int fd;
    std::string host;
    int64_t since_ns = 0;     // begin of the wait for a request, or of the answer
    int64_t deadline_ns = 0;  // of the request, or of the answer it takes; kNever for a stream
    bool answering = false;
    bool cut = false;
  };

  static MHD_Result OnRequest(void* cls, MHD_Connection* connection, const char* path, const char* method, const char*,
                              const char* data, size_t* data_size, void** exchange);
  static void* OnUri(void* cls, const char* uri, MHD_Connection* connection);
  static void OnCompleted(void* cls, MHD_Connection* connection, void** exchange, MHD_RequestTerminationCode);
  static void OnConnection(void* cls, MHD_Connection* connection, void** peer, MHD_ConnectionNotificationCode what);

  using Methods = std::map<std::string, AnyHandler>;
  const Methods* FindPath(const std::string& path) const;
  // The handler, or the answer of the server itself.
  std::variant<const AnyHandler*, Response> Route(const Request& request) const;
  MHD_Result Dispatch(Exchange& exchange, MHD_Connection* connection);
  MHD_Result AnswerLater(Exchange& exchange, MHD_Connection* connection, const LateHandler& handler);
  void BeginReceiving(Peer* peer) const;
  void BeginAnswering(Peer* peer, bool stream) const;
  MHD_Result Send(Exchange& exchange, Response response) { return exchange.Send(suspended_, std::move(response)); }
  void Run();
  void RunIn(absl::Duration delay);
  void Kick();
  void Sweep();
  static void Cut(Peer& peer);
  void MakeRoom(Peer& newcomer);
  Peer* LongestWait(const Peer& newcomer, const std::string& host) const;
  static Peer* PeerOf(MHD_Connection* connection);

  EventLoop& loop_;
  const ServerOptions options_;
  const Listener listener_;
  std::map<std::string, Methods> routes_;  // by path
  Suspended suspended_{.loop = loop_, .kick = [this] { Kick(); }, .now = {}};
  MHD_Daemon* daemon_ = nullptr;
  int epoll_fd_ = -1;  // the library's
  absl::optional<EventLoop::TimerId> run_timer_;
  bool kicked_ = false;                             // since the last MHD_run() began
  absl::optional<EventLoop::TimerId> sweep_timer_;  // while there are connections
  std::map<int, std::unique_ptr<Peer>> peers_;      // by fd
};

absl::Status Server::Impl::Start() {
  const unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
  const auto send_timeout_s = static_cast<unsigned>(std::max<int64_t>(absl::ToInt64Seconds(options_.send_timeout), 1));
  daemon_ = MHD_start_daemon(flags, 0, nullptr, nullptr, &Impl::OnRequest, this,          //
                             MHD_OPTION_EXTERNAL_LOGGER, &LogLine, nullptr,               // first, to log the rest
                             MHD_OPTION_LISTEN_SOCKET, listener_.fd(),                    //
                             MHD_OPTION_URI_LOG_CALLBACK, &Impl::OnUri, nullptr,          //
                             MHD_OPTION_NOTIFY_COMPLETED, &Impl::OnCompleted, this,       //
                             MHD_OPTION_NOTIFY_CONNECTION, &Impl::OnConnection, this,     //
                             MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionMemoryBytes,  //
                             MHD_OPTION_CONNECTION_LIMIT, static_cast<unsigned>(options_.max_connections),  //
                             MHD_OPTION_CONNECTION_TIMEOUT, send_timeout_s,                                 //
                             MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
  if (daemon_ == nullptr) {
    return absl::InternalError(absl::StrCat(options_.flag, "=", options_.address, ": libmicrohttpd does not start"));
  }
  epoll_fd_ = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
  return loop_.AddFd(epoll_fd_, EPOLLIN, [this](uint32_t) { Run(); });
}

Server::Impl::~Impl() {
  if (daemon_ == nullptr) return;
  loop_.RemoveFd(epoll_fd_);
  // The library aborts when it is stopped with suspended connections. Those that are must run once more, and in that
  // run requests may come that would begin others.
  suspended_.ending = true;
  const std::set<Suspension*> suspended = suspended_.now;
  for (Suspension* suspension : suspended) suspension->Cut();
  MHD_run(daemon_);
  MHD_stop_daemon(daemon_);
  if (run_timer_.has_value()) loop_.RemoveTimer(*run_timer_);
  if (sweep_timer_.has_value()) loop_.RemoveTimer(*sweep_timer_);
}

void Server::Impl::Run() {
  size_t before;
  do {
    kicked_ = false;
    before = peers_.size();
    MHD_run(daemon_);
    // The library listens again after the connection limit only in its next run.
  } while (peers_.size() < before);
  MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
  if (kicked_) {
    RunIn(absl::ZeroDuration());
  } else if (MHD_get_timeout(daemon_, &timeout_ms) == MHD_YES) {
    RunIn(absl::Milliseconds(static_cast<int64_t>(timeout_ms)));
  }
}

void Server::Impl::RunIn(absl::Duration delay) {
  if (run_timer_.has_value()) loop_.RemoveTimer(*run_timer_);
  run_timer_ = loop_.AddOnce(delay, [this] {
    run_timer_.reset();
    Run();
  });
}

void Server::Impl::Kick() {
  if (std::exchange(kicked_, true)) return;
  RunIn(absl::ZeroDuration());  // inside Run() this is replaced by its own
}

void Server::Impl::Sweep() {
  const int64_t now = RealClock().MonotonicNs();
  for (const auto& [fd, peer] : peers_) {
    if (peer->deadline_ns <= now) Cut(*peer);
  }
}

void Server::Impl::Cut(Peer& peer) {
  peer.cut = true;
  shutdown(peer.fd, SHUT_RDWR);  // Fails if the client was faster.
}

void Server::Impl::MakeRoom(Peer& newcomer) {
  int all = 0, of_host = 0;
  for (const auto& [fd, peer] : peers_) {
    if (peer->cut) continue;
    ++all;
    if (peer->host == newcomer.host) ++of_host;
  }
  if (!newcomer.host.empty() && of_host > options_.max_connections_per_address) {
    Peer* const oldest = LongestWait(newcomer, newcomer.host);
    Cut(oldest != nullptr ? *oldest : newcomer);
  } else if (all >= options_.max_connections) {
    if (Peer* const oldest = LongestWait(newcomer, ""); oldest != nullptr) Cut(*oldest);
  }
}

// Of `host`, or of all if that is empty; null if every one is being answered.
Server::Impl::Peer* Server::Impl::LongestWait(const Peer& newcomer, const std::string& host) const {
  Peer* oldest = nullptr;
  for (const auto& [fd, peer] : peers_) {
    if (peer->cut || peer.get() == &newcomer || (!host.empty() && peer->host != host)) continue;
    const bool stream = peer->deadline_ns == kNever;
    if (stream || (peer->answering && newcomer.since_ns - peer->since_ns < kSlowAnswerNs)) continue;
    if (oldest == nullptr || peer->since_ns < oldest->since_ns) oldest = peer.get();
  }
  return oldest;
}

void Server::Impl::BeginReceiving(Peer* peer) const {
  peer->answering = false;
  peer->since_ns = RealClock().MonotonicNs();
  peer->deadline_ns = peer->since_ns + absl::ToInt64Nanoseconds(options_.receive_timeout);
}

void Server::Impl::BeginAnswering(Peer* peer, bool stream) const {
  peer->answering = true;
  peer->since_ns = RealClock().MonotonicNs();
  peer->deadline_ns = stream ? kNever : peer->since_ns + absl::ToInt64Nanoseconds(options_.answer_timeout);
}

Server::Impl::Peer* Server::Impl::PeerOf(MHD_Connection* connection) {
  return static_cast<Peer*>(MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context);
}

void Server::Impl::OnConnection(void* cls, MHD_Connection* connection, void** peer,
                                MHD_ConnectionNotificationCode what) {
  auto* const self = static_cast<Impl*>(cls);
  if (what == MHD_CONNECTION_NOTIFY_STARTED) {
    const int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    const sockaddr* const address =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    auto& entry = self->peers_[fd];
    entry = std::make_unique<Peer>(Peer{.fd = fd, .host = HostOf(address)});
    self->BeginReceiving(entry.get());
    self->MakeRoom(*entry);
    *peer = entry.get();
    if (!self->sweep_timer_.has_value()) {
      const absl::Duration period =
          std::clamp(self->options_.receive_timeout / 4, absl::Milliseconds(10), absl::Seconds(1));
      self->sweep_timer_ = self->loop_.AddTimer(period, [self] { self->Sweep(); });
    }
  } else {
    self->peers_.erase(static_cast<Peer*>(*peer)->fd);
    if (self->peers_.empty()) self->loop_.RemoveTimer(*std::exchange(self->sweep_timer_, absl::nullopt));
  }
}

// The library gives the path as a C string: what follows a %00 in it would not be there.
void* Server::Impl::OnUri(void*, const char* uri, MHD_Connection*) {
  const absl::string_view path(uri, std::strcspn(uri, "?"));
  return absl::StrContains(path, "%00") ? &refused_path : nullptr;
}

MHD_Result Server::Impl::OnRequest(void* cls, MHD_Connection* connection, const char* path, const char* method,
                                   const char*, const char* data, size_t* data_size, void** exchange) {
  auto* const self = static_cast<Impl*>(cls);
  const bool bad_path = *exchange == &refused_path;
  if (bad_path) *exchange = nullptr;
  auto* current = static_cast<Exchange*>(*exchange);
  const size_t limit = self->options_.max_body_bytes;
  const auto too_large = [&] {
    return self->options_.error(413, absl::StrCat("the body has more than ", limit, " bytes"));
  };
  if (current == nullptr) {  // the headers are here
    current = new Exchange(connection, path, method);
    *exchange = current;
    if (bad_path) return self->Send(*current, self->options_.error(400, "the path has a %00"));
    if (const size_t count = current->request().query.size(); count > kMaxParameters) {
      return self->Send(*current,
                        self->options_.error(400, absl::StrCat("the query has ", count, " parameters, at most ",
                                                               kMaxParameters, " are taken")));
    }
    // Answered before the body comes: who asked with "Expect: 100-continue" need not send it.
    if (current->AnnouncesMoreThan(limit)) return self->Send(*current, too_large());
    return MHD_YES;
  }
  if (*data_size > 0) {
    current->Append(absl::string_view(data, *data_size), limit);
    *data_size = 0;
    return MHD_YES;
  }
  if (current->too_large()) {
    self->BeginAnswering(PeerOf(connection), /*stream=*/false);
    return self->Send(*current, too_large());
  }
  return self->Dispatch(*current, connection);
}

void Server::Impl::OnCompleted(void* cls, MHD_Connection* connection, void** exchange, MHD_RequestTerminationCode) {
  if (*exchange != &refused_path) delete static_cast<Exchange*>(*exchange);
  *exchange = nullptr;
  static_cast<Impl*>(cls)->BeginReceiving(PeerOf(connection));
}

const Server::Impl::Methods* Server::Impl::FindPath(const std::string& path) const {
  if (const auto whole = routes_.find(path); whole != routes_.end()) return &whole->second;
  // "/a/b" may be of "/a/*" or "/*".
  for (size_t end = path.rfind('/'); end != std::string::npos;
       end = end == 0 ? std::string::npos : path.rfind('/', end - 1)) {
    const auto beginning = routes_.find(absl::StrCat(path.substr(0, end + 1), "*"));
    if (beginning != routes_.end() && end + 1 < path.size()) return &beginning->second;
  }
  return nullptr;
}

std::variant<const AnyHandler*, Response> Server::Impl::Route(const Request& request) const {
  const Methods* const methods = FindPath(request.path);
  if (methods == nullptr) return options_.error(404, absl::StrCat("no such path: ", request.path));
  const auto handler = methods->find(request.method);
  if (handler != methods->end()) return &handler->second;
  std::vector<std::string> allowed;
  for (const auto& [method, unused] : *methods) allowed.push_back(method);
  if (methods->count("GET") != 0) allowed.push_back("HEAD");
  const std::string list = absl::StrJoin(allowed, ", ");
  Response response = options_.error(405, absl::StrCat(request.path, " takes ", list, " only"));
  response.headers.emplace_back("Allow", list);
  return response;
}

// The request is whole, or its late answer is there.
MHD_Result Server::Impl::Dispatch(Exchange& exchange, MHD_Connection* connection) {
  if (exchange.late != nullptr) {
    if (exchange.late->cut()) return MHD_NO;
    std::optional<Response> late = exchange.late->Take();
    if (!late.has_value()) return MHD_YES;  // the library asks again after the resumption
    BeginAnswering(PeerOf(connection), late->stream != nullptr);
    return Send(exchange, *std::move(late));
  }
  auto route = Route(exchange.request());
  const AnyHandler* const handler =
      std::holds_alternative<Response>(route) ? nullptr : std::get<const AnyHandler*>(route);
  if (handler != nullptr && std::holds_alternative<LateHandler>(*handler)) {
    return AnswerLater(exchange, connection, std::get<LateHandler>(*handler));
  }
  Response response =
      handler == nullptr ? std::get<Response>(std::move(route)) : std::get<Handler>(*handler)(exchange.request());
  BeginAnswering(PeerOf(connection), response.stream != nullptr);
  return Send(exchange, std::move(response));
}

MHD_Result Server::Impl::AnswerLater(Exchange& exchange, MHD_Connection* connection, const LateHandler& handler) {
  exchange.late = std::make_shared<LateAnswer>(suspended_, connection);
  BeginAnswering(PeerOf(connection), /*stream=*/false);
  if (!exchange.late->Wait()) return MHD_NO;
  // The exchange owns the answer: when it is over, there is nobody to give it to.
  handler(exchange.request(), [loop = &loop_, late = std::weak_ptr<LateAnswer>(exchange.late)](Response response) {
    loop->Post([late, response = std::move(response)]() mutable {
      if (const auto answer = late.lock()) answer->Give(std::move(response));
    });
  });
  return MHD_YES;
}

absl::StatusOr<std::unique_ptr<Server>> Server::Create(EventLoop& loop, const ServerOptions& options) {
  LATTICE_ASSIGN_OR_RETURN(Listener listener, Listener::Open(options.address, options.flag));
  auto impl = std::make_unique<Impl>(loop, options, std::move(listener));
  LATTICE_RETURN_IF_ERROR(impl->Start());
  return absl::WrapUnique(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

void Server::Handle(const std::string& method, const std::string& path, Handler handler) {
  impl_->Handle(method, path, std::move(handler));
}

void Server::HandleLater(const std::string& method, const std::string& path, LateHandler handler) {
  impl_->Handle(method, path, std::move(handler));
}

const std::string& Server::address() const {
  return impl_->address();
}

int Server::connections() const {
  return impl_->connections();
}

}  // namespace lattice::http
