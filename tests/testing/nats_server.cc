#include "tests/testing/nats_server.h"

#include <nats/nats.h>
#include <signal.h>

#include <filesystem>
#include <system_error>

#include "absl/memory/memory.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/testing/nats_client.h"
#include "tests/testing/wait_until.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::testing {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(20);

// The port in nats-server's ports file, {"nats":["nats://127.0.0.1:4222"],…}; 0 while there is none.
int PortIn(const std::string& ports_file) {
  const absl::StatusOr<std::string> text = ReadFile(ports_file);
  if (!text.ok()) return 0;
  const size_t url = text->find("//");
  const size_t colon = text->find(':', url);
  const size_t end = text->find('"', colon);
  int port = 0;
  if (end == std::string::npos || !absl::SimpleAtoi(text->substr(colon + 1, end - colon - 1), &port)) return 0;
  return port;
}

absl::Status NatsError(natsStatus status, const std::string& what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", natsStatus_GetText(status)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<NatsServer>> NatsServer::Start(const NatsServerOptions& options) {
  auto server = absl::WrapUnique(new NatsServer(options));
  LATTICE_RETURN_IF_ERROR(server->Launch());
  return server;
}

std::string NatsServer::url() const {
  return absl::StrCat(options_.tls_cert_file.empty() ? "nats://" : "tls://", options_.address, ":", options_.port);
}

absl::Status NatsServer::Launch() {
  ChildOptions child;
  child.argv = {
      "nats-server",      "-a",       options_.address, "-p", options_.port == 0 ? "-1" : absl::StrCat(options_.port),
      "--ports_file_dir", dir_.path()};
  child.netns = options_.netns;
  // Debian keeps it where users' PATH often does not look.
  child.env = {{"PATH", absl::StrCat(getenv("PATH") == nullptr ? "" : getenv("PATH"), ":/usr/sbin:/usr/bin:/bin")}};
  const auto add = [&](const char* flag, const std::string& value) {
    if (!value.empty()) child.argv.insert(child.argv.end(), {flag, value});
  };
  if (options_.jetstream) {
    child.argv.push_back("-js");
    add("-sd", store());
  }
  if (!options_.config.empty()) {
    LATTICE_RETURN_IF_ERROR(WriteFileAtomically(dir_.File("nats.conf"), options_.config, 0600));
    add("--config", dir_.File("nats.conf"));
  }
  add("--user", options_.user);
  add("--pass", options_.password);
  add("--auth", options_.token);
  if (!options_.tls_cert_file.empty()) child.argv.push_back("--tls");
  add("--tlscert", options_.tls_cert_file);
  add("--tlskey", options_.tls_key_file);
  if (!options_.tls_client_ca_file.empty()) child.argv.push_back("--tlsverify");
  add("--tlscacert", options_.tls_client_ca_file);
  LATTICE_ASSIGN_OR_RETURN(child_, ChildProcess::Start(child));
  // Written when it listens.
  const std::string ports_file = dir_.File(absl::StrCat("nats-server_", child_->pid(), ".ports"));
  int port = 0;
  const bool ready = WaitUntil([&] { return (port = PortIn(ports_file)) != 0 || !child_->running(); }, kDeadline);
  if (!ready || port == 0) return absl::UnavailableError(absl::StrCat("nats-server did not start: ", log()));
  options_.port = port;
  return absl::OkStatus();
}

absl::Status NatsServer::Stop() {
  child_->Signal(SIGCONT);
  child_->Signal(SIGTERM);
  if (!child_->Wait(kDeadline).has_value()) return absl::DeadlineExceededError("nats-server does not stop");
  return absl::OkStatus();
}

void NatsServer::Kill() {
  child_->Signal(SIGKILL);
  child_->Wait(kDeadline);
}

absl::Status NatsServer::Restart() {
  LATTICE_RETURN_IF_ERROR(Stop());
  return Launch();
}

absl::Status NatsServer::Pause() {
  if (!child_->Signal(SIGSTOP)) return absl::FailedPreconditionError("nats-server is not running");
  // The signal is on its way: its threads stop one after the other.
  const bool stopped = WaitUntil([this] {
    for (const auto& task : std::filesystem::directory_iterator(absl::StrCat("/proc/", child_->pid(), "/task"))) {
      const absl::StatusOr<std::string> stat = ReadFile(task.path() / "stat");
      if (stat.ok() && stat->substr(stat->rfind(')'), 3) != ") T") return false;
    }
    return true;
  });
  return stopped ? absl::OkStatus() : absl::DeadlineExceededError("nats-server does not stop");
}

absl::Status NatsServer::Resume() {
  if (!child_->Signal(SIGCONT)) return absl::FailedPreconditionError("nats-server is not running");
  return absl::OkStatus();
}

struct NatsSubscriber::Impl {
  natsConnection* connection = nullptr;
  natsSubscription* subscription = nullptr;
  ~Impl() {
    natsConnection_Close(connection);  // first: userspace/nats/link.h says why
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(connection);
  }
};

NatsSubscriber::NatsSubscriber(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
NatsSubscriber::~NatsSubscriber() = default;

absl::StatusOr<std::unique_ptr<NatsSubscriber>> NatsSubscriber::Subscribe(const std::string& url,
                                                                          const std::string& subject,
                                                                          const std::string& tls_ca_file) {
  auto impl = std::make_unique<Impl>();
  natsStatus status = ConnectNatsClient(url, tls_ca_file, &impl->connection);
  if (status == NATS_OK) status = natsConnection_SubscribeSync(&impl->subscription, impl->connection, subject.c_str());
  // The default would drop the 65,537th unread message.
  if (status == NATS_OK) status = natsSubscription_SetPendingLimits(impl->subscription, -1, -1);
  if (status == NATS_OK) status = natsConnection_FlushTimeout(impl->connection, absl::ToInt64Milliseconds(kDeadline));
  if (status != NATS_OK) return NatsError(status, absl::StrCat("subscribing to ", subject));
  return absl::WrapUnique(new NatsSubscriber(std::move(impl)));
}

std::optional<NatsMessage> NatsSubscriber::Next(absl::Duration deadline) {
  natsMsg* raw = nullptr;
  if (natsSubscription_NextMsg(&raw, impl_->subscription, absl::ToInt64Milliseconds(deadline)) != NATS_OK) {
    return std::nullopt;
  }
  NatsMessage message{.subject = natsMsg_GetSubject(raw),
                      .payload = std::string(natsMsg_GetData(raw), static_cast<size_t>(natsMsg_GetDataLength(raw)))};
  const char* id = nullptr;
  if (natsMsgHeader_Get(raw, "Nats-Msg-Id", &id) == NATS_OK) message.msg_id = id;
  natsMsg_Destroy(raw);
  return message;
}

}  // namespace lattice::testing
