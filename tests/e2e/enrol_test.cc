// Agents from their enrolment to their revocation, as operators run them: latticed, `lattice token`, `lattice up` in a
// namespace each, `lattice policy set`, `lattice agents revoke`.
//
//            node                    peer
//   net0     192.0.2.1/24            192.0.2.2/24       NATS and latticed listen on 192.0.2.1
//   wg0      agent "a"               agent "b"
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/testing/child_process.h"
#include "tests/testing/command.h"
#include "tests/testing/latticed_dp.h"
#include "tests/testing/nats_server.h"
#include "tests/testing/netns.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/wait_until.h"
#include "userspace/base/file.h"

namespace lattice::testing {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kSeconds = absl::Seconds(10);  // "within seconds", on a loaded machine

class Enrolment : public ::testing::Test {
 protected:
  void SetUp() override {
    for (auto& [ns, role] : {std::pair{&node_, "node"}, std::pair{&peer_, "peer"}}) {
      auto made = NetNamespace::Create(role);
      ASSERT_TRUE(made.ok()) << made.status();
      *ns = *std::move(made);
    }
    ASSERT_TRUE(ConnectByVeth(*node_, *peer_, "net0", {"192.0.2.1/24"}, {"192.0.2.2/24"}).ok());
    ASSERT_NO_FATAL_FAILURE(StartNats());
    const std::string nats =
        nats_ == nullptr ? "--nats-addr=192.0.2.1:4222" : absl::StrCat("--nats-url=nats://192.0.2.1:", nats_->port());
    auto latticed = ChildProcess::Start(
        {.argv = {BinaryPath("latticed"), "--data-dir=" + dir_.File("control"), "--http-addr=192.0.2.1:8080", nats},
         .netns = node_->path()});
    ASSERT_TRUE(latticed.ok()) << latticed.status();
    latticed_ = *std::move(latticed);
    ASSERT_TRUE(latticed_->WaitForOutput("latticed is ready", absl::Seconds(30))) << latticed_->err();
  }
  virtual void StartNats() {
    auto nats = NatsServer::Start({.jetstream = true, .netns = node_->path(), .address = "192.0.2.1"});
    ASSERT_TRUE(nats.ok()) << nats.status();
    nats_ = *std::move(nats);
  }
  void TearDown() override {
    if (HasFailure()) {
      for (const auto& [name, agent] : agents_) std::cerr << name << ":\n" << (agent ? agent->err() : "") << "\n";
      if (latticed_ != nullptr) std::cerr << "latticed:\n" << latticed_->err();
    }
    for (auto& [name, agent] : agents_) {
      if (agent != nullptr && agent->Signal(SIGTERM)) agent->Wait(absl::Seconds(30));
      agent = nullptr;
      std::error_code error;
      std::filesystem::remove_all(PinPath(name), error);
    }
  }

  // `lattice COMMAND…` of the administrator.
  CommandResult Admin(std::vector<std::string> command) {
    command.insert(command.begin(), BinaryPath("lattice"));
    command.push_back("--server-url=http://192.0.2.1:8080");
    command.push_back("--api-token-file=" + dir_.File("control/admin.token"));
    return RunCommand(node_->Inside(std::move(command)));
  }
  std::string Token(const std::string& name) {
    const CommandResult made = Admin({"token", "create", "--name=" + name});
    EXPECT_TRUE(made.ok()) << made;
    return std::string(absl::StripAsciiWhitespace(made.out));
  }
  std::string PinPath(const std::string& name) const { return absl::StrCat("/sys/fs/bpf/lat-t-", getpid(), "-", name); }

  // `lattice up` inside. The control socket has one place for all namespaces: each agent gets that folder for
  // itself.
  ChildProcess& Up(const NetNamespace& ns, const std::string& name, const std::string& token,
                   const std::string& more = "") {
    mkdir("/run/wireguard", 0755);
    const std::string command =
        absl::StrCat("mount -t tmpfs tmpfs /run/wireguard && exec ", BinaryPath("lattice"), " up --name=", name,
                     " --server-url=http://192.0.2.1:8080 --endpoint=", &ns == node_.get() ? "192.0.2.1" : "192.0.2.2",
                     ":51820", " --config-dir=", dir_.File(name), token.empty() ? "" : " --token=", token, " ", more,
                     " -- --pin-path=", PinPath(name), " --audit-log=", dir_.File(name + ".jsonl"), " --node=", name,
                     " --metrics-addr=127.0.0.1:0");
    auto child = ChildProcess::Start({.argv = {"unshare", "--mount", "sh", "-c", command}, .netns = ns.path()});
    EXPECT_TRUE(child.ok()) << child.status();
    agents_[name] = *std::move(child);
    return *agents_[name];
  }
  bool Pings(const NetNamespace& from, const std::string& to) {
    return RunCommand(from.Inside({"ping", "-n", "-c1", "-W1", to})).ok();
  }
  bool HasWg0(const NetNamespace& ns) { return RunCommand({"ip", "-n", ns.name(), "link", "show", "wg0"}).ok(); }
  void BothUp() {
    for (const char* name : {"a", "b"}) ASSERT_TRUE(Admin({"policy", "set", name, "10.42.0.0/16"}).ok());
    ASSERT_TRUE(Up(*node_, "a", Token("a")).WaitForOutput("is up as 10.42.0.2", absl::Seconds(60)));
    ASSERT_TRUE(Up(*peer_, "b", Token("b")).WaitForOutput("is up as 10.42.0.3", absl::Seconds(60)));
  }

  TempDir dir_;
  std::unique_ptr<NetNamespace> node_, peer_;
  std::unique_ptr<NatsServer> nats_;  // null: latticed has its own
  std::unique_ptr<ChildProcess> latticed_;
  std::map<std::string, std::unique_ptr<ChildProcess>> agents_;
};

TEST_F(Enrolment, TwoAgentsReachEachOtherAsLongAsTheirPolicyAndTheControlPlaneSay) {
  BothUp();
  EXPECT_TRUE(WaitUntil([&] { return Pings(*node_, "10.42.0.3"); }, kSeconds)) << "a does not reach b";
  EXPECT_TRUE(WaitUntil([&] { return Pings(*peer_, "10.42.0.2"); }, kSeconds)) << "b does not reach a";

  ASSERT_TRUE(Admin({"policy", "set", "a"}).ok());
  EXPECT_TRUE(WaitUntil([&] { return !Pings(*node_, "10.42.0.3"); }, kSeconds)) << "the denial did not come";
  ASSERT_TRUE(Admin({"policy", "set", "a", "10.42.0.3/32"}).ok());
  EXPECT_TRUE(WaitUntil([&] { return Pings(*node_, "10.42.0.3"); }, kSeconds)) << "the permission did not come";
  EXPECT_THAT(Admin({"policy", "show", "a"}).out, HasSubstr("10.42.0.3/32"));

  const CommandResult agents = Admin({"agents"});
  EXPECT_THAT(agents.out, HasSubstr("10.42.0.2"));
  EXPECT_THAT(agents.out, HasSubstr("192.0.2.2:51820"));

  ASSERT_TRUE(Admin({"agents", "revoke", "b"}).ok());
  EXPECT_TRUE(WaitUntil([&] { return !Pings(*node_, "10.42.0.3"); }, kSeconds)) << "a still reaches b";
  EXPECT_EQ(agents_["b"]->Wait(absl::Seconds(30)), 1);
  EXPECT_THAT(agents_["b"]->err(), HasSubstr("revoked"));
  EXPECT_FALSE(HasWg0(*peer_)) << "b left its interface";
}

class EnrolmentOnOwnNats : public Enrolment {
  void StartNats() override {}
};

// Each agent with a NATS user of its own, which goes when it is revoked.
TEST_F(EnrolmentOnOwnNats, AnAgentHearsOfChangesAndOfItsRevocationAndItsRecordsCome) {
  BothUp();
  EXPECT_TRUE(WaitUntil([&] { return Pings(*node_, "10.42.0.3"); }, kSeconds)) << "a does not reach b";
  ASSERT_TRUE(Admin({"policy", "set", "a"}).ok());
  EXPECT_TRUE(WaitUntil([&] { return !Pings(*node_, "10.42.0.3"); }, kSeconds)) << "the denial did not come";
  const auto denials = [&] { return Admin({"audit", "query", "--agent=a", "--verdict=drop"}).out; };
  EXPECT_TRUE(WaitUntil([&] { return absl::StrContains(denials(), "10.42.0.3"); }, absl::Seconds(30))) << denials();
  ASSERT_TRUE(Admin({"agents", "revoke", "b"}).ok());
  EXPECT_EQ(agents_["b"]->Wait(absl::Seconds(30)), 1);
  EXPECT_THAT(agents_["b"]->err(), HasSubstr("revoked"));
  EXPECT_FALSE(HasWg0(*peer_)) << "b left its interface";
}

TEST_F(Enrolment, AnAgentRemovesWhatItMadeAndComesBackWithoutAToken) {
  ChildProcess& first = Up(*node_, "a", Token("a"));
  ASSERT_TRUE(first.WaitForOutput("is up as 10.42.0.2", absl::Seconds(60)));
  EXPECT_TRUE(HasWg0(*node_));
  struct stat file;
  ASSERT_EQ(stat(dir_.File("a/sandbox-credentials.json").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  first.Signal(SIGTERM);
  EXPECT_EQ(first.Wait(absl::Seconds(30)), 0) << first.err();
  EXPECT_FALSE(HasWg0(*node_));
  EXPECT_FALSE(std::filesystem::exists(PinPath("a") + "/wg0"));
  EXPECT_FALSE(std::filesystem::exists(dir_.File("a/agent-a.token")));
  ChildProcess& second = Up(*node_, "a", "");
  ASSERT_TRUE(second.WaitForOutput("is up as 10.42.0.2", absl::Seconds(60)));
}

TEST_F(Enrolment, OverHttpWithoutNats) {
  ChildProcess& agent = Up(*peer_, "h", Token("h"), "--via=http");
  ASSERT_TRUE(agent.WaitForOutput("is up as 10.42.0.2", absl::Seconds(60)));
  ASSERT_TRUE(WaitUntil(
      [&] {
        return absl::StrContains(Admin({"agents", "--json"}).out, "192.0.2.2:51820");
      },
      kSeconds));
}

TEST_F(Enrolment, ARefusalSaysWhyAndLeavesNothing) {
  const std::string token = Token("other");
  ChildProcess& wrong = Up(*node_, "a", token);
  EXPECT_EQ(wrong.Wait(absl::Seconds(30)), 1);
  EXPECT_THAT(wrong.err(), HasSubstr("enrollment token is for another agent"));
  ChildProcess& none = Up(*node_, "a", "");
  EXPECT_EQ(none.Wait(absl::Seconds(30)), 2);
  EXPECT_THAT(none.err(), HasSubstr("--token is required"));
  EXPECT_FALSE(HasWg0(*node_));
}

TEST_F(Enrolment, AnIdentityAloneIsOneFile) {
  const std::string out = dir_.File("recorder.token");
  const CommandResult enrolled =
      RunCommand(node_->Inside({BinaryPath("lattice"), "enroll", "--name=recorder", "--token=" + Token("recorder"),
                                "--out=" + out, "--server-url=http://192.0.2.1:8080"}));
  ASSERT_TRUE(enrolled.ok()) << enrolled;
  struct stat file;
  ASSERT_EQ(stat(out.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  EXPECT_THAT(Admin({"agents"}).out, HasSubstr("recorder"));
  EXPECT_THAT(Admin({"token", "list"}).out, HasSubstr("used"));
}

}  // namespace
}  // namespace lattice::testing
