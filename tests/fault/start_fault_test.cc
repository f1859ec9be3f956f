// Starts that must be refused: with the exit code of their kind, a message that names the cause and the
// remedy, and nothing changed. And the one that must not be refused.
//
// Elsewhere: an empty list denies all (e2e verdict_test), a kernel without a feature (tests/vm), the slower
// table over the memory budget (unit compiler_test, integration datapath_policy_test).
#include <bpf/bpf.h>
#include <lattice/abi.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/fault/fault_test.h"
#include "tests/testing/tcx_chain.h"
#include "tests/testing/temp_dir.h"
#include "userspace/base/file.h"

namespace lattice::testing {
namespace {

constexpr int kUsage = 2, kRefused = 3;

class StartFaultTest : public FaultTest {
 protected:
  // A start with `args` ends with `code` and says each of `words`, and wg0 is as it was.
  void ExpectRefused(std::vector<std::string> args, int code, const std::vector<std::string>& words,
                     const std::string& iface = "wg0") {
    LatticedDp dp(*ns_, std::move(args), iface);
    const CommandResult end = dp.RunToItsEnd();
    EXPECT_EQ(end.exit_code, code) << end;
    for (const std::string& word : words) EXPECT_THAT(end.out + end.err, ::testing::HasSubstr(word));
    EXPECT_EQ(Programs(TcxHook::kEgress), 0u);
    EXPECT_EQ(Programs(TcxHook::kIngress), 0u);
    EXPECT_TRUE(FolderEntries(dp.pin_folder()).empty());
  }
  size_t Programs(TcxHook hook) const {
    auto programs = TcxPrograms(*ns_, "wg0", hook);
    EXPECT_TRUE(programs.ok()) << programs.status();
    return programs.value_or(std::vector<uint32_t>()).size();
  }
};

TEST_F(StartFaultTest, AnInterfaceThatIsNotThereIsNamed) {
  ExpectRefused({"--egress-allow=0.0.0.0/0"}, kRefused, {"wg7", "--wait-iface"}, "wg7");
}

TEST_F(StartFaultTest, WithoutPrivilegesTheMissingCapabilityIsNamed) {
  LatticedDp dp(*ns_, {});
  const CommandResult end = RunCommand(ns_->Inside(
      {"setpriv", "--bounding-set=-all", "--inh-caps=-all", BinaryPath("latticed-dp"), "--iface=wg0",
       "--pin-path=" + dp.pin_path(), "--admin-socket=" + dp.admin_socket(), "--audit-log=" + dp.audit_log()}));
  EXPECT_EQ(end.exit_code, kRefused) << end;
  EXPECT_THAT(end.err, ::testing::HasSubstr("CAP_"));
  EXPECT_EQ(Programs(TcxHook::kEgress), 0u);
}

// Refused and not warned of: who killed the daemon would find the interface open.
TEST_F(StartFaultTest, AMountNamespaceThatWouldTakeThePinsWithItIsRefusedAndOneThatKeepsThemIsNot) {
  const std::vector<std::string> doctor = {BinaryPath("lattice"), "dp", "doctor", "--pin-path=/sys/fs/bpf/lat-t-none"};
  const auto run = [&](std::vector<std::string> words, const std::vector<std::string>& command) {
    words.insert(words.end(), command.begin(), command.end());
    return RunCommand(words);
  };
  LatticedDp dp(*ns_, {});
  const CommandResult end = run({"ip", "netns", "exec", ns_->name()},
                                {BinaryPath("latticed-dp"), "--iface=wg0", "--pin-path=" + dp.pin_path(),
                                 "--admin-socket=" + dp.admin_socket(), "--audit-log=" + dp.audit_log()});
  EXPECT_EQ(end.exit_code, kRefused) << end;
  EXPECT_THAT(end.err, ::testing::AllOf(::testing::HasSubstr("would end with this process"),
                                        ::testing::HasSubstr("nsenter --net=" + ns_->path() + " latticed-dp")));
  EXPECT_EQ(Programs(TcxHook::kEgress), 0u);
  EXPECT_NE(run({"ip", "netns", "exec", ns_->name()}, doctor).exit_code, 0);
  // A bpffs of its own is no better than none; that of the host is good in any mount namespace.
  const std::string net = "--net=" + ns_->path();
  const CommandResult own =
      run({"nsenter", net, "unshare", "-m", "sh", "-c", "mount -t bpf bpf /sys/fs/bpf && exec $*", "sh"}, doctor);
  EXPECT_EQ(own.exit_code, 1) << own;
  EXPECT_THAT(own.out, ::testing::HasSubstr("would end with this process"));
  const CommandResult kept = run({"nsenter", net, "unshare", "-m"}, doctor);
  EXPECT_EQ(kept.exit_code, 0) << kept;
}

TEST_F(StartFaultTest, ABadRuleIsNamedWithItsTextAndWhatWasExpected) {
  ExpectRefused({"--egress-allow=10.42.0.10/32", "--egress-allow=10.42.0.999/32"}, kUsage,
                {"10.42.0.999/32", "--egress-allow"});
  ExpectRefused({"--egress-allow=10.0.0.0/8:70000"}, kUsage, {"70000", "port"});
}

TEST_F(StartFaultTest, ASigningKeyThatIsNoneOrThatOthersCanReadIsNamed) {
  TempDir dir;
  const std::string path = dir.File("key");
  ASSERT_TRUE(WriteFileAtomically(path, "garbage", 0600).ok());
  ExpectRefused({"--audit-key=" + path}, kUsage, {"--audit-key: " + path, "is no Ed25519 private key"});
  ASSERT_TRUE(WriteFileAtomically(path, std::string(32, 'x'), 0644).ok());
  ExpectRefused({"--audit-key=" + path}, kRefused, {"--audit-key: " + path, "mode 0644", "chmod 600"});
  ExpectRefused({"--audit-key=" + dir.File("no/folder/key")}, kRefused, {"--audit-key"});
}

// Made before the privileges go, and used after that.
TEST_F(StartFaultTest, AMissingSigningKeyIsMadeAndSignsTheSegments) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.0/24"}));
  EXPECT_TRUE(dp_->WaitForLog("the public key is "));
  Send("192.0.2.9", 1000, 10'000, 10);
  ASSERT_TRUE(WaitUntil([&] { return dp_->Records().size() >= 10; }));
  dp_->Signal(SIGHUP);
  ASSERT_TRUE(WaitUntil([&] {
    const std::vector<std::string> names = FolderEntries(dp_->File("."));
    return std::any_of(names.begin(), names.end(), [](const std::string& n) { return absl::EndsWith(n, ".digest"); });
  }));
  struct stat st = {};
  ASSERT_EQ(::stat((dp_->audit_log() + ".key").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
  EXPECT_EQ(dp_->Stop(), 0) << dp_->log();
  const CommandResult verified =
      RunCommand({BinaryPath("lattice"), "audit", "verify", "--audit-log", dp_->audit_log()});
  EXPECT_TRUE(verified.ok()) << verified;
  EXPECT_THAT(verified.out, ::testing::HasSubstr("1 digests are signed by"));
}

TEST_F(StartFaultTest, ABadPolicyFileIsNamedWithItsLine) {
  TempDir dir;
  const std::string path = dir.File("policy");
  ASSERT_TRUE(WriteFileAtomically(path, "10.42.0.10/32\n# comment\nallow nonsense\n", 0644).ok());
  ExpectRefused({"--policy-file=" + path}, kUsage, {absl::StrCat(path, ":3"), "nonsense"});
  ExpectRefused({"--policy-file=" + dir.File("missing")}, kRefused, {dir.File("missing")});
}

TEST_F(StartFaultTest, AnAuditPathThatCantBeWrittenIsNamed) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("file"), "", 0644).ok());
  ExpectRefused({"--audit-log=" + dir.File("file/audit.jsonl")}, kRefused, {"--audit-log", dir.File("file")});
  ExpectRefused({"--audit-log=" + dir.File("no/such/folder/audit.jsonl")}, kRefused, {"--audit-log"});
}

// Any process can hold the port: that must not keep flows from being judged and recorded.
TEST_F(StartFaultTest, AMetricsPortInUseIsNamed) {
  auto taken = BoundSocket(*ns_, SOCK_STREAM, {"127.0.0.1", 9478});
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.0/24:53"}));
  EXPECT_THAT(dp_->log(), ::testing::HasSubstr("--metrics-addr=127.0.0.1:9478: the port is in use"));
  EXPECT_EQ(Programs(TcxHook::kEgress), 1u);
  Send("192.0.2.9", 1000, 54, 1);
  EXPECT_TRUE(dp_->WaitForRecord([](const AuditRecord& r) { return r["event"] == "denied"; }).has_value());
  const CommandResult status = dp_->Cli({"status"});
  EXPECT_EQ(status.exit_code, 0) << status;
  EXPECT_THAT(status.out, ::testing::HasSubstr("NOT SERVED: --metrics-addr=127.0.0.1:9478"));

  taken->reset();
  ASSERT_TRUE(dp_->WaitForLog("metrics at http://127.0.0.1:9478/metrics from now on"));
  EXPECT_EQ(Enforcing(), 2);
  EXPECT_THAT(dp_->Cli({"status"}).out, ::testing::Not(::testing::HasSubstr("NOT SERVED")));
}

TEST_F(StartFaultTest, AMetricsAddressOfAnotherHostIsRefused) {
  ExpectRefused({"--metrics-addr=198.51.100.7:9478"}, kRefused, {"198.51.100.7:9478", "--metrics-addr"});
  ExpectRefused({"--metrics-addr=9478"}, kUsage, {"9478", "--metrics-addr"});
}

TEST_F(StartFaultTest, ASecondDaemonNamesTheFirstAndLeavesItAlone) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.0/24:53"}));
  // Over the pins of the first, and with another size: the remedy is not to detach them.
  LatticedDp second(
      *ns_, {"--egress-allow=0.0.0.0/0", "--metrics-addr=", "--pin-path=" + dp_->pin_path(), "--max-flows=4096"});
  const CommandResult end = second.RunToItsEnd();
  EXPECT_EQ(end.exit_code, kRefused) << end;
  EXPECT_THAT(end.err, ::testing::HasSubstr(absl::StrCat(dp_->pid())));
  EXPECT_THAT(end.err, ::testing::Not(::testing::HasSubstr("detach")));
  EXPECT_TRUE(dp_->running());
  EXPECT_EQ(Programs(TcxHook::kEgress), 1u);
  EXPECT_EQ(Enforcing(), 2);
  Send("192.0.2.9", 1000, 54, 1);
  EXPECT_TRUE(dp_->WaitForRecord([](const AuditRecord& r) { return r["event"] == "denied"; }).has_value());
}

TEST_F(StartFaultTest, PinsOfAnotherLayoutAreRefusedAndGoOnEnforcing) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.0/24:53"}));
  ASSERT_EQ(dp_->Stop(), 0);
  UniqueFd info(::bpf_obj_get((dp_->pin_folder() + "/info").c_str()));
  ASSERT_TRUE(info.ok());
  const uint32_t key = 0;
  lat_info value;
  ASSERT_EQ(::bpf_map_lookup_elem(info.get(), &key, &value), 0);
  ASSERT_EQ(value.abi_version, uint32_t{LATTICE_ABI_VERSION});
  value.abi_version = LATTICE_ABI_VERSION + 1;
  ASSERT_EQ(::bpf_map_update_elem(info.get(), &key, &value, BPF_EXIST), 0);
  const CommandResult end = dp_->RunToItsEnd();
  EXPECT_EQ(end.exit_code, kRefused) << end;
  for (const std::string& word : {std::string("layout"), std::string("lattice dp detach"), dp_->pin_folder()}) {
    EXPECT_THAT(end.err, ::testing::HasSubstr(word));
  }
  EXPECT_EQ(Programs(TcxHook::kEgress), 1u);
  TunCounter out(*tun_, [](absl::string_view packet) { return IsFor(packet, "192.0.2.9"); });
  Send("192.0.2.9", 1000, 53, 2);  // one allowed, one denied
  EXPECT_TRUE(WaitUntil([&] { return out.count() == 1; }));
  // The remedy works.
  EXPECT_TRUE(dp_->Cli({"detach"}).ok());
  EXPECT_TRUE(dp_->Start().ok()) << dp_->log();
}

TEST_F(StartFaultTest, AStartThatIsKilledAtAnyPointDoesNotPreventTheNext) {
  for (int round = 0; round < 12; ++round) {
    // Each round begins with nothing; a start takes about half a second.
    dp_ = std::make_unique<LatticedDp>(*ns_, std::vector<std::string>{"--egress-allow=192.0.2.0/24:53"});
    ASSERT_TRUE(dp_->Launch().ok());
    absl::SleepFor(absl::Milliseconds(60 * round));
    dp_->Kill();
    const absl::Status started = dp_->Start();
    ASSERT_TRUE(started.ok()) << "killed after " << 60 * round << " ms: " << started;
    EXPECT_EQ(Enforcing(), 2);
    ASSERT_EQ(dp_->Stop(), 0);
  }
}

TEST_F(StartFaultTest, AForeignProgramBeforeOursIsReported) {
  ASSERT_NO_FATAL_FAILURE(StartDp({}));
  {
    auto foreign = AttachForeignProgram(*ns_, "wg0", TcxHook::kEgress);
    ASSERT_TRUE(foreign.ok()) << foreign.status();
    EXPECT_EQ(Programs(TcxHook::kEgress), 2u);
    EXPECT_TRUE(WaitUntil([&] { return dp_->Cli({"status"}).out.find("foreign") != std::string::npos; }))
        << dp_->Cli({"status"});
    EXPECT_TRUE(dp_->WaitForLog("in front of ours")) << "told also after the start";
    EXPECT_EQ(dp_->Scrape().Sum("lattice_dp_foreign_programs", {{"hook", "tc_egress"}}), 1);
    const CommandResult doctor = dp_->Cli({"doctor"});
    EXPECT_THAT(doctor.out, ::testing::HasSubstr("foreign"));
    EXPECT_NE(doctor.exit_code, 0);
  }
  EXPECT_THAT(dp_->Cli({"status"}).out, ::testing::Not(::testing::HasSubstr("foreign")));
  EXPECT_TRUE(dp_->WaitForLog("nothing stands in front of our program any more"));
  EXPECT_EQ(dp_->Scrape().Sum("lattice_dp_foreign_programs"), 0);
}

TEST_F(StartFaultTest, AHundredThousandRulesAreTaken) {
  TempDir dir;
  std::string text;
  for (int i = 0; i < 100'000; ++i) {
    absl::StrAppend(&text, "10.", i / 65536, ".", i / 256 % 256, ".", i % 256, "/32:", 1 + i % 7, "\n");
  }
  absl::StrAppend(&text, "192.0.2.9:53\n");
  ASSERT_TRUE(WriteFileAtomically(dir.File("policy"), text, 0644).ok());
  ASSERT_NO_FATAL_FAILURE(StartDp({"--policy-file=" + dir.File("policy")}));
  TunCounter out(*tun_, [](absl::string_view packet) { return IsFor(packet, "192.0.2.9"); });
  Send("192.0.2.9", 1000, 53, 2);
  EXPECT_TRUE(WaitUntil([&] { return out.count() == 1; }));
  EXPECT_EQ(dp_->Scrape().Sum("lattice_dp_enforcing"), 2);
}

TEST_F(StartFaultTest, APolicyThatDoesNotFitIsRefusedAndTheOldOneStays) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.9:53", "--policy-memory=2MiB"}));
  std::string text;
  for (int i = 0; i < 140'000; ++i) {
    absl::StrAppend(&text, 11 + i % 100, ".", i / 100 % 256, ".", i / 25600, ".", i % 7, "/32\n");
  }
  const CommandResult too_many = dp_->ApplyPolicy(text);
  EXPECT_NE(too_many.exit_code, 0);
  EXPECT_THAT(too_many.err + too_many.out, ::testing::HasSubstr("140000"));
  const CommandResult too_large = dp_->ApplyPolicy(text.substr(0, text.rfind('\n', text.size() * 5 / 7) + 1));
  EXPECT_NE(too_large.exit_code, 0);
  EXPECT_THAT(too_large.err + too_large.out, ::testing::HasSubstr("--policy-memory"));
  const MetricsText metrics = dp_->Scrape();
  EXPECT_EQ(metrics.Sum("lattice_dp_policy_apply_failures_total"), 2);
  EXPECT_EQ(metrics.Sum("lattice_dp_policy_generation"), 1);
  TunCounter out(*tun_, [](absl::string_view packet) { return IsFor(packet, "192.0.2.9"); });
  Send("192.0.2.9", 1000, 53, 2);
  EXPECT_TRUE(WaitUntil([&] { return out.count() == 1; }));
}

}  // namespace
}  // namespace lattice::testing
