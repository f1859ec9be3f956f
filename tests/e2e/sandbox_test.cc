// `lattice sandbox` in pod mode as a user without any privilege runs it, with real programs for traffic. The far end is
// our engine on a TUN device, by a wg-quick file.
//
//            pod                               far
//   net0     192.0.2.1/24                      192.0.2.2/24
//   overlay  10.42.0.2, fd42::2 in a process   10.42.0.10  198.51.100.7  fd42::10
//                                              http :8080  echo :7      udp echo :7000
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/testing/audit_records.h"
#include "tests/testing/child_process.h"
#include "tests/testing/command.h"
#include "tests/testing/latticed_dp.h"
#include "tests/testing/netns.h"
#include "tests/testing/sockets.h"
#include "tests/testing/tcp_server.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/udp.h"
#include "tests/testing/wait_until.h"
#include "userspace/base/file.h"

namespace lattice::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr char kProxy[] = "127.0.0.1:1080";
constexpr char kSockets[] = "/var/run/wireguard/";

std::string Trimmed(const CommandResult& result) {
  EXPECT_TRUE(result.ok()) << result;
  return std::string(absl::StripAsciiWhitespace(result.out));
}

class SandboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // What a crashed run left. Their interfaces went with the processes.
    for (const std::string& name : DeadLeftovers(FolderEntries(kSockets))) unlink(absl::StrCat(kSockets, name).c_str());
    // Whoever runs the sandbox gets to its files and its program, wherever the tests were built.
    ASSERT_EQ(chmod(dir_.path().c_str(), 0711), 0);
    ASSERT_EQ(mkdir(state().c_str(), 0777), 0);
    ASSERT_EQ(chmod(state().c_str(), 0777), 0);
    std::filesystem::copy_file(BinaryPath("lattice"), dir_.File("lattice"));
    ASSERT_EQ(chmod(dir_.File("lattice").c_str(), 0755), 0);
    for (auto& [ns, role] : {std::pair{&pod_, "pod"}, std::pair{&far_, "far"}}) {
      auto made = NetNamespace::Create(role);
      ASSERT_TRUE(made.ok()) << made.status();
      *ns = *std::move(made);
    }
    ASSERT_TRUE(ConnectByVeth(*pod_, *far_, "net0", {"192.0.2.1/24"}, {"192.0.2.2/24"}).ok());
    ASSERT_NO_FATAL_FAILURE(StartFarEnd());
  }
  void TearDown() override {
    if (HasFailure()) {
      if (sandbox_ != nullptr) std::cerr << "the sandbox said:\n" << sandbox_->out() << sandbox_->err();
      for (const AuditRecord& record : Records()) std::cerr << record;
    }
    sandbox_ = nullptr;
    engine_ = nullptr;
    unlink(absl::StrCat(kSockets, device(), ".sock").c_str());
  }

  std::string state() const { return dir_.File("state"); }
  std::string audit_log() const { return dir_.File("state/audit.jsonl"); }
  static std::string device() { return absl::StrCat("lat-t-", getpid(), "-far"); }

  virtual void StartFarEnd() {
    const std::string far_key = Trimmed(RunCommand({"wg", "genkey"}));
    const std::string pod_key = Trimmed(RunCommand({"wg", "genkey"}));
    const std::string far_file = dir_.File(device() + ".conf");
    const std::string far_config = absl::StrCat(
        "[Interface]\nPrivateKey = ", far_key,
        "\nListenPort = 51820\nAddress = 10.42.0.10/32, 198.51.100.7/32, fd42::10/128\n[Peer]\nPublicKey = ",
        Trimmed(RunCommand({"wg", "pubkey"}, {.input = pod_key})), "\nAllowedIPs = 10.42.0.2/32, fd42::2/128\n");
    ASSERT_TRUE(WriteFileAtomically(far_file, far_config, 0600).ok());
    const std::string pod_config = absl::StrCat(
        "[Interface]\nPrivateKey = ", pod_key, "\nAddress = 10.42.0.2/32, fd42::2/128\n[Peer]\nPublicKey = ",
        Trimmed(RunCommand({"wg", "pubkey"}, {.input = far_key})),
        "\nAllowedIPs = 10.42.0.0/16, 198.51.100.0/24, fd42::/64\nEndpoint = 192.0.2.2:51820\n"
        "PersistentKeepalive = 25\n");
    ASSERT_TRUE(WriteFileAtomically(pod_config_file(), pod_config, 0644).ok());
    auto engine = ChildProcess::Start({.argv = {BinaryPath("lattice"), "wg", "up", far_file}, .netns = far_->path()});
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    ASSERT_TRUE(engine_->WaitForOutput("is up with 1 peer", kPatience)) << engine_->err();
    for (const char* address : {"10.42.0.10", "198.51.100.7", "fd42::10"}) {
      auto http = TcpServer::Http(*far_, {address, 8080});
      ASSERT_TRUE(http.ok()) << http.status();
      servers_.push_back(*std::move(http));
    }
    auto echo = TcpServer::Echo(*far_, {"10.42.0.10", 7});
    ASSERT_TRUE(echo.ok()) << echo.status();
    servers_.push_back(*std::move(echo));
    auto udp = UdpServer::Create(*far_, {"10.42.0.10", 7000}, /*echo=*/true);
    ASSERT_TRUE(udp.ok()) << udp.status();
    udp_ = *std::move(udp);
  }
  std::string pod_config_file() const { return dir_.File("state/pod.conf"); }

  // As nobody, without a capability, inside the pod's namespace.
  std::vector<std::string> CommandLine(const std::string& command, const std::vector<std::string>& args) const {
    std::vector<std::string> argv = {"setpriv",
                                     "--reuid=65534",
                                     "--regid=65534",
                                     "--clear-groups",
                                     "--inh-caps=-all",
                                     "--bounding-set=-all",
                                     "--no-new-privs",
                                     dir_.File("lattice"),
                                     "sandbox",
                                     command,
                                     "--name=agent-001",
                                     "--config-dir=" + state(),
                                     "--audit-log=" + audit_log()};
    argv.push_back(server_url_.empty() ? "--wg-config=" + pod_config_file() : "--server-url=" + server_url_);
    argv.insert(argv.end(), args.begin(), args.end());
    return argv;
  }
  void Launch(const std::vector<std::string>& args) {
    auto child = ChildProcess::Start({.argv = CommandLine("start", args), .netns = pod_->path()});
    ASSERT_TRUE(child.ok()) << child.status();
    sandbox_ = *std::move(child);
  }
  void Start(std::vector<std::string> args) {
    args.push_back(absl::StrCat("--proxy-addr=", kProxy));
    ASSERT_NO_FATAL_FAILURE(Launch(args));
    ASSERT_TRUE(sandbox_->WaitForOutput("ready: ", kPatience)) << sandbox_->err();
  }
  int Stop() {
    sandbox_->Signal(SIGTERM);
    return sandbox_->Wait(kPatience).value_or(-1);
  }

  CommandResult Curl(const std::string& proxy, const std::string& url, std::vector<std::string> more = {}) const {
    std::vector<std::string> argv = {"curl", "--silent", "--show-error", "--max-time", "20", "--proxy", proxy, url};
    argv.insert(argv.end(), more.begin(), more.end());
    return RunCommand(pod_->Inside(std::move(argv)));
  }
  std::vector<AuditRecord> Records() const {
    const auto text = ReadFile(audit_log());
    return text.ok() ? ParseAuditLines(*text) : std::vector<AuditRecord>();
  }
  // The records with these values.
  std::vector<AuditRecord> RecordsOf(const std::vector<std::pair<std::string, std::string>>& wanted) const {
    std::vector<AuditRecord> found;
    for (const AuditRecord& record : Records()) {
      bool all = true;
      for (const auto& [key, value] : wanted) all = all && record[key] == value;
      if (all) found.push_back(record);
    }
    return found;
  }
  bool HasRecord(const std::vector<std::pair<std::string, std::string>>& wanted) const {
    return WaitUntil([&] { return !RecordsOf(wanted).empty(); }, kPatience);
  }

  // A connection through SOCKS5 to an IPv4 `address` and `port`, as bytes; the reply's code in `reply`.
  UniqueFd Socks(const std::string& address, uint16_t port, int* reply) const {
    auto fd = ConnectTcp(*pod_, {"127.0.0.1", 1080}, kPatience);
    if (!fd.ok()) return UniqueFd();
    SetReceiveTimeout(fd->get(), kPatience);
    std::string request("\x05\x01\x00\x05\x01\x00\x01", 7);
    for (const auto& part : absl::StrSplit(address, '.')) request += static_cast<char>(std::stoi(std::string(part)));
    request += static_cast<char>(port >> 8);
    request += static_cast<char>(port & 0xff);
    char answer[12] = "";
    if (send(fd->get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
      return UniqueFd();
    if (recv(fd->get(), answer, sizeof(answer), MSG_WAITALL) != sizeof(answer)) return UniqueFd();
    *reply = answer[3];
    return *std::move(fd);
  }

  TempDir dir_;
  std::string server_url_;  // empty: a wg-quick file
  std::unique_ptr<NetNamespace> pod_, far_;
  std::unique_ptr<ChildProcess> engine_, sandbox_;
  std::vector<std::unique_ptr<TcpServer>> servers_;
  std::unique_ptr<UdpServer> udp_;
};

TEST_F(SandboxTest, WhatIsAllowedPassesByEachProtocolAndIsRecorded) {
  ASSERT_NO_FATAL_FAILURE(Start({"--egress-allow=10.42.0.10/32:8080,[fd42::10/128]:8080"}));
  const std::string socks = absl::StrCat("socks5h://", kProxy), http = absl::StrCat("http://", kProxy);
  for (const std::string& proxy : {socks, absl::StrCat("socks5://", kProxy), http}) {
    EXPECT_EQ(Curl(proxy, "http://10.42.0.10:8080/").out, "hello\n") << proxy;
    EXPECT_EQ(Curl(proxy, "http://[fd42::10]:8080/").out, "hello\n") << proxy;
  }
  EXPECT_EQ(Curl(http, "http://10.42.0.10:8080/", {"--proxytunnel"}).out, "hello\n");
  EXPECT_TRUE(HasRecord({{"event", "start"}, {"dst_ip", "10.42.0.10"}, {"dst_port", "8080"}, {"verdict", "allow"}}));
  EXPECT_TRUE(WaitUntil(
      [&] {
        return RecordsOf({{"event", "end"}, {"endReason", "fin"}, {"dst_ip", "10.42.0.10"}}).size() == 4;
      },
      kPatience));
  EXPECT_TRUE(WaitUntil([&] { return RecordsOf({{"event", "end"}, {"dst_ip", "fd42::10"}}).size() == 3; }, kPatience));
  for (const AuditRecord& record : RecordsOf({{"event", "end"}})) {
    EXPECT_GT(record.Number("bytesOut"), 0u) << record;
    EXPECT_GT(record.Number("bytesIn"), 0u) << record;
    EXPECT_EQ(record["identity"], "agent-001");
  }
  EXPECT_EQ(Stop(), 0);
}

TEST_F(SandboxTest, WhatIsNotAllowedIsRefusedAtOnceWithTheReason) {
  ASSERT_NO_FATAL_FAILURE(Start({"--egress-allow=10.42.0.10/32:8080"}));
  const CommandResult http = Curl(absl::StrCat("http://", kProxy), "http://198.51.100.7:8080/");
  EXPECT_THAT(http.out, HasSubstr("denied by policy: no rule allows 198.51.100.7:8080/tcp"));
  int reply = -1;
  ASSERT_TRUE(Socks("198.51.100.7", 8080, &reply).ok());
  EXPECT_EQ(reply, 2);
  EXPECT_TRUE(HasRecord({{"event", "denied"}, {"dst_ip", "198.51.100.7"}, {"verdict", "drop"}, {"reason", "no_rule"}}));
  // Allowed, and nobody listens: a failure of the network is no denial.
  ASSERT_TRUE(Socks("10.42.0.10", 8080, &reply).ok());
  EXPECT_EQ(reply, 0);
  servers_.clear();
  ASSERT_TRUE(Socks("10.42.0.10", 8080, &reply).ok());
  EXPECT_EQ(reply, 5);
  EXPECT_TRUE(HasRecord({{"event", "end"}, {"endReason", "failed"}, {"reason", "connect_refused"}}));
}

TEST_F(SandboxTest, WithoutARuleAllIsDenied) {
  ASSERT_NO_FATAL_FAILURE(Start({}));
  for (const char* address : {"10.42.0.10", "198.51.100.7"}) {
    int reply = -1;
    ASSERT_TRUE(Socks(address, 8080, &reply).ok());
    EXPECT_EQ(reply, 2) << address;
    EXPECT_TRUE(HasRecord({{"event", "denied"}, {"dst_ip", address}}));
  }
  for (const auto& server : servers_) EXPECT_EQ(server->accepted(), 0u);
}

TEST_F(SandboxTest, ALargeTransferIsWhole) {
  std::string body(64 << 20, '\0');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>((i * 2654435761u) >> 13);
  auto big = TcpServer::Http(*far_, {"10.42.0.10", 9000}, body);
  ASSERT_TRUE(big.ok()) << big.status();
  ASSERT_NO_FATAL_FAILURE(Start({"--egress-allow=10.42.0.10/32"}));
  const std::string file = dir_.File("got");
  const CommandResult got = Curl(absl::StrCat("socks5h://", kProxy), "http://10.42.0.10:9000/", {"--output", file});
  ASSERT_TRUE(got.ok()) << got;
  const auto text = ReadFile(file, size_t{1} << 30);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_TRUE(*text == body) << text->size() << " bytes";
}

TEST_F(SandboxTest, APolicyThatChangesCutsWhatItDoesNotAllow) {
  const std::string file = dir_.File("state/policy");
  ASSERT_TRUE(WriteFileAtomically(file, "10.42.0.10/32:7\n", 0644).ok());
  ASSERT_NO_FATAL_FAILURE(Start({"--policy-file=" + file}));
  int reply = -1;
  const UniqueFd held = Socks("10.42.0.10", 7, &reply);
  ASSERT_TRUE(held.ok());
  ASSERT_EQ(reply, 0);
  ASSERT_TRUE(TcpEchoes(held.get(), "before"));

  ASSERT_TRUE(WriteFileAtomically(file, "10.42.0.10/32:8080\n", 0644).ok());
  char byte;
  EXPECT_LE(recv(held.get(), &byte, 1, 0), 0) << "the flow goes on";
  EXPECT_TRUE(HasRecord({{"event", "end"}, {"endReason", "revoked"}, {"dst_port", "7"}}));
  ASSERT_TRUE(Socks("10.42.0.10", 7, &reply).ok());
  EXPECT_EQ(reply, 2);
  ASSERT_TRUE(Socks("10.42.0.10", 8080, &reply).ok());
  EXPECT_EQ(reply, 0);

  // A file with an error changes nothing.
  ASSERT_TRUE(WriteFileAtomically(file, "nonsense\n", 0644).ok());
  EXPECT_TRUE(sandbox_->WaitForOutput("keeping the rules in force", kPatience));
  ASSERT_TRUE(Socks("10.42.0.10", 8080, &reply).ok());
  EXPECT_EQ(reply, 0);
}

TEST_F(SandboxTest, ForwardsReachThisHostAndABrokenOneHarmsNoOther) {
  auto host = TcpServer::Http(*pod_, {"127.0.0.1", 9090}, "of the host\n");
  ASSERT_TRUE(host.ok()) << host.status();
  auto udp = UdpServer::Create(*pod_, {"127.0.0.1", 9091}, /*echo=*/true);
  ASSERT_TRUE(udp.ok()) << udp.status();
  ASSERT_NO_FATAL_FAILURE(
      Start({"--forward=8080:127.0.0.1:9090", "--forward=8081:127.0.0.1:1,53/udp:127.0.0.1:9091",
             "--forward=8082:unix:/nonexistent/socket", "--ingress-allow=10.42.0.10/32,[fd42::10/128]:8080"}));
  const auto fetch = [&](const std::string& from, const std::string& where) {
    return RunCommand(far_->Inside({"curl", "--silent", "--show-error", "--max-time", "10", "--interface", from,
                                    absl::StrCat("http://", where, "/")}));
  };
  EXPECT_EQ(fetch("10.42.0.10", "10.42.0.2:8080").out, "of the host\n");
  EXPECT_EQ(fetch("fd42::10", "[fd42::2]:8080").out, "of the host\n");
  for (const char* broken : {"10.42.0.2:8081", "10.42.0.2:8082"})
    EXPECT_THAT(fetch("10.42.0.10", broken).err, HasSubstr("reset")) << broken;
  EXPECT_TRUE(HasRecord({{"direction", "ingress"}, {"endReason", "failed"}, {"dst_port", "8081"}}));
  EXPECT_TRUE(UdpEchoesFrom(*far_, {"10.42.0.10", 40000}, {"10.42.0.2", 53}, 100));
  EXPECT_EQ(fetch("10.42.0.10", "10.42.0.2:8080").out, "of the host\n");
  EXPECT_TRUE(HasRecord({{"direction", "ingress"}, {"event", "end"}, {"dst_port", "8080"}, {"src_ip", "10.42.0.10"}}));
  EXPECT_TRUE(HasRecord({{"direction", "ingress"}, {"event", "start"}, {"dst_port", "53"}, {"protocol", "udp"}}));
  // Another address of the far end is not let in: its own rules deny it.
  constexpr int kCouldNotConnect = 7;  // curl's; a SYN without an answer is 28
  EXPECT_EQ(fetch("fd42::10", "[fd42::2]:8081").exit_code, kCouldNotConnect);
  EXPECT_TRUE(HasRecord({{"direction", "ingress"}, {"event", "denied"}, {"src_ip", "fd42::10"}}));
}

TEST_F(SandboxTest, DatagramsGoByAnAssociation) {
  ASSERT_NO_FATAL_FAILURE(Start({"--egress-allow=10.42.0.10/32:7000/udp"}));
  auto control = ConnectTcp(*pod_, {"127.0.0.1", 1080}, kPatience);
  ASSERT_TRUE(control.ok()) << control.status();
  SetReceiveTimeout(control->get(), kPatience);
  const std::string request("\x05\x01\x00\x05\x03\x00\x01\0\0\0\0\0\0", 13);
  ASSERT_EQ(send(control->get(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  uint8_t answer[12];
  ASSERT_EQ(recv(control->get(), answer, sizeof(answer), MSG_WAITALL), static_cast<ssize_t>(sizeof(answer)));
  ASSERT_EQ(answer[3], 0);
  const SocketAddress relay("127.0.0.1", static_cast<uint16_t>(answer[10] << 8 | answer[11]));

  auto fd = BoundSocket(*pod_, SOCK_DGRAM, {"127.0.0.1", 0});
  ASSERT_TRUE(fd.ok()) << fd.status();
  SetReceiveTimeout(fd->get(), kPatience);
  const auto exchange = [&](const std::string& header) {
    const std::string datagram = header + "ping";
    sendto(fd->get(), datagram.data(), datagram.size(), 0, relay.get(), relay.length());
  };
  const std::string denied("\0\0\0\x01\x0a\x2a\0\x0a\x1b\x59", 10);   // 10.42.0.10:7001
  const std::string allowed("\0\0\0\x01\x0a\x2a\0\x0a\x1b\x58", 10);  // 10.42.0.10:7000
  exchange(denied);
  exchange(allowed);
  char got[64];
  const ssize_t bytes = recv(fd->get(), got, sizeof(got), 0);
  ASSERT_EQ(bytes, 14);
  EXPECT_EQ(std::string(got, 14), allowed + "ping");
  EXPECT_EQ(udp_->datagrams(), 1u);
  EXPECT_TRUE(HasRecord({{"event", "denied"}, {"protocol", "udp"}, {"dst_port", "7001"}}));
  *control = UniqueFd();
  EXPECT_TRUE(HasRecord({{"event", "end"}, {"protocol", "udp"}, {"dst_port", "7000"}}));
}

TEST_F(SandboxTest, ManyConnectionsAtOnceAreServed) {
  constexpr int kConnections = 1000;
  ASSERT_NO_FATAL_FAILURE(Start({"--egress-allow=10.42.0.10/32:7"}));
  std::vector<UniqueFd> held;
  for (int i = 0; i < kConnections; ++i) {
    int reply = -1;
    held.push_back(Socks("10.42.0.10", 7, &reply));
    ASSERT_TRUE(held.back().ok()) << i;
    ASSERT_EQ(reply, 0) << i;
  }
  for (const UniqueFd& fd : held) ASSERT_TRUE(TcpEchoes(fd.get(), "still here"));
  held.clear();
  EXPECT_TRUE(WaitUntil([&] { return RecordsOf({{"event", "end"}, {"dst_port", "7"}}).size() == kConnections; }));
}

TEST_F(SandboxTest, PasswordsAreAskedForAndTheUserIsTheTraceId) {
  ASSERT_NO_FATAL_FAILURE(Start({"--egress-allow=10.42.0.10/32:8080", "--proxy-auth=task-7:secret-word"}));
  const std::string url = "http://10.42.0.10:8080/";
  EXPECT_EQ(Curl(absl::StrCat("socks5h://task-7:secret-word@", kProxy), url).out, "hello\n");
  EXPECT_EQ(Curl(absl::StrCat("http://task-7:secret-word@", kProxy), url).out, "hello\n");
  EXPECT_NE(Curl(absl::StrCat("socks5h://task-7:wrong@", kProxy), url).out, "hello\n");
  EXPECT_NE(Curl(absl::StrCat("socks5h://", kProxy), url).out, "hello\n");
  EXPECT_THAT(Curl(absl::StrCat("http://", kProxy), url, {"--include"}).out, HasSubstr("407"));
  EXPECT_TRUE(HasRecord({{"event", "end"}, {"traceId", "task-7"}}));
  const auto command_line = ReadFile(absl::StrCat("/proc/", sandbox_->pid(), "/cmdline"));
  ASSERT_TRUE(command_line.ok()) << command_line.status();
  EXPECT_THAT(*command_line, Not(HasSubstr("secret-word")));
}

// Or an agent could have its records refused by the control plane.
TEST_F(SandboxTest, ATraceIdOfAnyBytesIsShortAndPrintable) {
  ASSERT_NO_FATAL_FAILURE(Start({"--egress-allow=10.42.0.10/32:8080"}));
  auto fd = ConnectTcp(*pod_, {"127.0.0.1", 1080}, kPatience);
  ASSERT_TRUE(fd.ok()) << fd.status();
  SetReceiveTimeout(fd->get(), kPatience);
  std::string request("\x05\x01\x02\x01\xff", 5);  // user and password alone are offered; 255 bytes of user
  request += std::string(255, '\xff') + std::string("\x01p\x05\x01\x00\x01\x0a\x2a\0\x0a\x1f\x90", 12);
  ASSERT_EQ(send(fd->get(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  EXPECT_TRUE(HasRecord({{"event", "start"}, {"dst_port", "8080"}}));
  const std::string trace_id = RecordsOf({{"event", "start"}})[0]["traceId"];
  EXPECT_EQ(trace_id.size(), 128u);
  EXPECT_THAT(trace_id, ::testing::StartsWith("\\xff\\xff"));
}

TEST_F(SandboxTest, HasNoPrivilegeAndOneOfANameRuns) {
  ASSERT_NO_FATAL_FAILURE(Start({"--metrics-addr=127.0.0.1:9100"}));
  const auto status = ReadFile(absl::StrCat("/proc/", sandbox_->pid(), "/status"));
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_THAT(*status, HasSubstr("CapEff:\t0000000000000000"));
  const CommandResult second =
      RunCommand(pod_->Inside(CommandLine("start", {absl::StrCat("--proxy-addr=127.0.0.1:0")})));
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr("a sandbox \"agent-001\" runs already"));
  const auto get = [&](const std::string& path) {
    return RunCommand(pod_->Inside({"curl", "--silent", "--max-time", "10", "http://127.0.0.1:9100" + path})).out;
  };
  EXPECT_EQ(get("/healthz"), "ok\n");
  EXPECT_EQ(get("/readyz"), "ok\n");
  EXPECT_THAT(get("/metrics"), HasSubstr("lattice_sandbox_peers{session=\"yes\"} 1"));
  // Killed, it is there again at once, and its numbers go on.
  sandbox_->Signal(SIGKILL);
  sandbox_->Wait(kPatience);
  ASSERT_NO_FATAL_FAILURE(Start({}));
  EXPECT_EQ(Stop(), 0);
  const CommandResult verified = RunCommand({BinaryPath("lattice"), "audit", "verify", "--audit-log=" + audit_log()});
  EXPECT_TRUE(verified.ok()) << verified;
}

TEST_F(SandboxTest, RunGivesACommandTheProxyAndEndsAsItDoes) {
  const auto run = [&](std::vector<std::string> command) {
    std::vector<std::string> argv = CommandLine("run", {"--egress-allow=10.42.0.10/32:8080", "--"});
    argv.insert(argv.end(), command.begin(), command.end());
    return RunCommand(pod_->Inside(std::move(argv)));
  };
  const CommandResult fetched =
      run({"sh", "-c", "curl -sS http://10.42.0.10:8080/; echo $LATTICE_SANDBOX_NAME $ALL_PROXY; exit 7"});
  EXPECT_EQ(fetched.exit_code, 7) << fetched;
  EXPECT_THAT(fetched.out, HasSubstr("hello\nagent-001 socks5h://127.0.0.1:"));
  EXPECT_EQ(run({"sh", "-c", "kill -TERM $$"}).exit_code, 128 + SIGTERM);
  const CommandResult missing = run({"/nonexistent/program"});
  EXPECT_EQ(missing.exit_code, 127);
  EXPECT_THAT(missing.err, HasSubstr("/nonexistent/program"));
}

TEST_F(SandboxTest, RunEndsWhereNoPeerAnswers) {
  engine_->Signal(SIGTERM);
  engine_->Wait(kPatience);
  const CommandResult run =
      RunCommand(pod_->Inside(CommandLine("run", {"--ready-timeout=1", "--", "touch", dir_.File("state/ran")})));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("no peer has answered for 1s (192.0.2.2:51820)"));
  EXPECT_FALSE(std::filesystem::exists(dir_.File("state/ran")));
}

struct BadFlag {
  std::string name, flag, want;
};

TEST_F(SandboxTest, BadFlagsNameFlagValueAndRemedy) {
  for (const BadFlag& bad : std::vector<BadFlag>{
           {"proxy for all", "--proxy-addr=0.0.0.0:1080", "add --proxy-auth"},
           {"rule", "--egress-allow=10.0.0.0/33", "--egress-allow"},
           {"forward without a host", "--forward=8080", "expected PORT[/udp]:HOST:PORT"},
           {"forward twice", "--forward=80:127.0.0.1:1,80:127.0.0.1:2", "another --forward has this port"},
           {"name server", "--dns=name.example", "--dns=name.example"},
           {"mode", "--mode=vm", "--mode=vm: expected pod"},
           {"mtu", "--mtu=100", "--mtu=100: expected 1280"},
           {"policy file", "--policy-file=/nonexistent", "/nonexistent"},
           {"wg file", "--wg-config=/nonexistent", "/nonexistent"},
           {"endpoint without a port of ours", "--endpoint=192.0.2.1:5", "needs --port"},
           {"two sources", "--token=lt-x", "--wg-config and --token"},
           {"isolation, which is not there", "--isolate", "no flag --isolate"},
       }) {
    const CommandResult result = RunCommand(pod_->Inside(CommandLine("start", {bad.flag})));
    EXPECT_NE(result.exit_code, 0) << bad.name;
    EXPECT_THAT(result.err, HasSubstr(bad.want)) << bad.name;
  }
}

// With latticed and an agent of `lattice up` at the far end, which has 10.42.0.2.
class EnrolledSandboxTest : public SandboxTest {
 protected:
  void StartFarEnd() override {
    server_url_ = "http://192.0.2.2:8080";
    ASSERT_NO_FATAL_FAILURE(StartLatticed());
    mkdir("/run/wireguard", 0755);
    // The control socket has one place for all namespaces: it gets that folder for itself.
    const std::string command =
        absl::StrCat("mount -t tmpfs tmpfs /run/wireguard && exec ", BinaryPath("lattice"),
                     " up --name=far --no-dataplane", " --server-url=", server_url_,
                     " --endpoint=192.0.2.2:51820 --config-dir=", dir_.File("far"), " --token=", Token("far"));
    auto engine = ChildProcess::Start({.argv = {"unshare", "--mount", "sh", "-c", command}, .netns = far_->path()});
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    ASSERT_TRUE(engine_->WaitForOutput("is up as 10.42.0.2", kPatience)) << engine_->err();
    for (const uint16_t port : {8080, 8081}) {
      auto http = TcpServer::Http(*far_, {"10.42.0.2", port});
      ASSERT_TRUE(http.ok()) << http.status();
      servers_.push_back(*std::move(http));
    }
  }
  void TearDown() override {
    if (HasFailure() && latticed_ != nullptr) std::cerr << "latticed said:\n" << latticed_->err();
    if (engine_ != nullptr && engine_->Signal(SIGTERM)) engine_->Wait(kPatience);
    SandboxTest::TearDown();
    StopLatticed();
  }

  void StartLatticed() {
    auto latticed = ChildProcess::Start({.argv = {BinaryPath("latticed"), "--data-dir=" + dir_.File("control"),
                                                  "--http-addr=192.0.2.2:8080", "--nats-addr=192.0.2.2:4222"},
                                         .netns = far_->path()});
    ASSERT_TRUE(latticed.ok()) << latticed.status();
    latticed_ = *std::move(latticed);
    ASSERT_TRUE(latticed_->WaitForOutput("latticed is ready", absl::Seconds(30))) << latticed_->err();
  }
  void StopLatticed() {
    if (latticed_ != nullptr && latticed_->Signal(SIGTERM)) latticed_->Wait(kPatience);
    latticed_ = nullptr;
  }
  CommandResult Admin(std::vector<std::string> command) {
    command.insert(command.begin(), BinaryPath("lattice"));
    command.push_back("--server-url=" + server_url_);
    command.push_back("--api-token-file=" + dir_.File("control/admin.token"));
    return RunCommand(far_->Inside(std::move(command)));
  }
  std::string Token(const std::string& name) { return Trimmed(Admin({"token", "create", "--name=" + name})); }
  // What the control plane has of the agent, a JSON object a line.
  std::vector<AuditRecord> Stored() {
    return ParseAuditLines(Admin({"audit", "export", "--from=-1h", "--agent=agent-001", "--format=ndjson"}).out);
  }
  // Until every record of the file is there.
  bool AllStored() {
    return WaitUntil([&] { return Stored().size() == Records().size(); }, absl::Seconds(30));
  }
  int ReplyOf(uint16_t port) {
    int reply = -1;
    Socks("10.42.0.2", port, &reply);
    return reply;
  }

  std::unique_ptr<ChildProcess> latticed_;
};

TEST_F(EnrolledSandboxTest, EnrolsFollowsItsPolicyAndItsRecordsArrive) {
  ASSERT_TRUE(Admin({"policy", "set", "agent-001", "10.42.0.2/32:8080"}).ok());
  const std::string token = Token("agent-001");
  ASSERT_NO_FATAL_FAILURE(Start({"--token=" + token}));
  const auto command_line = ReadFile(absl::StrCat("/proc/", sandbox_->pid(), "/cmdline"));
  ASSERT_TRUE(command_line.ok()) << command_line.status();
  EXPECT_THAT(*command_line, Not(HasSubstr(token)));
  EXPECT_EQ(Curl(absl::StrCat("socks5h://", kProxy), "http://10.42.0.2:8080/").out, "hello\n");
  EXPECT_EQ(ReplyOf(8081), 2);
  EXPECT_TRUE(AllStored()) << Stored().size() << " of " << Records().size();

  ASSERT_TRUE(Admin({"policy", "set", "agent-001", "10.42.0.2/32:8081"}).ok());
  EXPECT_TRUE(WaitUntil([&] { return ReplyOf(8080) == 2; }, kPatience)) << "the denial did not come";
  EXPECT_EQ(ReplyOf(8081), 0);

  // The token was for one agent, once.
  const CommandResult again = RunCommand(pod_->Inside(
      {dir_.File("lattice"), "sandbox", "start", "--name=agent-002", "--server-url=" + server_url_, "--token=" + token,
       "--config-dir=" + dir_.File("other"), "--audit-log=" + dir_.File("other.jsonl")}));
  EXPECT_EQ(again.exit_code, 1) << again;
  EXPECT_THAT(again.err, HasSubstr("enrolling \"agent-002\""));

  ASSERT_TRUE(Admin({"agents", "revoke", "agent-001"}).ok());
  EXPECT_EQ(sandbox_->Wait(absl::Seconds(40)), 1);
  EXPECT_THAT(sandbox_->err(), HasSubstr("revoked"));
}

TEST_F(EnrolledSandboxTest, ResumesWithoutATokenAndWithoutTheControlPlane) {
  ASSERT_TRUE(Admin({"policy", "set", "agent-001", "10.42.0.2/32:8080"}).ok());
  ASSERT_NO_FATAL_FAILURE(Start({"--token=" + Token("agent-001")}));
  EXPECT_EQ(ReplyOf(8080), 0);
  sandbox_->Signal(SIGKILL);
  sandbox_->Wait(kPatience);
  ASSERT_NO_FATAL_FAILURE(Start({}));
  EXPECT_EQ(ReplyOf(8080), 0);

  StopLatticed();
  EXPECT_EQ(ReplyOf(8080), 0) << "what is there goes on";
  sandbox_->Signal(SIGKILL);
  sandbox_->Wait(kPatience);
  ASSERT_NO_FATAL_FAILURE(Start({}));
  EXPECT_THAT(sandbox_->err(), HasSubstr("the control plane is away, going by what it said last"));
  EXPECT_EQ(ReplyOf(8080), 0);
  EXPECT_EQ(ReplyOf(8081), 2);

  ASSERT_NO_FATAL_FAILURE(StartLatticed());
  EXPECT_TRUE(AllStored()) << Stored().size() << " of " << Records().size();
  ASSERT_TRUE(Admin({"policy", "set", "agent-001", "10.42.0.2/32:8081"}).ok());
  EXPECT_TRUE(WaitUntil([&] { return ReplyOf(8081) == 0; }, absl::Seconds(30))) << "it does not hear of the policy";
}

}  // namespace
}  // namespace lattice::testing
