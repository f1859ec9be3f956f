// The node's key: made once, kept private, and nothing else is taken for one.
#include "userspace/audit/signing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/testing/temp_dir.h"
#include "userspace/base/file.h"

namespace lattice::audit {
namespace {

using ::testing::HasSubstr;

// RFC 8032 7.1, test 3.
constexpr char kSeed[] = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7";
constexpr char kPublic[] = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
constexpr char kSignature[] =
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
const std::string kMessage("\xaf\x82");

class SigningKeyFile : public ::testing::Test {
 protected:
  void Write(const std::string& content, mode_t mode = 0600) {
    ASSERT_TRUE(WriteFileAtomically(path_, content, mode).ok());
  }
  absl::Status Refusal() { return SigningKey::LoadOrCreate(path_).status(); }
  mode_t Mode() {
    struct stat st = {};
    EXPECT_EQ(stat(path_.c_str(), &st), 0);
    return st.st_mode & 07777;
  }
  testing::TempDir dir_;
  const std::string path_ = dir_.File("key");
};

TEST_F(SigningKeyFile, ASeedSignsAsTheStandardSays) {
  Write(absl::HexStringToBytes(kSeed));
  const auto key = SigningKey::Load(path_);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(absl::BytesToHexString((*key)->public_key()), kPublic);
  EXPECT_EQ(absl::BytesToHexString((*key)->Sign(kMessage)), kSignature);
  EXPECT_TRUE(VerifySignature((*key)->public_key(), kMessage, absl::HexStringToBytes(kSignature)));
}

TEST_F(SigningKeyFile, AMissingOneIsMadeForUsAloneAndIsTheSameAtTheNextStart) {
  EXPECT_TRUE(absl::IsNotFound(SigningKey::Load(path_).status()));
  const auto made = SigningKey::LoadOrCreate(path_);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(Mode(), 0600u);
  EXPECT_EQ(SigningKey::LoadOrCreate(path_).value()->public_key(), (*made)->public_key());
  const auto other = SigningKey::LoadOrCreate(dir_.File("other"));
  EXPECT_NE((*other)->public_key(), (*made)->public_key());
}

TEST_F(SigningKeyFile, OneThatOthersCanReadOrWriteIsRefused) {
  ASSERT_TRUE(SigningKey::LoadOrCreate(path_).ok());
  for (const mode_t mode : {0640, 0604, 0620, 0666}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    const absl::Status status = Refusal();
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat(path_, " has mode 0")));
    EXPECT_THAT(std::string(status.message()), HasSubstr("chmod 600"));
  }
}

TEST_F(SigningKeyFile, OneOfAnotherUserIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  ASSERT_TRUE(SigningKey::LoadOrCreate(path_).ok());
  ASSERT_EQ(chown(path_.c_str(), 1234, 0), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(Refusal()));
}

TEST_F(SigningKeyFile, WhatIsNoKeyIsRefusedAndKept) {
  const std::string contents[] = {"", "garbage", std::string(31, 'x'), std::string(33, 'x'),
                                  "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"};
  for (const std::string& content : contents) {
    Write(content);
    const absl::Status status = Refusal();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat(path_, " is no Ed25519 private key")));
    EXPECT_EQ(ReadFile(path_).value(), content);
  }
}

TEST_F(SigningKeyFile, AKeyOfAnotherKindIsRefused) {
  // openssl genpkey -algorithm X25519
  Write(
      "-----BEGIN PRIVATE KEY-----\n"
      "MC4CAQAwBQYDK2VuBCIEIHAHbQptgTwW8zw9I6sqX+w1tqAOCTUOVSMlhyS+TlZO\n"
      "-----END PRIVATE KEY-----\n");
  EXPECT_TRUE(absl::IsInvalidArgument(Refusal()));
}

TEST_F(SigningKeyFile, AFolderInItsPlaceIsRefused) {
  ASSERT_EQ(mkdir(path_.c_str(), 0700), 0);
  EXPECT_FALSE(Refusal().ok());
}

TEST(Signature, OfAnotherTextKeyOrLengthIsNone) {
  const std::string public_key = absl::HexStringToBytes(kPublic);
  const std::string signature = absl::HexStringToBytes(kSignature);
  EXPECT_TRUE(VerifySignature(public_key, kMessage, signature));
  EXPECT_FALSE(VerifySignature(public_key, "other", signature));
  EXPECT_FALSE(VerifySignature(std::string(32, 'k'), kMessage, signature));
  EXPECT_FALSE(VerifySignature("", kMessage, signature));
  EXPECT_FALSE(VerifySignature(public_key, kMessage, ""));
  EXPECT_FALSE(VerifySignature(public_key, kMessage, signature.substr(1)));
  for (size_t i = 0; i < signature.size(); ++i) {
    std::string bad = signature;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(VerifySignature(public_key, kMessage, bad)) << i;
  }
}

TEST(PublicKey, IsReadInEachFormAndNothingElseIsTaken) {
  const std::string raw = absl::HexStringToBytes(kPublic);
  EXPECT_EQ(ParsePublicKey(raw).value(), raw);
  EXPECT_EQ(ParsePublicKey(absl::Base64Escape(raw) + "\n").value(), raw);
  // openssl pkey -pubout of the seed above
  EXPECT_EQ(ParsePublicKey("-----BEGIN PUBLIC KEY-----\n" +
                           absl::Base64Escape(absl::HexStringToBytes("302a300506032b6570032100") + raw) +
                           "\n-----END PUBLIC KEY-----\n")
                .value(),
            raw);
  for (const char* const bad : {"", "x", "AAAA", "-----BEGIN PUBLIC KEY-----"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParsePublicKey(bad).status())) << bad;
  }
}

}  // namespace
}  // namespace lattice::audit
