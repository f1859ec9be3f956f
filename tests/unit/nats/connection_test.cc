// Against the real server: what Publish and Flush promise while it comes, goes and hangs.
#include "userspace/nats/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/testing/nats_server.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/wait_until.h"
#include "userspace/base/file.h"
#include "userspace/base/unique_fd.h"
#include "userspace/nats/session.h"

namespace lattice::nats {
namespace {

using ::lattice::testing::NatsServer;
using ::lattice::testing::NatsSubscriber;
using ::lattice::testing::TempDir;
using ::lattice::testing::WaitUntil;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kLong = absl::Seconds(20);

Options To(const std::string& url) {
  return {.urls = {url}, .name = "lattice test", .reconnect_wait = absl::Milliseconds(20)};
}

std::unique_ptr<Connection> Connect(const Options& options) {
  auto connection = Connection::Create(options);
  EXPECT_TRUE(connection.ok()) << connection.status();
  EXPECT_TRUE(WaitUntil([&] { return (*connection)->connected(); }));
  return *std::move(connection);
}

// Waits for an event with `text` in it; returns all that came.
std::vector<Event> AwaitEvent(Connection& connection, const std::string& text) {
  std::vector<Event> all;
  const bool found = WaitUntil([&] {
    pollfd fd = {connection.event_fd(), POLLIN, 0};
    if (poll(&fd, 1, 100) != 1) return false;
    for (Event& event : connection.TakeEvents()) all.push_back(std::move(event));
    return std::any_of(all.begin(), all.end(), [&](const Event& e) { return e.text.find(text) != std::string::npos; });
  });
  EXPECT_TRUE(found) << "no event with \"" << text << "\"; last: " << (all.empty() ? "none" : all.back().text);
  return all;
}

// As the publisher does it: everything since the last good flush again, until a flush is good.
void PublishUntilFlushed(Connection& connection, const std::string& subject, const std::vector<std::string>& ids) {
  const bool done = WaitUntil([&] {
    for (const std::string& id : ids) {
      if (!connection.Publish(subject, absl::StrCat("payload of ", id), id).ok()) return false;
    }
    return connection.Flush(kLong).ok();
  });
  EXPECT_TRUE(done);
}

TEST(NatsConnection, DeliversSubjectPayloadAndMessageId) {
  auto server = NatsServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  auto subscriber = NatsSubscriber::Subscribe((*server)->url(), "lattice.>");
  ASSERT_TRUE(subscriber.ok()) << subscriber.status();
  auto connection = Connect(To((*server)->url()));
  const std::string binary("a\0b\r\n{}", 7);
  ASSERT_TRUE(connection->Publish("lattice.audit.flow", binary, "node/boot/1").ok());
  ASSERT_TRUE(connection->Publish("lattice.other", "").ok());
  ASSERT_TRUE(connection->Flush(kLong).ok());
  const auto first = (*subscriber)->Next(kLong);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->subject, "lattice.audit.flow");
  EXPECT_EQ(first->payload, binary);
  EXPECT_EQ(first->msg_id, "node/boot/1");
  const auto second = (*subscriber)->Next(kLong);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->payload, "");
  EXPECT_EQ(second->msg_id, "");
  EXPECT_EQ(connection->server(), (*server)->url());
  EXPECT_EQ(AwaitEvent(*connection, "connected to NATS at nats://127.0.0.1").front().kind, Event::Kind::kConnected);
}

TEST(NatsConnection, StartsWithoutAServerAndConnectsWhenItComes) {
  int port = 0;
  {
    auto server = NatsServer::Start();
    ASSERT_TRUE(server.ok()) << server.status();
    port = (*server)->port();
  }
  auto connection = Connection::Create(To(absl::StrCat("nats://127.0.0.1:", port)));
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_EQ(AwaitEvent(**connection, "cannot connect to NATS").front().kind, Event::Kind::kError);
  EXPECT_FALSE((*connection)->connected());
  EXPECT_EQ((*connection)->server(), "");
  const absl::Status refused = (*connection)->Publish("a", "lost");
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("not connected to NATS"));

  auto server = NatsServer::Start({.port = port});
  ASSERT_TRUE(server.ok()) << server.status();
  auto subscriber = NatsSubscriber::Subscribe((*server)->url(), "a");
  ASSERT_TRUE(subscriber.ok()) << subscriber.status();
  PublishUntilFlushed(**connection, "a", {"1"});
  const auto message = (*subscriber)->Next(kLong);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->msg_id, "1");  // and not the one that was refused
  EXPECT_EQ((*connection)->reconnects(), 0u);
}

TEST(NatsConnection, ReconnectsAfterARestartAndSaysSo) {
  auto server = NatsServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  auto connection = Connect(To((*server)->url()));
  AwaitEvent(*connection, "connected to NATS");
  ASSERT_TRUE((*server)->Stop().ok());
  EXPECT_EQ(AwaitEvent(*connection, "NATS connection lost").front().kind, Event::Kind::kDisconnected);
  EXPECT_FALSE(connection->connected());
  EXPECT_TRUE(absl::IsUnavailable(connection->Publish("a", "b")));
  ASSERT_TRUE((*server)->Restart().ok());
  AwaitEvent(*connection, "connected to NATS");
  EXPECT_EQ(connection->reconnects(), 1u);
  EXPECT_TRUE(connection->Publish("a", "b").ok());
  EXPECT_TRUE(connection->Flush(kLong).ok());
}

TEST(NatsConnection, FlushFailsWhenTheConnectionWasMadeAnewSincePublish) {
  auto server = NatsServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  auto connection = Connect(To((*server)->url()));
  ASSERT_TRUE(connection->Publish("a", "perhaps lost").ok());
  ASSERT_TRUE((*server)->Restart().ok());
  ASSERT_TRUE(WaitUntil([&] { return connection->reconnects() == 1 && connection->connected(); }));
  // A flush of the new connection would be OK and prove nothing.
  const absl::Status flushed = connection->Flush(kLong);
  EXPECT_TRUE(absl::IsUnavailable(flushed)) << flushed;
  EXPECT_TRUE(connection->Publish("a", "again").ok());
  EXPECT_TRUE(connection->Flush(kLong).ok());
}

TEST(NatsConnection, PublishFailsOnceWhenTheConnectionWasMadeAnewSincePublish) {
  auto server = NatsServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  auto connection = Connect(To((*server)->url()));
  ASSERT_TRUE(connection->Publish("a", "perhaps lost").ok());
  ASSERT_TRUE((*server)->Restart().ok());
  ASSERT_TRUE(WaitUntil([&] { return connection->reconnects() == 1 && connection->connected(); }));
  EXPECT_TRUE(absl::IsUnavailable(connection->Publish("a", "the second")));
  EXPECT_TRUE(connection->Publish("a", "perhaps lost").ok());
  EXPECT_TRUE(connection->Flush(kLong).ok());
}

TEST(NatsConnection, LosesNothingWhenTheServerDiesAgainAndAgain) {
  auto server = NatsServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  auto subscriber = NatsSubscriber::Subscribe((*server)->url(), "a");
  ASSERT_TRUE(subscriber.ok()) << subscriber.status();
  auto connection = Connect(To((*server)->url()));
  std::set<std::string> missing;
  for (int batch = 0; batch < 3; ++batch) {
    std::vector<std::string> ids;
    for (int i = 0; i < 100; ++i) ids.push_back(absl::StrCat(batch, "/", i));
    missing.insert(ids.begin(), ids.end());
    ASSERT_TRUE((*server)->Restart().ok());
    // The subscriber is not durable, so it has to be back before the messages.
    subscriber = NatsSubscriber::Subscribe((*server)->url(), "a");
    ASSERT_TRUE(subscriber.ok()) << subscriber.status();
    PublishUntilFlushed(*connection, "a", ids);
    while (!missing.empty()) {
      const auto message = (*subscriber)->Next(kLong);
      ASSERT_TRUE(message.has_value()) << missing.size() << " missing, first " << *missing.begin();
      EXPECT_EQ(message->payload, absl::StrCat("payload of ", message->msg_id));
      missing.erase(message->msg_id);
    }
  }
}

TEST(NatsConnection, FlushEndsAtItsDeadlineWhenTheServerHangs) {
  auto server = NatsServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  auto connection = Connect(To((*server)->url()));
  ASSERT_TRUE((*server)->Pause().ok());
  ASSERT_TRUE(connection->Publish("a", "b").ok());
  const absl::Status flushed = connection->Flush(absl::Milliseconds(50));
  EXPECT_TRUE(absl::IsDeadlineExceeded(flushed)) << flushed;
  ASSERT_TRUE((*server)->Resume().ok());
  EXPECT_TRUE(connection->Flush(kLong).ok());
}

TEST(NatsConnection, PublishEndsWhenTheServerDoesNotRead) {
  auto server = NatsServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  Options options = To((*server)->url());
  options.write_timeout = absl::Milliseconds(100);
  auto connection = Connect(options);
  ASSERT_TRUE((*server)->Pause().ok());
  const std::string payload(512 << 10, 'x');
  absl::Status status;
  for (int i = 0; i < 1000 && status.ok(); ++i) status = connection->Publish("a", payload);  // 500 MB fill any socket
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  ASSERT_TRUE((*server)->Resume().ok());
  PublishUntilFlushed(*connection, "a", {"1"});
}

TEST(NatsConnection, GivesUpAServerThatDoesNotAnswerPings) {
  auto server = NatsServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  Options options = To((*server)->url());
  options.ping_interval = absl::Milliseconds(50);
  auto connection = Connect(options);
  ASSERT_TRUE((*server)->Pause().ok());
  AwaitEvent(*connection, "NATS connection lost");
  ASSERT_TRUE((*server)->Resume().ok());
  AwaitEvent(*connection, "connected to NATS");
}

TEST(NatsConnection, RefusesAMessageThatCanNeverPassAndKeepsTheOthers) {
  auto server = NatsServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  auto subscriber = NatsSubscriber::Subscribe((*server)->url(), "a");
  ASSERT_TRUE(subscriber.ok()) << subscriber.status();
  auto connection = Connect(To((*server)->url()));
  ASSERT_TRUE(connection->Publish("a", "good").ok());
  EXPECT_TRUE(absl::IsInvalidArgument(connection->Publish("a", std::string(2 << 20, 'x'))));  // the limit is 1 MiB
  EXPECT_TRUE(absl::IsInvalidArgument(connection->Publish("a", std::string(2 << 20, 'x'), "id")));
  EXPECT_TRUE(absl::IsInvalidArgument(connection->Publish("", "x")));
  EXPECT_TRUE(absl::IsInvalidArgument(connection->Publish("a b", "x")));
  EXPECT_TRUE(absl::IsInvalidArgument(connection->Publish("a\r\nPUB b 0", "x")));
  EXPECT_TRUE(absl::IsInvalidArgument(connection->Publish("a", "x", "1\r\nFaked: yes")));
  EXPECT_TRUE(connection->Flush(kLong).ok());
  EXPECT_EQ(connection->reconnects(), 0u);
  EXPECT_EQ((*subscriber)->Next(kLong)->payload, "good");
}

// The server answers the flush of what it refused as if nothing were; a publisher that believed it would lose all.
TEST(NatsConnection, FlushFailsWhenTheServerDoesNotPermitUsToPublish) {
  constexpr char kDenied[] =
      R"(no_auth_user: u
         authorization { users = [{user: u, password: p, permissions: {publish: {deny: ["lattice.>"]}}}] })";
  auto server = NatsServer::Start({.config = kDenied});
  ASSERT_TRUE(server.ok()) << server.status();
  auto connection = Connect(To((*server)->url()));
  ASSERT_TRUE(connection->Publish("lattice.audit.flow", "refused", "1").ok());
  const absl::Status flushed = connection->Flush(kLong);
  EXPECT_TRUE(absl::IsUnavailable(flushed)) << flushed;
  EXPECT_THAT(std::string(flushed.message()), HasSubstr("Permissions Violation for Publish to \"lattice.audit.flow\""));
  AwaitEvent(*connection, "Permissions Violation");
  // What is permitted passes on the next connection; what was told once holds up nothing.
  PublishUntilFlushed(*connection, "other", {"2"});
  // The operator mends the permissions: no restart of ours needed.
  (*server)->options().config = "";
  ASSERT_TRUE((*server)->Restart().ok());
  auto subscriber = NatsSubscriber::Subscribe((*server)->url(), "lattice.>");
  ASSERT_TRUE(subscriber.ok()) << subscriber.status();
  PublishUntilFlushed(*connection, "lattice.audit.flow", {"1"});
  EXPECT_EQ((*subscriber)->Next(kLong)->msg_id, "1");
}

// The library's own lock is held during a write; the daemon's main loop must not wait for it.
TEST(NatsConnection, ItsStateIsToldAtOnceWhileAWriteStands) {
  auto server = NatsServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  Options options = To((*server)->url());
  options.write_timeout = absl::Seconds(3);
  auto connection = Connect(options);
  ASSERT_TRUE((*server)->Pause().ok());
  std::atomic<bool> failed = false;
  std::thread publisher([&] {
    const std::string payload(512 << 10, 'x');
    while (connection->Publish("a", payload).ok()) {
    }
    failed = true;
  });
  absl::Duration longest = absl::ZeroDuration();
  while (!failed) {
    const absl::Time start = absl::Now();
    connection->connected();
    connection->server();
    longest = std::max(longest, absl::Now() - start);
    absl::SleepFor(absl::Milliseconds(1));
  }
  publisher.join();
  EXPECT_LT(longest, absl::Seconds(1));
}

TEST(NatsConnection, EndsThoughAServerAcceptsAndSaysNothing) {
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  ASSERT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  Options options = To(absl::StrCat("nats://127.0.0.1:", ntohs(address.sin_port)));
  options.connect_timeout = absl::Milliseconds(200);
  auto connection = Connection::Create(options);
  ASSERT_TRUE(connection.ok()) << connection.status();
  const UniqueFd silent(accept(listener.get(), nullptr, nullptr));
  ASSERT_TRUE(silent.ok());
  const absl::Time start = absl::Now();
  connection->reset();
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
}

TEST(NatsConnection, ASessionStaysAliveWhileItIsHeldAndTheNextOneIsWaitedFor) {
  auto server = NatsServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  auto connection = Connect(To((*server)->url()));
  const std::shared_ptr<Session> first = connection->session();
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(connection->AwaitSession(0, kLong), first);
  EXPECT_EQ(connection->AwaitSession(first->number(), absl::Milliseconds(20)), nullptr);
  ASSERT_TRUE((*server)->Restart().ok());
  const std::shared_ptr<Session> second = connection->AwaitSession(first->number(), kLong);
  ASSERT_NE(second, nullptr);
  EXPECT_GT(second->number(), first->number());
  EXPECT_EQ(natsConnection_Status(first->get()), NATS_CONN_STATUS_CLOSED);
}

TEST(NatsConnection, FlushOfNothingIsOk) {
  auto connection = Connection::Create(To("nats://127.0.0.1:1"));
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_TRUE((*connection)->Flush(kLong).ok());
}

class NatsPassword : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& secret) {
    ASSERT_TRUE(WriteFileAtomically(dir_.File(name), secret + "\n", 0600).ok());
  }
  TempDir dir_;
};

TEST_F(NatsPassword, WrongOneIsToldWithoutIt) {
  auto server = NatsServer::Start({.user = "me", .password = "right"});
  ASSERT_TRUE(server.ok()) << server.status();
  Write("password", "wrong-secret");
  Options options = To((*server)->url());
  options.user = "me";
  options.password_file = dir_.File("password");
  auto connection = Connection::Create(options);
  ASSERT_TRUE(connection.ok()) << connection.status();
  for (const Event& event : AwaitEvent(**connection, "Authorization Violation")) {
    EXPECT_THAT(event.text, Not(HasSubstr("wrong-secret")));
  }
  const absl::Status refused = (*connection)->Publish("a", "b");
  EXPECT_TRUE(absl::IsUnavailable(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("Authorization Violation"));
  // The operator mends the file: no restart needed.
  Write("password", "right");
  PublishUntilFlushed(**connection, "a", {"1"});
}

TEST_F(NatsPassword, InTheUrlIsUsedAndNeverShown) {
  auto server = NatsServer::Start({.user = "me", .password = "top-secret"});
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string host = (*server)->url().substr(7);
  auto connection = Connect(To(absl::StrCat("nats://me:top-secret@", host)));
  EXPECT_EQ(connection->server(), (*server)->url());
  std::vector<Event> events = AwaitEvent(*connection, "connected to NATS");
  ASSERT_TRUE((*server)->Stop().ok());
  for (Event& event : AwaitEvent(*connection, "cannot connect")) events.push_back(std::move(event));
  const absl::Status refused = connection->Publish("a", "b");
  EXPECT_THAT(std::string(refused.message()), Not(HasSubstr("top-secret")));
  for (const Event& event : events) EXPECT_THAT(event.text, Not(HasSubstr("top-secret")));
}

TEST_F(NatsPassword, TokenFileIsUsed) {
  auto server = NatsServer::Start({.token = "the-token"});
  ASSERT_TRUE(server.ok()) << server.status();
  Write("token", "the-token");
  Options options = To((*server)->url());
  options.token_file = dir_.File("token");
  auto connection = Connect(options);
  EXPECT_TRUE(connection->Publish("a", "b").ok());
  EXPECT_TRUE(connection->Flush(kLong).ok());
}

TEST_F(NatsPassword, ChangedOnTheServerIsFollowed) {
  auto server = NatsServer::Start({.user = "me", .password = "first"});
  ASSERT_TRUE(server.ok()) << server.status();
  Write("password", "first");
  Options options = To((*server)->url());
  options.user = "me";
  options.password_file = dir_.File("password");
  auto connection = Connect(options);
  (*server)->options().password = "second";
  ASSERT_TRUE((*server)->Restart().ok());
  AwaitEvent(*connection, "Authorization Violation");
  Write("password", "second");
  PublishUntilFlushed(*connection, "a", {"1"});
}

}  // namespace
}  // namespace lattice::nats
