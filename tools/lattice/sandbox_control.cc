#include "tools/lattice/sandbox_control.h"

#include <sys/epoll.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::cli {
namespace {

using Json = nlohmann::json;

constexpr absl::Duration kPull = absl::Seconds(15);
constexpr absl::Duration kHeartbeat = absl::Seconds(30);
constexpr absl::Duration kEnterAgain = absl::Seconds(2);
// A burst of changes is pulled once.
constexpr absl::Duration kPokeDelay = absl::Milliseconds(50);
constexpr size_t kMaxNetMapBytes = 64 << 20;

}  // namespace

SandboxControl::SandboxControl(EventLoop& loop, const ServerClient& server, AccessOptions options, AgentAccess access,
                               std::unique_ptr<AgentControl> control, Events events)
    : main_(loop),
      server_(server),
      options_(std::move(options)),
      access_(std::move(access)),
      control_(std::move(control)),
      events_(std::move(events)) {}

SandboxControl::~SandboxControl() {
  if (!thread_.joinable()) return;
  loop_->Stop();
  thread_.join();
}

absl::Status SandboxControl::Start() {
  LATTICE_ASSIGN_OR_RETURN(loop_, EventLoop::Create());
  LATTICE_RETURN_IF_ERROR(Prepare());
  thread_ = std::thread([this] {
    const absl::Status ran = loop_->Run();
    if (!ran.ok()) Final(ran);
  });
  return absl::OkStatus();
}

absl::Status SandboxControl::Prepare() {
  loop_->AddTimer(kPull, [this] { Pull(); });
  loop_->AddTimer(kHeartbeat, [this] { Beat(); });
  loop_->AddOnce(absl::ZeroDuration(), [this] {
    if (control_ == nullptr) return TryEnter();
    WatchPokes();
    Beat();
  });
  return absl::OkStatus();
}

void SandboxControl::TryEnter() {
  auto control = Enter(server_, options_, /*token=*/"", access_);
  if (!control.ok()) {
    if (IsFinal(control.status())) return Final(control.status());
    Warn({absl::StrCat("the control plane is away, going on with what it said last: ", control.status().message())});
    loop_->AddOnce(kEnterAgain, [this] { TryEnter(); });
    return;
  }
  control_ = *std::move(control);
  WatchPokes();
  Pull();
  Beat();
}

void SandboxControl::WatchPokes() {
  if (control_->event_fd() < 0) return;
  const absl::Status watched = loop_->AddFd(control_->event_fd(), EPOLLIN, [this](uint32_t) {
    if (control_->TakePoke() && !std::exchange(pull_soon_, true)) loop_->AddOnce(kPokeDelay, [this] { Pull(); });
  });
  // It is asked every 15 s even so.
  if (!watched.ok()) Warn({std::string(watched.message())});
}

void SandboxControl::Pull() {
  pull_soon_ = false;
  if (control_ == nullptr) return;
  std::vector<std::string> warnings;
  absl::StatusOr<control::AgentConfig> config = control_->GetNetMap(access_.identity, &warnings);
  if (config.ok() && config->status == "revoked") config = absl::PermissionDeniedError("agent is revoked");
  if (IsFinal(config.status())) return Final(config.status());
  if (!config.ok()) warnings = {absl::StrCat("keeping what is in force: ", config.status().message())};
  Warn(warnings);
  if (config.ok()) main_.Post([this, config = *std::move(config)] { events_.on_config(config); });
}

void SandboxControl::Beat() {
  if (control_ == nullptr) return;
  const absl::Status status = control_->Heartbeat(access_.identity);
  if (IsFinal(status)) Final(status);
}

void SandboxControl::Warn(const std::vector<std::string>& warnings) {
  if (warnings == warned_) return;  // said already
  warned_ = warnings;
  for (const std::string& warning : warnings) main_.Post([this, warning] { events_.on_warning(warning); });
}

void SandboxControl::Final(const absl::Status& status) {
  main_.Post([this, status] { events_.on_final(status); });
}

absl::Status StoreNetMap(const std::string& path, const LastNetMap& last) {
  const control::AgentConfig& config = last.config;
  Json peers = Json::array();
  for (const control::PeerConfig& peer : config.peers) {
    Json allowed = Json::array();
    for (const IpPrefix& prefix : peer.allowed_ips) allowed.push_back(prefix.ToString());
    peers.push_back({{"name", peer.name},
                     {"publicKey", peer.public_key},
                     {"endpoint", peer.endpoint},
                     {"allowedIps", allowed},
                     {"keepalive", peer.keepalive_seconds}});
  }
  const Json json = {{"version", config.version},
                     {"address", config.address},
                     {"peers", peers},
                     {"rules", config.rules},
                     {"natsUrl", last.nats_url}};
  return WriteFileAtomically(path, json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n", 0600);
}

absl::StatusOr<LastNetMap> LoadNetMap(const std::string& path) {
  LATTICE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxNetMapBytes));
  const absl::Status damaged = absl::FailedPreconditionError(absl::StrCat(path, " is damaged; remove it"));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return damaged;
  LastNetMap last;
  control::AgentConfig& config = last.config;
  try {  // of the JSON library: a key that is missing or of another type
    last.nats_url = json.at("natsUrl").get<std::string>();
    config.version = json.at("version").get<std::string>();
    config.address = json.at("address").get<std::string>();
    config.rules = json.at("rules").get<std::vector<std::string>>();
    for (const Json& from : json.at("peers")) {
      control::PeerConfig peer{.name = from.at("name").get<std::string>(),
                               .public_key = from.at("publicKey").get<std::string>(),
                               .endpoint = from.at("endpoint").get<std::string>(),
                               .keepalive_seconds = from.at("keepalive").get<int>()};
      for (const Json& prefix : from.at("allowedIps")) {
        const auto parsed = IpPrefix::Parse(prefix.get<std::string>());
        if (!parsed.ok()) return damaged;
        peer.allowed_ips.push_back(*parsed);
      }
      config.peers.push_back(std::move(peer));
    }
  } catch (const Json::exception&) {
    return damaged;
  }
  return last;
}

}  // namespace lattice::cli
