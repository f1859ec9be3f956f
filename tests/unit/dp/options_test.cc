// From flag texts to settings: what is refused, with which words, and that all problems come at once.
#include "userspace/dp/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"

namespace lattice::dp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// What ParseFlags gives for `latticed-dp --iface wg0`.
FlagValues Defaults() {
  FlagValues flags;
  flags.iface = "wg0";
  flags.pin_path = "/sys/fs/bpf/lattice";
  flags.max_flows = 65536;
  flags.flow_idle_timeout = "2m";
  flags.flow_tcp_idle_timeout = "124m";
  flags.flow_active_timeout = "60s";
  flags.policy_memory = "64MiB";
  flags.audit_rotate_size = "64MiB";
  flags.audit_rotate_after = "0s";
  flags.audit_max_size = "1GiB";
  flags.audit_fsync_interval = "1s";
  flags.metrics_addr = "127.0.0.1:9478";
  return flags;
}

absl::StatusOr<Options> Make(const FlagValues& flags) {
  return MakeOptions(flags, {.host_name = "node1", .instance = "wg0"});
}

TEST(Options, TheDefaultsAreThoseOfTheManual) {
  const auto options = Make(Defaults());
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->datapath.iface, "wg0");
  EXPECT_EQ(options->datapath.mode, LAT_MODE_ENFORCE);
  EXPECT_EQ(options->datapath.flow_tcp_idle_timeout, absl::Minutes(124));
  EXPECT_EQ(options->datapath.policy_memory_bytes, uint64_t{64} << 20);
  EXPECT_TRUE(options->datapath.loopback_allow);
  EXPECT_FALSE(options->datapath.table_full_allow);
  EXPECT_TRUE(options->policy.egress_default_deny);
  EXPECT_FALSE(options->policy.ingress_default_deny.has_value());
  EXPECT_EQ(options->audit.agent_id, "node1");
  EXPECT_EQ(options->audit.node, "node1:wg0");
  EXPECT_EQ(options->audit.path, "/var/log/lattice/wg0/audit.jsonl");
  EXPECT_TRUE(options->make_audit_folder);
  EXPECT_EQ(options->audit.disk_full, audit::DiskFull::kBlock);
  EXPECT_FALSE(options->audit.publishing);
  EXPECT_EQ(options->admin_socket, "/run/lattice/dp-wg0.sock");
  EXPECT_EQ(options->seccomp, SeccompMode::kEnforce);
}

TEST(Options, WhatIsGivenWins) {
  FlagValues flags = Defaults();
  flags.mode = "audit";
  flags.cgroups = {"/sys/fs/cgroup/unified/agents"};
  flags.deny_loopback = true;
  flags.on_table_full = "allow";
  flags.tc_hook = "clsact";
  flags.agent_name = "builder";
  flags.node = "n1/eu";
  flags.audit_log = "audit.jsonl";
  flags.audit_disk_full = "deny";
  flags.audit_fsync = "always";
  flags.nats_urls = {"nats://192.0.2.1:4222"};
  flags.nats_user = "joe";
  flags.nats_password_file = "/etc/lattice/password";
  flags.admin_socket = "/run/other.sock";
  const auto options = Make(flags);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->datapath.mode, LAT_MODE_AUDIT);
  EXPECT_FALSE(options->datapath.loopback_allow);
  EXPECT_TRUE(options->datapath.table_full_allow);
  EXPECT_EQ(options->datapath.tc_kind, datapath::TcKind::kClsact);
  EXPECT_EQ(options->audit.agent_id, "builder");
  EXPECT_EQ(options->audit.node, "n1/eu");
  EXPECT_EQ(options->audit.path, "audit.jsonl");
  EXPECT_FALSE(options->make_audit_folder);
  EXPECT_EQ(options->audit.disk_full, audit::DiskFull::kDenyNew);
  EXPECT_EQ(options->audit.sync, audit::SyncPolicy::kAlways);
  EXPECT_TRUE(options->audit.publishing) << "what is deleted unpublished must be told";
  EXPECT_EQ(options->nats.user, "joe");
  EXPECT_EQ(options->admin_socket, "/run/other.sock");
}

struct BadCase {
  const char* name;
  std::function<void(FlagValues&)> change;
  std::vector<const char*> words;  // all of them are in the message
};

class BadOptions : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadOptions, AreRefusedWithFlagValueAndRemedy) {
  FlagValues flags = Defaults();
  GetParam().change(flags);
  const auto options = Make(flags);
  ASSERT_FALSE(options.ok());
  EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument);
  for (const char* word : GetParam().words) EXPECT_THAT(options.status().message(), HasSubstr(word));
  EXPECT_EQ(std::vector<std::string>(absl::StrSplit(options.status().message(), '\n')).size(), 1u)
      << "one problem, one line: " << options.status();
}

const BadCase kBadCases[] = {
    {"NoInterface", [](FlagValues& f) { f.iface = ""; }, {"--iface", "--iface wg0"}},
    {"InterfaceNameTooLong", [](FlagValues& f) { f.iface = "a234567890123456"; }, {"--iface=a234567890123456", "15"}},
    {"InterfaceNameWithSlash", [](FlagValues& f) { f.iface = "../x"; }, {"--iface=../x"}},
    {"InterfaceNameOfDots", [](FlagValues& f) { f.iface = ".."; }, {"--iface=.."}},
    {"UnknownMode", [](FlagValues& f) { f.mode = "watch"; }, {"--mode=watch", "enforce, audit"}},
    {"RelativePinPath", [](FlagValues& f) { f.pin_path = "pins"; }, {"--pin-path=pins", "absolute"}},
    {"RelativeCgroup", [](FlagValues& f) { f.cgroups = {"agents"}; }, {"--cgroup=agents", "absolute"}},
    {"TooFewFlows", [](FlagValues& f) { f.max_flows = 3; }, {"--max-flows=3", "64"}},
    {"TooManyFlows", [](FlagValues& f) { f.max_flows = 4'000'000'000u; }, {"--max-flows=4000000000", "16777216"}},
    {"TimeoutWithoutUnit", [](FlagValues& f) { f.flow_idle_timeout = "60"; }, {"--flow-idle-timeout=60", "60s"}},
    {"TimeoutOfZero", [](FlagValues& f) { f.flow_tcp_idle_timeout = "0s"; }, {"--flow-tcp-idle-timeout=0s", "1s"}},
    {"ActiveTimeoutTooShort",
     [](FlagValues& f) { f.flow_active_timeout = "1ms"; },
     {"--flow-active-timeout=1ms", "1s"}},
    {"UnknownTableFull", [](FlagValues& f) { f.on_table_full = "drop"; }, {"--on-table-full=drop", "deny, allow"}},
    {"PolicyMemoryOfZero", [](FlagValues& f) { f.policy_memory = "0"; }, {"--policy-memory=0", "2MiB"}},
    {"PolicyMemoryNoSize", [](FlagValues& f) { f.policy_memory = "much"; }, {"--policy-memory=much", "64MiB"}},
    {"UnknownHook", [](FlagValues& f) { f.tc_hook = "xdp"; }, {"--tc-hook=xdp", "auto, tcx, clsact"}},
    {"LoopbackWithoutCgroup", [](FlagValues& f) { f.deny_loopback = true; }, {"--deny-loopback", "--cgroup"}},
    {"AgentNameWithBlank", [](FlagValues& f) { f.agent_name = "my agent"; }, {"--agent-name=my agent", "blanks"}},
    {"NodeWithLineEnd", [](FlagValues& f) { f.node = "a\tb"; }, {"--node="}},
    {"RotateTooSmall", [](FlagValues& f) { f.audit_rotate_size = "1KiB"; }, {"--audit-rotate-size=1KiB", "64KiB"}},
    {"SpoolSmallerThanTwoSegments",
     [](FlagValues& f) { f.audit_max_size = "100MiB"; },
     {"--audit-max-size=100MiB", "--audit-rotate-size"}},
    {"UnknownFsync",
     [](FlagValues& f) { f.audit_fsync = "never"; },
     {"--audit-fsync=never", "interval, batch, always"}},
    {"UnknownDiskFull", [](FlagValues& f) { f.audit_disk_full = "x"; }, {"--audit-disk-full=x", "block, drop, deny"}},
    {"UserWithoutPassword",
     [](FlagValues& f) {
       f.nats_urls = {"nats://h:1"};
       f.nats_user = "joe";
     },
     {"--nats-user", "--nats-password-file"}},
    {"CertificateWithoutKey",
     [](FlagValues& f) {
       f.nats_urls = {"nats://h:1"};
       f.nats_tls_cert = "/c";
     },
     {"--nats-tls-cert", "--nats-tls-key"}},
    {"TwoWaysToLogIn",
     [](FlagValues& f) {
       f.nats_urls = {"nats://h:1"};
       f.nats_credentials = "/c";
       f.nats_token_file = "/t";
     },
     {"--nats-credentials", "--nats-token-file", "one"}},
    {"CredentialsWithoutUrl",
     [](FlagValues& f) { f.nats_credentials = "/c"; },
     {"--nats-credentials=/c", "--nats-url"}},
    {"AgentTokenWithoutUrl", [](FlagValues& f) { f.agent_token_file = "/t"; }, {"--agent-token-file=/t", "--nats-url"}},
    {"AgentTokenWithoutJetStream",
     [](FlagValues& f) {
       f.nats_urls = {"nats://h:1"};
       f.agent_token_file = "/t";
       f.nats_jetstream = false;
     },
     {"--agent-token-file=/t", "--nats-jetstream=false"}},
    {"AdminSocketRelative", [](FlagValues& f) { f.admin_socket = "a.sock"; }, {"--admin-socket=a.sock", "absolute"}},
    {"AdminSocketTooLong",
     [](FlagValues& f) { f.admin_socket = "/" + std::string(120, 'a'); },
     {"--admin-socket=/aaa", "107"}},
    {"UnknownSeccomp", [](FlagValues& f) { f.seccomp = "on"; }, {"--seccomp=on", "enforce, log, off"}},
};

INSTANTIATE_TEST_SUITE_P(Table, BadOptions, ::testing::ValuesIn(kBadCases),
                         [](const ::testing::TestParamInfo<BadCase>& test) { return test.param.name; });

TEST(Options, AllProblemsComeAtOnce) {
  FlagValues flags = Defaults();
  flags.iface = "";
  flags.mode = "x";
  flags.max_flows = 0;
  flags.audit_fsync = "y";
  const auto options = Make(flags);
  ASSERT_FALSE(options.ok());
  EXPECT_THAT(options.status().message(), AllOf(HasSubstr("--iface"), HasSubstr("--mode=x"), HasSubstr("--max-flows=0"),
                                                HasSubstr("--audit-fsync=y")));
}

TEST(Options, TwoNamespacesWithTheSameInterfaceShareNoPathAndNoEventIds) {
  const auto options = MakeOptions(Defaults(), {.host_name = "node1", .instance = "wg0@4026532281"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->audit.node, "node1:wg0@4026532281");
  EXPECT_EQ(options->audit.path, "/var/log/lattice/wg0@4026532281/audit.jsonl");
  EXPECT_EQ(options->admin_socket, "/run/lattice/dp-wg0@4026532281.sock");
}

}  // namespace
}  // namespace lattice::dp
