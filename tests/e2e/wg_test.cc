// `lattice wg`: our engine on a real TUN device, with itself and with wireguard-go at the other end, driven by wg(8)
// and ip(8) and carrying the kernel's TCP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tests/testing/child_process.h"
#include "tests/testing/command.h"
#include "tests/testing/latticed_dp.h"
#include "tests/testing/netns.h"
#include "tests/testing/sockets.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/wait_until.h"
#include "userspace/base/file.h"

namespace lattice::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr uint16_t kPort = 5001;
constexpr char kSockets[] = "/var/run/wireguard/";

std::string Trimmed(const CommandResult& result) {
  EXPECT_TRUE(result.ok()) << result;
  return std::string(absl::StripAsciiWhitespace(result.out));
}

enum class Engine { kOurs, kOursSingle, kWireguardGo };

// One end: a namespace, a key, an interface of its own name (the folder of control sockets is the host's).
struct End {
  std::string role, device, underlay, overlay4, overlay6, private_key, public_key;
  std::unique_ptr<NetNamespace> ns;
  std::unique_ptr<ChildProcess> process;
};

// Bytes that tell their place.
class Sequence {
 public:
  uint8_t Next() { return static_cast<uint8_t>((state_ = state_ * 1664525 + 1013904223) >> 24); }

 private:
  uint32_t state_ = 1;
};

class WgTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // What a crashed run left. Their interfaces went with the processes.
    for (const std::string& name : DeadLeftovers(FolderEntries(kSockets))) unlink(absl::StrCat(kSockets, name).c_str());
    for (End* end : {&a_, &b_}) {
      const bool first = end == &a_;
      end->role = first ? "a" : "b";
      end->device = absl::StrCat("lat-t-", getpid(), "-", end->role);
      end->underlay = first ? "192.0.2.1" : "192.0.2.2";
      end->overlay4 = first ? "10.42.0.1" : "10.42.0.2";
      end->overlay6 = first ? "fd42::1" : "fd42::2";
      end->private_key = Trimmed(RunCommand({"wg", "genkey"}));
      end->public_key = Trimmed(RunCommand({"wg", "pubkey"}, {.input = end->private_key}));
      auto ns = NetNamespace::Create(end->role);
      ASSERT_TRUE(ns.ok()) << ns.status();
      end->ns = *std::move(ns);
    }
    psk_ = Trimmed(RunCommand({"wg", "genpsk"}));
    const absl::Status joined = ConnectByVeth(*a_.ns, *b_.ns, "net0", {"192.0.2.1/24"}, {"192.0.2.2/24"});
    ASSERT_TRUE(joined.ok()) << joined;
  }

  void TearDown() override {
    for (End* end : {&a_, &b_}) RemoveSocket(*end, std::exchange(end->process, nullptr));
  }

  // A process that is killed leaves its socket, and wg(8) removes that when it meets it: then it may be the next one's.
  static void RemoveSocket(const End& end, std::unique_ptr<ChildProcess> process) {
    process = nullptr;
    unlink(absl::StrCat(kSockets, end.device, ".sock").c_str());
  }

  // A wg-quick file; `wg setconf` takes no address.
  std::string Config(const End& end, const End& other, bool address) const {
    return absl::StrCat("[Interface]\nPrivateKey = ", end.private_key, "\nListenPort = 51820\n",
                        address ? absl::StrCat("Address = ", end.overlay4, "/32, ", end.overlay6, "/128\n") : "",
                        "[Peer]\nPublicKey = ", other.public_key,
                        use_psk_ ? absl::StrCat("\nPresharedKey = ", psk_) : "", "\nAllowedIPs = ", other.overlay4,
                        "/32, ", other.overlay6, "/128\nEndpoint = ", other.underlay, ":51820\n");
  }

  std::string ConfigFile(const End& end, const End& other, bool address) {
    const std::string path = absl::StrCat(dir_.path(), "/", end.device, address ? ".conf" : ".wg");
    EXPECT_TRUE(WriteFileAtomically(path, Config(end, other, address), 0600).ok());
    return path;
  }

  void Start(End& end, const End& other, Engine engine) {
    std::vector<std::string> argv = {"wireguard-go", "--foreground", end.device};
    if (engine != Engine::kWireguardGo) argv = {BinaryPath("lattice"), "wg", "up", ConfigFile(end, other, true)};
    if (engine == Engine::kOursSingle) argv.push_back("--no-offload");
    auto process = ChildProcess::Start({.argv = argv, .netns = end.ns->path()});
    ASSERT_TRUE(process.ok()) << process.status();
    end.process = *std::move(process);
    if (engine != Engine::kWireguardGo) {
      ASSERT_TRUE(end.process->WaitForOutput("is up with 1 peer", kPatience)) << end.process->err();
      return;
    }
    const std::string file = ConfigFile(end, other, false);
    ASSERT_TRUE(WaitUntil([&] { return RunCommand({"wg", "setconf", end.device, file}).ok(); })) << end.process->err();
    SetUpByIp(end, other);
  }

  static void SetUpByIp(const End& end, const End& other) {
    const absl::Status done = end.ns->Ip(
        absl::StrCat("addr add ", end.overlay4, "/32 dev ", end.device, "\naddr add ", end.overlay6, "/128 dev ",
                     end.device, " nodad\nlink set ", end.device, " mtu 1420 up\nroute add ", other.overlay4,
                     "/32 dev ", end.device, "\nroute add ", other.overlay6, "/128 dev ", end.device));
    ASSERT_TRUE(done.ok()) << done;
  }

  // Sends `bytes` from one end to the other; a byte that is not the one that was sent fails.
  static void Transfer(const End& from, const End& to, const std::string& address, size_t bytes) {
    SCOPED_TRACE(absl::StrCat(from.role, " to ", address));
    auto listener = BoundSocket(*to.ns, SOCK_STREAM, SocketAddress(address, kPort));
    ASSERT_TRUE(listener.ok()) << listener.status();
    size_t got = 0;
    size_t wrong = 0;
    std::thread sink([&] {
      const UniqueFd fd(accept(listener->get(), nullptr, nullptr));
      SetReceiveTimeout(fd.get(), kPatience);
      std::vector<uint8_t> buffer(1 << 20);
      Sequence sequence;
      ssize_t n;
      while ((n = read(fd.get(), buffer.data(), buffer.size())) > 0) {
        for (ssize_t i = 0; i < n; ++i) wrong += buffer[static_cast<size_t>(i)] != sequence.Next();
        got += static_cast<size_t>(n);
      }
    });
    auto fd = ConnectTcp(*from.ns, SocketAddress(address, kPort), kPatience);
    if (!fd.ok()) shutdown(listener->get(), SHUT_RDWR);  // wakes the thread
    std::vector<uint8_t> block(1 << 20);
    Sequence sequence;
    for (size_t done = 0; fd.ok() && done < bytes; done += block.size()) {
      block.resize(std::min(block.size(), bytes - done));
      for (uint8_t& byte : block) byte = sequence.Next();
      if (send(fd->get(), block.data(), block.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(block.size())) break;
    }
    if (fd.ok()) shutdown(fd->get(), SHUT_WR);
    sink.join();
    ASSERT_TRUE(fd.ok()) << fd.status();
    EXPECT_EQ(got, bytes);
    EXPECT_EQ(wrong, 0u);
  }

  void TransferBothWays(size_t bytes) {
    if (HasFatalFailure()) return;
    Transfer(a_, b_, b_.overlay4, bytes);
    Transfer(b_, a_, a_.overlay4, bytes);
    Transfer(a_, b_, b_.overlay6, bytes);
    Transfer(b_, a_, a_.overlay6, bytes);
  }

  // "RECEIVED SENT" as `wg show` has it.
  static std::pair<uint64_t, uint64_t> Bytes(const End& end) {
    const std::string text = Trimmed(RunCommand({"wg", "show", end.device, "transfer"}));
    const std::vector<std::string> words = absl::StrSplit(text, '\t');
    std::pair<uint64_t, uint64_t> bytes{0, 1};
    EXPECT_TRUE(words.size() == 3 && absl::SimpleAtoi(words[1], &bytes.first) &&
                absl::SimpleAtoi(words[2], &bytes.second))
        << text;
    return bytes;
  }

  bool Pings(const End& from, const std::string& address) {
    return RunCommand(from.ns->Inside({"ping", "-c", "1", "-W", "2", address})).ok();
  }

  TempDir dir_;
  bool use_psk_ = false;
  std::string psk_;
  End a_, b_;
};

TEST_F(WgTest, TwoOfOursCarryTcpOfBothFamiliesAndAgreeOnTheBytes) {
  Start(a_, b_, Engine::kOurs);
  Start(b_, a_, Engine::kOurs);
  TransferBothWays(16 << 20);
  // The last packets may still be on their way.
  EXPECT_TRUE(WaitUntil([&] { return Bytes(a_).first == Bytes(b_).second && Bytes(b_).first == Bytes(a_).second; }))
      << Bytes(a_).first << " " << Bytes(a_).second << " / " << Bytes(b_).first << " " << Bytes(b_).second;
  EXPECT_GT(Bytes(a_).first, uint64_t{32 << 20});
}

TEST_F(WgTest, WithoutOffloadTheSameArrives) {
  Start(a_, b_, Engine::kOursSingle);
  Start(b_, a_, Engine::kOurs);
  TransferBothWays(2 << 20);
}

TEST_F(WgTest, WireguardGoIsAPeerLikeAnyOther) {
  use_psk_ = true;
  Start(a_, b_, Engine::kOurs);
  Start(b_, a_, Engine::kWireguardGo);
  TransferBothWays(4 << 20);
  const std::string shown = Trimmed(RunCommand({"wg", "show", a_.device}));
  EXPECT_THAT(shown, HasSubstr(b_.public_key));
  EXPECT_THAT(shown, HasSubstr("preshared key: (hidden)"));
  EXPECT_THAT(shown, HasSubstr("latest handshake: "));
  EXPECT_THAT(shown, HasSubstr("endpoint: 192.0.2.2:51820"));
}

TEST_F(WgTest, AnInterfaceIsSetUpAndChangedByWgAndIp) {
  Start(b_, a_, Engine::kOurs);
  auto process = ChildProcess::Start({.argv = {BinaryPath("lattice"), "wg", "run", a_.device}, .netns = a_.ns->path()});
  ASSERT_TRUE(process.ok()) << process.status();
  a_.process = *std::move(process);
  ASSERT_TRUE(a_.process->WaitForOutput("is there", kPatience)) << a_.process->err();
  const std::string file = ConfigFile(a_, b_, false);
  const CommandResult set = RunCommand({"wg", "setconf", a_.device, file});
  ASSERT_TRUE(set.ok()) << set;
  SetUpByIp(a_, b_);
  EXPECT_TRUE(Pings(a_, b_.overlay4));
  // What wg(8) writes is what it reads.
  EXPECT_THAT(Trimmed(RunCommand({"wg", "showconf", a_.device})), HasSubstr(a_.private_key));

  const CommandResult removed = RunCommand({"wg", "set", a_.device, "peer", b_.public_key, "remove"});
  ASSERT_TRUE(removed.ok()) << removed;
  EXPECT_FALSE(Pings(a_, b_.overlay4));
  ASSERT_TRUE(RunCommand({"wg", "addconf", a_.device, file}).ok());
  EXPECT_TRUE(Pings(a_, b_.overlay4));
}

TEST_F(WgTest, MetricsTellOfEachPacketAndOfTheCipher) {
  Start(b_, a_, Engine::kOurs);
  const std::string file = ConfigFile(a_, b_, true);
  auto process = ChildProcess::Start(
      {.argv = {BinaryPath("lattice"), "wg", "up", file, "--metrics-addr=127.0.0.1:9479"}, .netns = a_.ns->path()});
  ASSERT_TRUE(process.ok()) << process.status();
  a_.process = *std::move(process);
  ASSERT_TRUE(a_.process->WaitForOutput("is up with 1 peer", kPatience)) << a_.process->err();
  ASSERT_TRUE(Pings(a_, b_.overlay4));
  // Nobody's allowed IPs: lost, and counted. The route is there, the peer is not.
  ASSERT_TRUE(a_.ns->Ip(absl::StrCat("route add 10.42.0.9/32 dev ", a_.device)).ok());
  EXPECT_FALSE(Pings(a_, "10.42.0.9"));
  const std::string text =
      Trimmed(RunCommand(a_.ns->Inside({"curl", "-sS", "--fail", "http://127.0.0.1:9479/metrics"})));
  EXPECT_THAT(text, ::testing::ContainsRegex("lattice_wg_packets_out_total\\{result=\"no_route\"\\} [1-9]"));
  EXPECT_THAT(text, ::testing::ContainsRegex("lattice_wg_info\\{cipher=\"(assembly|evp)\""));
  EXPECT_THAT(text, HasSubstr("lattice_wg_peers{session=\"yes\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("lattice_wg_sessions_total 1\n"));
}

TEST_F(WgTest, ANameThatMovesIsFollowedWhileItsPeerDoesNotAnswer) {
  Start(b_, a_, Engine::kOurs);
  // A hosts file of its own: at first the name leads to where nobody is.
  const std::string hosts = absl::StrCat(dir_.path(), "/hosts");
  ASSERT_TRUE(WriteFileAtomically(hosts, "192.0.2.99 far.example\n", 0644).ok());
  std::string config = Config(a_, b_, true);
  absl::StrReplaceAll({{"Endpoint = 192.0.2.2:", "Endpoint = far.example:"}}, &config);
  const std::string file = absl::StrCat(dir_.path(), "/", a_.device, ".conf");
  ASSERT_TRUE(WriteFileAtomically(file, config, 0600).ok());
  const std::string command =
      absl::StrCat("mount --bind ", hosts, " /etc/hosts && exec ", BinaryPath("lattice"), " wg up ", file);
  auto process = ChildProcess::Start({.argv = {"unshare", "--mount", "sh", "-c", command}, .netns = a_.ns->path()});
  ASSERT_TRUE(process.ok()) << process.status();
  a_.process = *std::move(process);
  ASSERT_TRUE(a_.process->WaitForOutput("is up with 1 peer", kPatience)) << a_.process->err();
  EXPECT_FALSE(Pings(a_, b_.overlay4));
  // In place: the mount is of the file.
  std::ofstream(hosts, std::ios::trunc) << "192.0.2.2 far.example\n";
  EXPECT_TRUE(WaitUntil([&] { return Pings(a_, b_.overlay4); }));
}

TEST_F(WgTest, SigtermTakesInterfaceAndSocketAway) {
  Start(a_, b_, Engine::kOurs);
  const std::string socket = absl::StrCat(kSockets, a_.device, ".sock");
  EXPECT_EQ(access(socket.c_str(), F_OK), 0);
  a_.process->Signal(SIGTERM);
  EXPECT_EQ(a_.process->Wait(kPatience), 0);
  EXPECT_NE(access(socket.c_str(), F_OK), 0);
  EXPECT_FALSE(a_.ns->Ip(absl::StrCat("link show ", a_.device)).ok());
}

TEST_F(WgTest, AKilledOneIsStartedAgain) {
  Start(a_, b_, Engine::kOurs);
  Start(b_, a_, Engine::kOurs);
  EXPECT_TRUE(Pings(a_, b_.overlay4));
  a_.process->Signal(SIGKILL);
  ASSERT_TRUE(a_.process->Wait(kPatience).has_value());
  Start(a_, b_, Engine::kOurs);
  EXPECT_TRUE(Pings(a_, b_.overlay4));
}

TEST_F(WgTest, ADeletedInterfaceEndsItWithAnError) {
  Start(a_, b_, Engine::kOurs);
  ASSERT_TRUE(a_.ns->Ip(absl::StrCat("link del ", a_.device)).ok());
  EXPECT_EQ(a_.process->Wait(kPatience), 1);
  EXPECT_THAT(a_.process->err(), HasSubstr("was deleted"));
}

TEST_F(WgTest, ANameInUseIsRefused) {
  Start(a_, b_, Engine::kOurs);
  const CommandResult second = RunCommand(a_.ns->Inside({BinaryPath("lattice"), "wg", "run", a_.device}));
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr(absl::StrCat("an interface ", a_.device, " already")));
  EXPECT_TRUE(RunCommand({"wg", "show", a_.device}).ok()) << "the first one still answers";
}

TEST_F(WgTest, ANameThatTheKernelWouldChangeIsRefused) {
  const CommandResult result = RunCommand(a_.ns->Inside({BinaryPath("lattice"), "wg", "run", "lat%d"}));
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("without %"));
}

TEST_F(WgTest, AFileThatCanNotBeHonouredMakesNothing) {
  const std::string path = absl::StrCat(dir_.path(), "/", a_.device, ".conf");
  for (const auto& [line, complaint] : std::vector<std::pair<std::string, std::string>>{
           {"PostUp = touch /tmp/x", "PostUp"},
           {"Colour = red", "Colour"},
           {"Table = 7", "Table"},
           {"[Peer]\nPublicKey = " + b_.public_key + "\nAllowedIPs = 192.0.2.0/24\nEndpoint = 192.0.2.2:51820",
            "endpoint 192.0.2.2:51820"},
       }) {
    const std::string config = absl::StrCat("[Interface]\nPrivateKey = ", a_.private_key, "\n", line, "\n");
    ASSERT_TRUE(WriteFileAtomically(path, config, 0600).ok());
    const CommandResult result = RunCommand(a_.ns->Inside({BinaryPath("lattice"), "wg", "up", path}));
    EXPECT_NE(result.exit_code, 0) << line;
    EXPECT_THAT(result.err, HasSubstr(complaint));
    EXPECT_THAT(result.err, Not(HasSubstr(a_.private_key)));
  }
  EXPECT_FALSE(a_.ns->Ip(absl::StrCat("link show ", a_.device)).ok());
}

}  // namespace
}  // namespace lattice::testing
