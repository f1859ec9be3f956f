// What Create() refuses before any server is asked, and what never shows a secret.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/temp_dir.h"
#include "userspace/base/file.h"
#include "userspace/nats/connection.h"

namespace lattice::nats {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct BadOptions {
  const char* name;
  Options options;
  const char* want;
};

class NatsOptions : public ::testing::TestWithParam<BadOptions> {};

TEST_P(NatsOptions, AreRefusedWithTheirName) {
  const auto connection = Connection::Create(GetParam().options);
  ASSERT_FALSE(connection.ok());
  EXPECT_THAT(std::string(connection.status().message()), HasSubstr(GetParam().want)) << connection.status();
  EXPECT_THAT(std::string(connection.status().message()), Not(HasSubstr("secret")));
}

INSTANTIATE_TEST_SUITE_P(
    Bad, NatsOptions,
    ::testing::Values(
        BadOptions{"NoUrl", {}, "no NATS URL"},
        BadOptions{"Scheme", {.urls = {"http://me:secret@h:1"}}, "\"http://h:1\": unknown scheme"},
        BadOptions{"NoHost", {.urls = {"nats://:4222"}}, "no host"},
        BadOptions{"PortZero", {.urls = {"nats://h:0"}}, "no port between 1 and 65535"},
        BadOptions{"PortTooLarge", {.urls = {"nats://h:65536"}}, "no port between 1 and 65535"},
        BadOptions{"PortNotANumber", {.urls = {"h:x"}}, "no port between 1 and 65535"},
        BadOptions{"Bracket", {.urls = {"nats://[::1:4222"}}, "no closing bracket"},
        BadOptions{"AfterBracket", {.urls = {"nats://[::1]x4222"}}, "no port between 1 and 65535"},
        BadOptions{"Space", {.urls = {"nats://me:sec ret@h"}}, "holds a space"},
        BadOptions{"SecondUrl", {.urls = {"nats://h", "ftp://me:secret@i"}}, "\"ftp://i\""},
        BadOptions{"UserWithoutPassword", {.urls = {"h"}, .user = "me"}, "user and password file"},
        BadOptions{"CertificateWithoutKey", {.urls = {"h"}, .tls_cert_file = "/c"}, "certificate file and key file"},
        BadOptions{
            "TwoWays", {.urls = {"h"}, .user = "me", .password_file = "/p", .token_file = "/t"}, "exclude each other"},
        BadOptions{"CredentialsFile", {.urls = {"h"}, .credentials_file = "/no/c"}, "credentials file: opening /no/c"},
        BadOptions{"PasswordFile", {.urls = {"h"}, .user = "me", .password_file = "/no/p"}, "password file: opening"},
        BadOptions{"TokenFile", {.urls = {"h"}, .token_file = "/no/t"}, "token file: opening /no/t"},
        BadOptions{"CaFile", {.urls = {"h"}, .tls_ca_file = "/no/ca"}, "authorities in /no/ca"},
        BadOptions{"KeyFile", {.urls = {"h"}, .tls_cert_file = "/no/c", .tls_key_file = "/no/k"}, "certificate /no/c"}),
    [](const auto& c) { return c.param.name; });

TEST(NatsSecretFile, MustNotBeEmpty) {
  lattice::testing::TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("token"), "\n", 0600).ok());
  const auto connection = Connection::Create({.urls = {"h"}, .token_file = dir.File("token")});
  EXPECT_THAT(std::string(connection.status().message()), HasSubstr("is empty"));
}

TEST(RedactUrls, TakesOutTheUserPart) {
  const std::pair<const char*, const char*> cases[] = {
      {"nats://host:4222", "nats://host:4222"},
      {"nats://me:secret@host:4222", "nats://host:4222"},
      {"at nats://token@host and tls://me:secret@other.", "at nats://host and tls://other."},
      {"nats://me:se@c/r,e'\"t@host", "nats://host"},
      {"me:secret@host:4222", "host:4222"},
      {"no address at all", "no address at all"},
      {"", ""},
      {"://", "://"},
  };
  for (const auto& [text, want] : cases) EXPECT_EQ(RedactUrls(text), want);
}

}  // namespace
}  // namespace lattice::nats
