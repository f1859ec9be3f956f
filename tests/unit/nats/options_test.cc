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
        BadOptions{"NoSchemeButOneAfterTheHost", {.urls = {"me:secret@h://"}}, "\"h://\": unknown scheme"},
        BadOptions{"NoSchemeButOneInThePassword", {.urls = {"me:secret://x@h"}}, "\"h\": unknown scheme"},
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

struct Redaction {
  const char* name;
  const char* text;
  const char* want;
};

class RedactUrlsOf : public ::testing::TestWithParam<Redaction> {};

TEST_P(RedactUrlsOf, TakesOutTheUserPart) {
  EXPECT_EQ(RedactUrls(GetParam().text), GetParam().want);
  EXPECT_EQ(RedactUrls(GetParam().want), GetParam().want) << "a second time changes nothing";
}

INSTANTIATE_TEST_SUITE_P(
    Cases, RedactUrlsOf,
    ::testing::Values(
        Redaction{.name = "NoUserPart", .text = "nats://host:4222", .want = "nats://host:4222"},
        Redaction{.name = "UserAndPassword", .text = "nats://me:secret@host:4222", .want = "nats://host:4222"},
        Redaction{.name = "TwoUrlsInASentence",
                  .text = "at nats://token@host and tls://me:secret@other.",
                  .want = "at nats://host and tls://other."},
        Redaction{.name = "PunctuationInThePassword", .text = "nats://me:se@c/r,e'\"t@host", .want = "nats://host"},
        Redaction{.name = "SchemeInThePassword", .text = "nats://me:se://cret@host", .want = "nats://host"},
        Redaction{.name = "CommaList", .text = "nats://me:secret@h,tls://me:secret@i", .want = "nats://i"},
        Redaction{.name = "NoScheme", .text = "me:secret@host:4222", .want = "host:4222"},
        Redaction{.name = "NoSchemeButOneInThePassword", .text = "me:secret://x@host", .want = "host"},
        Redaction{.name = "NoSchemeButOneAfterTheHost", .text = "me:secret@host://", .want = "host://"},
        Redaction{
            .name = "NoSchemeInASentence", .text = "cannot reach me:secret@host now", .want = "cannot reach host now"},
        Redaction{.name = "NoSchemeBesideAnUrl", .text = "me:secret@host nats://other", .want = "host nats://other"},
        Redaction{.name = "UnknownScheme", .text = "secret://x@host", .want = "host"},
        Redaction{.name = "SchemeWithoutASlash", .text = "nats:/me:secret@host", .want = "host"},
        Redaction{.name = "Quoted", .text = "URL \"nats://me:secret@h\": no", .want = "URL \"nats://h\": no"},
        Redaction{.name = "InBrackets", .text = "Invalid (me:secret@h)", .want = "Invalid (h)"},
        Redaction{.name = "V6Host", .text = "tls://me:secret@[2001:db8::1]:4222", .want = "tls://[2001:db8::1]:4222"},
        Redaction{.name = "NoHost", .text = "nats://secret@", .want = "nats://"},
        Redaction{.name = "NoAddress", .text = "no address at all", .want = "no address at all"},
        Redaction{.name = "Blanks", .text = " \t two  words\n", .want = " \t two  words\n"},
        Redaction{.name = "Nothing", .text = "", .want = ""},
        Redaction{.name = "SchemeOfNothing", .text = "://", .want = "://"}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace lattice::nats
