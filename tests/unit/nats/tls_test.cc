// TLS against the real server with certificates of our own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/testing/certificates.h"
#include "tests/testing/nats_server.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/wait_until.h"
#include "userspace/nats/connection.h"

namespace lattice::nats {
namespace {

using ::lattice::testing::MakeCertificates;
using ::lattice::testing::NatsServer;
using ::lattice::testing::NatsServerOptions;
using ::lattice::testing::NatsSubscriber;
using ::lattice::testing::TempDir;
using ::lattice::testing::WaitUntil;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(20);

class NatsTls : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(MakeCertificates(dir_.path()).ok()); }

  std::unique_ptr<NatsServer> Start(bool verify_clients) {
    NatsServerOptions options{.tls_cert_file = dir_.File("server.pem"), .tls_key_file = dir_.File("server.key")};
    if (verify_clients) options.tls_client_ca_file = dir_.File("ca.pem");
    auto server = NatsServer::Start(options);
    EXPECT_TRUE(server.ok()) << server.status();
    return server.ok() ? *std::move(server) : nullptr;
  }
  static Options To(const std::string& url, const std::string& ca) {
    return {.urls = {url}, .tls_ca_file = ca, .reconnect_wait = absl::Milliseconds(20)};
  }
  static void ExpectConnects(const Options& options) {
    auto connection = Connection::Create(options);
    ASSERT_TRUE(connection.ok()) << connection.status();
    ASSERT_TRUE(WaitUntil([&] { return (*connection)->connected(); }));
    EXPECT_TRUE((*connection)->Publish("a", "b").ok());
    EXPECT_TRUE((*connection)->Flush(kLong).ok());
  }
  // The text of the first error, which tells why it does not connect.
  static std::string FirstError(const Options& options) {
    auto connection = Connection::Create(options);
    EXPECT_TRUE(connection.ok()) << connection.status();
    std::vector<Event> events;
    EXPECT_TRUE(WaitUntil([&] { return !(events = (*connection)->TakeEvents()).empty(); }));
    EXPECT_FALSE((*connection)->connected());
    return events.empty() ? "" : events.front().text;
  }

  TempDir dir_;
};

TEST_F(NatsTls, DeliversToAServerOfAKnownAuthority) {
  const auto server = Start(/*verify_clients=*/false);
  ASSERT_NE(server, nullptr);
  auto subscriber = NatsSubscriber::Subscribe(server->url(), "a", dir_.File("ca.pem"));
  ASSERT_TRUE(subscriber.ok()) << subscriber.status();
  ExpectConnects(To(server->url(), dir_.File("ca.pem")));
  EXPECT_TRUE((*subscriber)->Next(kLong).has_value());
}

TEST_F(NatsTls, RefusesAServerOfAnotherAuthority) {
  const auto server = Start(/*verify_clients=*/false);
  ASSERT_NE(server, nullptr);
  EXPECT_THAT(FirstError(To(server->url(), dir_.File("other.pem"))),
              HasSubstr("unable to get local issuer certificate"));
}

TEST_F(NatsTls, RefusesAServerTheSystemDoesNotKnow) {
  const auto server = Start(/*verify_clients=*/false);
  ASSERT_NE(server, nullptr);
  EXPECT_THAT(FirstError(To(server->url(), "")), HasSubstr("unable to get local issuer certificate"));
}

TEST_F(NatsTls, TrustsTheSystemsAuthoritiesWithoutACaFile) {
  const auto server = Start(/*verify_clients=*/false);
  ASSERT_NE(server, nullptr);
  // OpenSSL's name for the system's authorities.
  setenv("SSL_CERT_FILE", dir_.File("ca.pem").c_str(), 1);
  ExpectConnects(To(server->url(), ""));
  unsetenv("SSL_CERT_FILE");
}

TEST_F(NatsTls, RefusesACertificateForAnotherHost) {
  const auto server = Start(/*verify_clients=*/false);
  ASSERT_NE(server, nullptr);
  const std::string url = absl::StrReplaceAll(server->url(), {{"127.0.0.1", "localhost"}});
  EXPECT_THAT(FirstError(To(url, dir_.File("ca.pem"))), HasSubstr("hostname mismatch"));
}

TEST_F(NatsTls, ShowsItsOwnCertificate) {
  const auto server = Start(/*verify_clients=*/true);
  ASSERT_NE(server, nullptr);
  Options options = To(server->url(), dir_.File("ca.pem"));
  options.tls_cert_file = dir_.File("client.pem");
  options.tls_key_file = dir_.File("client.key");
  ExpectConnects(options);
}

TEST_F(NatsTls, IsNotConnectedWithoutTheCertificateTheServerWants) {
  const auto server = Start(/*verify_clients=*/true);
  ASSERT_NE(server, nullptr);
  EXPECT_THAT(FirstError(To(server->url(), dir_.File("ca.pem"))), HasSubstr("cannot connect to NATS"));
}

TEST_F(NatsTls, NeverSpeaksPlainWhenAskedForTls) {
  auto server = NatsServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string url = absl::StrReplaceAll((*server)->url(), {{"nats://", "tls://"}});
  EXPECT_THAT(FirstError(To(url, "")), HasSubstr("cannot connect to NATS"));
}

}  // namespace
}  // namespace lattice::nats
