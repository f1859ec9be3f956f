#include "userspace/control/server/nats_users.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/encoding.h"
#include "userspace/control/registry/identity.h"
#include "userspace/nats/agent_login.h"

namespace lattice::control {
namespace {

constexpr char kServerUser[] = "_latticed";
constexpr char kEnrolUser[] = "_enroll";
constexpr char kCheckUser[] = "_check";
// No agent has a name that begins with '_'.
constexpr absl::Duration kLeastPause = absl::Milliseconds(100);
// Between two reloads, in times of what one takes: the server has other things to do.
constexpr int kPauseFactor = 3;
constexpr absl::Duration kRetry = absl::Seconds(1);
constexpr absl::Duration kReadPatience = absl::Seconds(3);
constexpr absl::Duration kWaiterPatience = absl::Seconds(5);
constexpr absl::Duration kLook = absl::Milliseconds(10);

// The one secret of `path`, made when missing.
absl::StatusOr<std::string> KeptSecret(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, 4096);
  if (text.ok()) {
    const std::string secret(absl::StripAsciiWhitespace(*text));
    if (!secret.empty()) return secret;
  } else if (!absl::IsNotFound(text.status())) {
    return text.status();
  }
  const std::string secret = Hex(RandomBytes(24));
  LATTICE_RETURN_IF_ERROR(WriteFileAtomically(path, secret + "\n", 0600));
  return secret;
}

std::string Subjects(const std::vector<std::string>& subjects) {
  return absl::StrCat("[ \"", absl::StrJoin(subjects, "\", \""), "\" ]");
}

std::string User(const std::string& name, const std::string& password, const std::vector<std::string>& publish,
                 const std::vector<std::string>& subscribe) {
  return absl::StrCat("  { user: \"", name, "\", password: \"", password,
                      "\", permissions: { publish: ", Subjects(publish), ", subscribe: ", Subjects(subscribe),
                      " } }\n");
}

std::string AgentUser(const NatsUser& agent) {
  std::vector<std::string> hears = {nats::AgentInbox(agent.name) + ".>", kConfigSubjectOfAll,
                                    ConfigSubject(agent.name)};
  if (agent.peer_id != 0) hears.push_back(absl::StrCat("lattice.signals.peers.", agent.peer_id));
  return User(agent.name, agent.password, {"lattice.audit.flow", "lattice.audit.head", "lattice.signals.peer.*"},
              hears);
}

std::string EnrolUser(const std::string& password, bool records) {
  // Nothing of $JS.API, here and for agents: nats-server 2.9 ends by a request there that asks to be answered on a
  // subject with a wildcard.
  std::vector<std::string> publish = {"lattice.signals.peer.*"};
  if (records) publish.insert(publish.end(), {"lattice.audit.flow", "lattice.audit.head"});
  return User(kEnrolUser, password, publish, {"_INBOX.>", "lattice.signals.peers.*"});
}

}  // namespace

absl::StatusOr<std::unique_ptr<NatsUsers>> NatsUsers::Create(NatsUsersOptions options) {
  auto users = absl::WrapUnique(new NatsUsers(std::move(options)));
  const std::string& folder = users->options_.folder;
  LATTICE_RETURN_IF_ERROR(MakeDirectories(folder, 0700));
  LATTICE_ASSIGN_OR_RETURN(users->server_password_, KeptSecret(folder + "/server.password"));
  LATTICE_ASSIGN_OR_RETURN(users->enrol_password_, KeptSecret(folder + "/enroll.password"));
  LATTICE_ASSIGN_OR_RETURN(users->known_, users->Write());
  return users;
}

NatsUsers::~NatsUsers() {
  std::vector<Waiter> left;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    left.swap(waiters_);
  }
  if (thread_.joinable()) thread_.join();
  for (const Waiter& waiter : left) waiter.done();
}

void NatsUsers::Start(std::function<void()> reload, nats::Options server) {
  reload_ = std::move(reload);
  server_ = std::move(server);
  absl::MutexLock lock(&mutex_);
  started_ = true;
  thread_ = std::thread([this] { Run(); });
}

std::string NatsUsers::server_login() const {
  return absl::StrCat(kServerUser, ":", server_password_);
}

std::string NatsUsers::enrol_login() const {
  return options_.open_enrolment ? absl::StrCat(kEnrolUser, ":", enrol_password_) : "";
}

void NatsUsers::WhenInForce(std::function<void()> done) {
  {
    absl::MutexLock lock(&mutex_);
    ++wanted_;
    if (started_ && !stopping_) {
      waiters_.push_back({wanted_, absl::Now() + kWaiterPatience, std::move(done)});
      return;
    }
  }
  done();
}

// Gives the password of _check in the file. One that is there already is left alone.
absl::StatusOr<std::string> NatsUsers::Write() {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<NatsUser> agents, options_.agents());
  std::string text = absl::StrCat("  { user: \"", kServerUser, "\", password: \"", server_password_, "\" }\n");
  if (options_.open_enrolment) absl::StrAppend(&text, EnrolUser(enrol_password_, options_.open_records));
  for (const NatsUser& agent : agents) absl::StrAppend(&text, AgentUser(agent));
  agents_ = agents.size();
  const std::string check = Hex(HmacSha256(server_password_, text));
  if (check == check_password_) return check;
  absl::StrAppend(&text, "  { user: \"", kCheckUser, "\", password: \"", check,
                  "\", permissions: { publish: { deny: \">\" }, subscribe: { deny: \">\" } } }\n");
  LATTICE_RETURN_IF_ERROR(WriteFileAtomically(
      options_.folder + "/users.conf",
      absl::StrCat("# Written by latticed when agents come and go.\nusers: [\n", text, "]\n"), 0600));
  check_password_ = check;
  return check;
}

absl::Status NatsUsers::Apply() {
  LATTICE_ASSIGN_OR_RETURN(const std::string check, Write());
  if (check == known_) return absl::OkStatus();
  ++reloads_;
  // Until it is known what the server has read it may be this one or that before.
  known_.clear();
  reload_();
  LATTICE_RETURN_IF_ERROR(AwaitRead());
  known_ = check;
  return absl::OkStatus();
}

absl::Status NatsUsers::AwaitRead() const {
  nats::Options login = server_;
  for (std::string& url : login.urls) {
    const size_t host = url.find("://") + 3;
    url.insert(host, absl::StrCat(kCheckUser, ":", check_password_, "@"));
  }
  login.reconnect_wait = kLook;
  // It tries until it is let in. By itself the library would wait for a server that stands still without a limit.
  LATTICE_ASSIGN_OR_RETURN(const std::unique_ptr<nats::Connection> connection, nats::Connection::Create(login));
  if (connection->AwaitSession(0, kReadPatience) != nullptr) return absl::OkStatus();
  return Annotate(connection->NotConnected(), "nats-server does not take its new users");
}

void NatsUsers::CallBack(uint64_t change) {
  std::vector<Waiter> done;
  {
    absl::MutexLock lock(&mutex_);
    applied_ = std::max(applied_, change);
    const absl::Time now = absl::Now();
    const auto ended = [&](const Waiter& waiter) { return waiter.change > change && waiter.deadline > now; };
    const auto first = std::stable_partition(waiters_.begin(), waiters_.end(), ended);
    done.assign(std::make_move_iterator(first), std::make_move_iterator(waiters_.end()));
    waiters_.erase(first, waiters_.end());
  }
  for (const Waiter& waiter : done) waiter.done();
}

bool NatsUsers::Sleep(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&stopping_), duration);
  return !stopping_;
}

void NatsUsers::Run() {
  while (true) {
    uint64_t change = 0;
    {
      const auto due = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_ || wanted_ > applied_; };
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&due));
      if (stopping_) return;
      change = wanted_;
    }
    const absl::Time began = absl::Now();
    const absl::Status applied = Apply();
    if (applied.ok()) {
      CallBack(change);
      if (!Sleep(std::max(kLeastPause, kPauseFactor * (absl::Now() - began)))) return;
    } else {
      ++failures_;
      LOG(WARNING) << "agents that came or went are not known to NATS yet: " << applied.message() << "; trying again";
      CallBack(0);
      if (!Sleep(kRetry)) return;
    }
  }
}

}  // namespace lattice::control
