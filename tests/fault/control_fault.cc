#include "tests/fault/control_fault.h"

#include <nats/nats.h>

#include <iostream>
#include <map>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/file.h"
#include "userspace/nats/agent_login.h"

namespace lattice::testing {

using nlohmann::json;
using ::testing::IsEmpty;

struct RawNats::Impl {
  natsConnection* connection = nullptr;
  std::vector<natsSubscription*> subscriptions;
  ~Impl() {
    natsConnection_Close(connection);  // first: userspace/nats/link.h says why
    for (natsSubscription* subscription : subscriptions) natsSubscription_Destroy(subscription);
    natsConnection_Destroy(connection);
  }
};

RawNats::RawNats(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RawNats::~RawNats() = default;

absl::StatusOr<std::unique_ptr<RawNats>> RawNats::Connect(const std::string& url, const std::string& token) {
  auto impl = std::make_unique<Impl>();
  natsOptions* options = nullptr;
  natsStatus status = natsOptions_Create(&options);
  if (status == NATS_OK) status = natsOptions_SetURL(options, url.c_str());
  if (status == NATS_OK) status = natsOptions_SetAllowReconnect(options, false);
  if (const auto login = nats::LoginOfToken(token); status == NATS_OK && login.has_value()) {
    status = natsOptions_SetUserInfo(options, login->user.c_str(), login->password.c_str());
    if (status == NATS_OK) status = natsOptions_SetCustomInboxPrefix(options, nats::AgentInbox(login->user).c_str());
  }
  if (status == NATS_OK) status = natsConnection_Connect(&impl->connection, options);
  natsOptions_Destroy(options);
  if (status != NATS_OK) return absl::UnavailableError(nats_GetLastError(nullptr));
  return absl::WrapUnique(new RawNats(std::move(impl)));
}

absl::Status RawNats::Publish(const std::string& subject, const std::string& payload, const Headers& headers) {
  natsMsg* message = nullptr;
  natsStatus status =
      natsMsg_Create(&message, subject.c_str(), nullptr, payload.data(), static_cast<int>(payload.size()));
  for (const auto& [name, value] : headers) {
    if (status == NATS_OK) status = natsMsgHeader_Set(message, name.c_str(), value.c_str());
  }
  if (status == NATS_OK) status = natsConnection_PublishMsg(impl_->connection, message);
  natsMsg_Destroy(message);
  if (status == NATS_OK) status = natsConnection_FlushTimeout(impl_->connection, 5000);
  return status == NATS_OK ? absl::OkStatus() : absl::UnavailableError(natsStatus_GetText(status));
}

absl::Status RawNats::PublishRequest(const std::string& subject, const std::string& payload, const std::string& reply) {
  natsStatus status = natsConnection_PublishRequest(impl_->connection, subject.c_str(), reply.c_str(), payload.data(),
                                                    static_cast<int>(payload.size()));
  if (status == NATS_OK) status = natsConnection_FlushTimeout(impl_->connection, 5000);
  return status == NATS_OK ? absl::OkStatus() : absl::UnavailableError(natsStatus_GetText(status));
}

std::optional<std::string> RawNats::Request(const std::string& subject, const std::string& payload,
                                            absl::Duration wait) {
  natsMsg* answer = nullptr;
  if (natsConnection_Request(&answer, impl_->connection, subject.c_str(), payload.data(),
                             static_cast<int>(payload.size()), absl::ToInt64Milliseconds(wait)) != NATS_OK) {
    return std::nullopt;
  }
  std::string text(natsMsg_GetData(answer), static_cast<size_t>(natsMsg_GetDataLength(answer)));
  natsMsg_Destroy(answer);
  return text;
}

bool RawNats::IsCut(absl::Duration wait) const {
  return WaitUntil([this] { return natsConnection_Status(impl_->connection) != NATS_CONN_STATUS_CONNECTED; }, wait);
}

bool RawNats::Hears(const std::string& subject, absl::Duration wait, const std::function<void()>& work) {
  natsSubscription* subscription = nullptr;
  if (natsConnection_SubscribeSync(&subscription, impl_->connection, subject.c_str()) != NATS_OK) return false;
  impl_->subscriptions.push_back(subscription);
  natsConnection_FlushTimeout(impl_->connection, 5000);
  work();
  natsMsg* message = nullptr;
  const bool heard = natsSubscription_NextMsg(&message, subscription, absl::ToInt64Milliseconds(wait)) == NATS_OK;
  natsMsg_Destroy(message);
  natsSubscription_Unsubscribe(subscription);
  return heard;
}

void ControlFaultTest::TearDown() {
  writer_ = nullptr;
  if (HasFailure() && server_ != nullptr) std::cerr << "latticed said:\n" << server_->log();
  server_ = nullptr;
}

void ControlFaultTest::StartServer(std::vector<std::string> args) {
  server_ = std::make_unique<Latticed>(std::move(args));
  const absl::Status started = server_->Start();
  ASSERT_TRUE(started.ok()) << started;
  ASSERT_TRUE(WaitUntil([this] { return server_->ready(); })) << NotReadyReason();
}

void ControlFaultTest::StartWriter() {
  const std::string token = server_->EnrollToFile("agent-1");
  ASSERT_FALSE(token.empty());
  writer_ = std::make_unique<AuditWriter>(AuditWriterOptions{.nats_urls = {server_->nats_url()}, .token_file = token});
  const absl::Status started = writer_->Start();
  ASSERT_TRUE(started.ok()) << started;
}

pid_t ControlFaultTest::NatsPid() const {
  const auto text = ReadFile(server_->File("nats/nats-server.pid"));
  pid_t pid = 0;
  return text.ok() && absl::SimpleAtoi(*text, &pid) ? pid : 0;
}

double ControlFaultTest::Count(const std::string& what) const {
  return server_->Scrape().Sum(absl::StrCat("latticed_", what, "_total"));
}

std::string ControlFaultTest::NotReadyReason() const {
  const auto answer = server_->Raw("GET", "/readyz");
  return answer.ok() && answer->status == 503 ? answer->body : "";
}

void ControlFaultTest::ExpectEachOnce(absl::Duration deadline) {
  const std::set<std::string>& written = writer_->ids();
  const auto stored = [this] {
    uint64_t sum = 0;
    const json sources = server_->Get("/api/v1/audit/sources");
    if (!sources.is_object() || !sources["data"].is_object()) return sum;
    for (const json& source : sources["data"]["list"]) sum += source["stored"].get<uint64_t>();
    return sum;
  };
  EXPECT_TRUE(WaitUntil([&] { return stored() >= written.size(); }, deadline)) << stored() << " of " << written.size();
  std::map<std::string, int> times;
  for (const json& event : server_->Flows()) ++times[event["eventId"].get<std::string>()];
  std::vector<std::string> wrong;
  for (const std::string& id : written) {
    if (times[id] != 1) wrong.push_back(absl::StrCat(id, ": ", times[id], " times"));
  }
  EXPECT_THAT(wrong, IsEmpty());
  EXPECT_EQ(times.size(), written.size());
  const json page = server_->Get("/api/v1/audit/flow?limit=1");
  EXPECT_EQ(page["data"]["gaps"], 0) << page;
  EXPECT_EQ(page["data"]["lost"], 0) << page;
  EXPECT_THAT(server_->Get("/api/v1/audit/rejects")["data"]["list"], IsEmpty());
}

bool IsAlive(pid_t pid) {
  const auto stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  if (!stat.ok()) return false;
  return !absl::StrContains(stat->substr(stat->rfind(')')), ") Z");
}

}  // namespace lattice::testing
