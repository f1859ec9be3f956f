// The engines of pod mode against what Go has for the same job, in one run. Prints
//   figure, value, bar, aim, met|short
// exit status 1 when a bar is missed. Needs root.
//
// The namespace "pod" has the program that is measured, as an unprivileged user: engine_peer (ours) or
// engine_reference (gVisor's netstack on wireguard-go, built from Debian's packages by scripts/bench). The namespace
// "far" has wireguard-go on a TUN and a server on the kernel's TCP. Between them is a veth pair, or a relay that delays
// and loses. What is told of a program is the CPU time and memory of its process alone; the two alternate, so that
// neighbours in time are compared.
#include <gflags/gflags.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "bench/path_relay.h"
#include "bench/traffic_server.h"
#include "glog/logging.h"
#include "tests/testing/child_process.h"
#include "tests/testing/command.h"
#include "tests/testing/latticed_dp.h"
#include "tests/testing/sockets.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/wait_until.h"
#include "userspace/base/file.h"

DEFINE_uint64(megabytes, 600, "Bytes of each bulk transfer, in millions.");
DEFINE_uint64(rounds, 3, "How often each program is measured; the median counts.");

namespace lattice::bench {
namespace {

using lattice::testing::BinaryPath;
using lattice::testing::ChildProcess;
using lattice::testing::NetNamespace;
using lattice::testing::RunCommand;

constexpr uint16_t kPort = 7000;
constexpr uint16_t kFarPort = 51820;
constexpr char kFar[] = "10.42.0.2";
constexpr char kPod[] = "10.42.0.1";
constexpr absl::Duration kPatience = absl::Seconds(120);

std::string Output(std::vector<std::string> argv, const std::string& input = "") {
  const auto result = RunCommand(std::move(argv), {.input = input});
  CHECK(result.ok()) << result;
  return std::string(absl::StripAsciiWhitespace(result.out));
}

std::string Hex(const std::string& base64) {
  std::string bytes;
  CHECK(absl::Base64Unescape(base64, &bytes));
  return absl::BytesToHexString(bytes);
}

// What a run of a program printed.
using Measured = std::map<std::string, double>;

class Setup {
 public:
  // `far_engine`: argv of what makes the far interface.
  explicit Setup(std::vector<std::string> far_engine);
  ~Setup();

  // A program in the pod, on the path by `port`: of the far end itself, or of a relay on the pod's loopback.
  Measured Run(const std::string& program, const std::string& command, std::vector<std::string> numbers,
               const PathRelay* relay = nullptr);
  NetNamespace& pod() { return *pod_; }
  pid_t far_pid() const { return engine_->pid(); }
  // Makes the interface `device` in the pod the far end's peer.
  void JoinPod(const std::string& device, const PathRelay* relay);

 private:
  // Of the far end as the pod sees it: itself, or a relay on the pod's loopback.
  static std::string FarEndpoint(const PathRelay* relay) {
    return relay == nullptr ? absl::StrCat("192.0.2.2:", kFarPort) : absl::StrCat("127.0.0.1:", relay->port());
  }
  std::unique_ptr<NetNamespace> pod_, far_;
  std::string pod_key_, far_key_;
  lattice::testing::TempDir dir_;
  std::unique_ptr<ChildProcess> engine_;
  std::unique_ptr<TrafficServer> server_;
};

Setup::Setup(std::vector<std::string> far_engine) {
  pod_ = *NetNamespace::Create("pod");
  far_ = *NetNamespace::Create("far");
  CHECK(ConnectByVeth(*pod_, *far_, "net0", {"192.0.2.1/24"}, {"192.0.2.2/24"}).ok());
  pod_key_ = Output({"wg", "genkey"});
  far_key_ = Output({"wg", "genkey"});
  const std::string device = absl::StrCat("lat-t-", getpid(), "-f");
  far_engine.push_back(device);
  auto engine = ChildProcess::Start({.argv = far_engine, .netns = far_->path()});
  CHECK(engine.ok()) << engine.status();
  engine_ = *std::move(engine);
  const std::string config = absl::StrCat(dir_.path(), "/far.conf");
  CHECK(WriteFileAtomically(config,
                            absl::StrCat("[Interface]\nPrivateKey = ", far_key_, "\nListenPort = ", kFarPort,
                                         "\n[Peer]\nPublicKey = ", Output({"wg", "pubkey"}, pod_key_),
                                         "\nAllowedIPs = ", kPod, "/32\n"),
                            0600)
            .ok());
  CHECK(lattice::testing::WaitUntil([&] {
    return RunCommand({"wg", "setconf", device, config}).ok();
  })) << engine_->err();
  const absl::Status up =
      far_->Ip(absl::StrCat("addr add ", kFar, "/24 dev ", device, "\nlink set ", device, " mtu 1420 up"));
  CHECK(up.ok()) << up;
  server_ = std::make_unique<TrafficServer>(*far_, lattice::testing::SocketAddress("0.0.0.0", kPort));
}

void Setup::JoinPod(const std::string& device, const PathRelay* relay) {
  const std::string config = absl::StrCat(dir_.path(), "/tun.conf");
  CHECK(WriteFileAtomically(config,
                            absl::StrCat("[Interface]\nPrivateKey = ", pod_key_,
                                         "\n[Peer]\nPublicKey = ", Output({"wg", "pubkey"}, far_key_),
                                         "\nAllowedIPs = ", kFar, "/32\nEndpoint = ", FarEndpoint(relay), "\n"),
                            0600)
            .ok());
  CHECK(lattice::testing::WaitUntil([&] { return RunCommand({"wg", "setconf", device, config}).ok(); }));
  const absl::Status up =
      pod_->Ip(absl::StrCat("addr add ", kPod, "/24 dev ", device, "\nlink set ", device, " mtu 1420 up"));
  CHECK(up.ok()) << up;
}

Setup::~Setup() {
  // Killed, an engine leaves its control socket.
  engine_ = nullptr;
  for (const char* end : {"f", "p"})
    unlink(absl::StrCat("/var/run/wireguard/lat-t-", getpid(), "-", end, ".sock").c_str());
}

Measured Setup::Run(const std::string& program, const std::string& command, std::vector<std::string> numbers,
                    const PathRelay* relay) {
  const std::string config = absl::StrCat(dir_.path(), "/pod.conf");
  CHECK(WriteFileAtomically(config,
                            absl::StrCat("address=", kPod, "\nprivate_key=", Hex(pod_key_),
                                         "\npublic_key=", Hex(Output({"wg", "pubkey"}, far_key_)),
                                         "\nendpoint=", FarEndpoint(relay), "\nallowed_ip=0.0.0.0/0\n"),
                            0600)
            .ok());
  // Nobody's: the program is to need no privilege. It reads its file and nothing else.
  PCHECK(chown(config.c_str(), 65534, 65534) == 0 && chmod(dir_.path().c_str(), 0711) == 0);
  std::vector<std::string> argv = {"setpriv",
                                   "--reuid=65534",
                                   "--regid=65534",
                                   "--clear-groups",
                                   "--bounding-set=-all",
                                   program,
                                   config,
                                   command,
                                   absl::StrCat(kFar, ":", kPort)};
  argv.insert(argv.end(), numbers.begin(), numbers.end());
  const auto result = RunCommand(pod_->Inside(argv), {.timeout = kPatience});
  CHECK(result.ok()) << result;
  Measured measured;
  for (const absl::string_view word : absl::StrSplit(absl::StripAsciiWhitespace(result.out), ' ')) {
    const std::pair<std::string, std::string> entry = absl::StrSplit(word, '=');
    CHECK(absl::SimpleAtod(entry.second, &measured[entry.first])) << result.out;
  }
  std::fprintf(stderr, "# %s %s: %s", program.substr(program.rfind('/') + 1).c_str(), command.c_str(),
               result.out.c_str());
  return measured;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Runs ours and the reference in turns.
struct Pair {
  std::vector<Measured> ours, reference;
  template <typename Value>
  double Ratio(Value value) const {
    std::vector<double> ratios;
    for (size_t i = 0; i < ours.size(); ++i) ratios.push_back(value(ours[i]) / value(reference[i]));
    return Median(ratios);
  }
  double Ours(const std::string& key) const {
    std::vector<double> values;
    for (const Measured& one : ours) values.push_back(one.at(key));
    return Median(values);
  }
};

Pair Compare(Setup& setup, const std::string& command, const std::vector<std::string>& numbers) {
  Pair pair;
  for (uint64_t round = 0; round < FLAGS_rounds; ++round) {
    pair.ours.push_back(setup.Run(BinaryPath("bench/engine_peer"), command, numbers));
    pair.reference.push_back(setup.Run(BinaryPath("bench/engine_reference"), command, numbers));
  }
  return pair;
}

bool g_all_met = true;

void Figure(const std::string& name, double value, double bar, double aim, bool less_is_better) {
  const bool met = less_is_better ? value <= bar : value >= bar;
  std::printf("%s, %.3g, %.3g, %.3g, %s\n", name.c_str(), value, bar, aim, met ? "met" : "short");
  std::fflush(stdout);
  g_all_met &= met;
}

double Mbit(uint64_t bytes, double seconds) {
  return static_cast<double>(bytes) * 8e-6 / seconds;
}

void AgainstReference() {
  Setup setup({"wireguard-go", "--foreground"});
  const uint64_t bytes = FLAGS_megabytes * 1'000'000;
  const auto cpu = [](const Measured& run) { return run.at("cpu"); };
  const auto seconds = [](const Measured& run) { return run.at("seconds"); };
  const auto value = [](const Measured& run) { return run.at("value"); };
  const Pair up = Compare(setup, "upload", {absl::StrCat(bytes)});
  Figure("upload, CPU a bit / Go reference", up.Ratio(cpu), 0.25, 0.1, true);
  const Pair down = Compare(setup, "download", {absl::StrCat(bytes)});
  Figure("download, CPU a bit / Go reference", down.Ratio(cpu), 0.25, 0.1, true);
  const Pair connects = Compare(setup, "connects", {"6400", "32"});
  Figure("connections a second, 32 clients / Go reference", 1 / connects.Ratio(seconds), 1.8, 2.5, false);
  const Pair echo = Compare(setup, "echo", {"5000"});
  Figure("echo p50 / Go reference", echo.Ratio(value), 0.8, 0.5, true);
  const Pair hold = Compare(setup, "hold", {"2000"});
  Figure("a held connection (KiB)", hold.Ours("value"), 8, 4, true);
  Figure("RSS idle (MiB)", up.Ours("idle_rss_kib") / 1024, 12, 8, true);
  Figure("RSS under load (MiB)", std::max(up.Ours("peak_rss_kib"), down.Ours("peak_rss_kib")) / 1024, 96, 64, true);
}

void BetweenOurs() {
  Setup setup({BinaryPath("lattice"), "wg", "run"});
  const uint64_t bytes = 4 * FLAGS_megabytes * 1'000'000;
  std::vector<double> up, down;
  for (uint64_t round = 0; round < FLAGS_rounds; ++round) {
    const std::string number = absl::StrCat(bytes);
    up.push_back(Mbit(bytes, setup.Run(BinaryPath("bench/engine_peer"), "upload", {number}).at("seconds")));
    down.push_back(Mbit(bytes, setup.Run(BinaryPath("bench/engine_peer"), "download", {number}).at("seconds")));
  }
  Figure("one flow up, our engine at both ends (Gbit/s)", Median(up) / 1000, 2.4, 4, false);
  Figure("one flow down, our engine at both ends (Gbit/s)", Median(down) / 1000, 2.4, 4, false);

  const Pair connects = Compare(setup, "connects", {"6400", "32"});
  Figure("connections a second, 32 clients, our engine at the far end / Go reference",
         1 / connects.Ratio([](const Measured& run) { return run.at("seconds"); }), 1.8, 2.5, false);
}

// utime and stime of a process (proc(5)).
double CpuSeconds(pid_t pid) {
  const auto text = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  CHECK(text.ok()) << text.status();
  const std::vector<std::string> fields = absl::StrSplit(text->substr(text->rfind(')') + 2), ' ');
  double user = 0, system = 0;
  CHECK(absl::SimpleAtod(fields[11], &user) && absl::SimpleAtod(fields[12], &system));
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// Interfaces by `engine` at both ends, with the kernel's TCP on them: nothing of ours but WireGuard and the TUN device.
struct Tun {
  double mbit = 0;
  double cpu = 0;  // of both processes
};

struct Path {
  absl::Duration rtt;
  double loss = 0;
};

std::unique_ptr<PathRelay> RelayFor(Setup& setup, const Path& path, uint64_t seed) {
  return std::make_unique<PathRelay>(setup.pod(),
                                     PathRelay::Options{.target = {*IpAddress::Parse("192.0.2.2"), kFarPort},
                                                        .one_way = path.rtt / 2,
                                                        .loss = path.loss,
                                                        .seed = seed});
}

Tun KernelTcpOver(const std::vector<std::string>& engine, uint64_t bytes, const Path* path = nullptr,
                  uint64_t seed = 0) {
  Setup setup(engine);
  const std::unique_ptr<PathRelay> relay = path == nullptr ? nullptr : RelayFor(setup, *path, seed);
  const std::string device = absl::StrCat("lat-t-", getpid(), "-p");
  std::vector<std::string> argv = engine;
  argv.push_back(device);
  auto pod = ChildProcess::Start({.argv = argv, .netns = setup.pod().path()});
  CHECK(pod.ok()) << pod.status();
  setup.JoinPod(device, relay.get());
  auto fd = ConnectTcp(setup.pod(), lattice::testing::SocketAddress(kFar, kPort), absl::Seconds(20));
  CHECK(fd.ok()) << fd.status();
  const double cpu = CpuSeconds((*pod)->pid()) + CpuSeconds(setup.far_pid());
  const absl::Time start = absl::Now();
  const uint8_t kind = TrafficServer::kSink;
  PCHECK(send(fd->get(), &kind, 1, MSG_NOSIGNAL) == 1);
  std::vector<char> block(256 << 10);
  for (uint64_t left = bytes; left > 0;) {
    const ssize_t sent = send(fd->get(), block.data(), std::min<uint64_t>(left, block.size()), MSG_NOSIGNAL);
    PCHECK(sent > 0);
    left -= static_cast<uint64_t>(sent);
  }
  shutdown(fd->get(), SHUT_WR);
  PCHECK(read(fd->get(), block.data(), block.size()) == 0);  // it has all
  return {Mbit(bytes, absl::ToDoubleSeconds(absl::Now() - start)),
          CpuSeconds((*pod)->pid()) + CpuSeconds(setup.far_pid()) - cpu};
}

void OnTunDevices() {
  const uint64_t bytes = FLAGS_megabytes * 1'000'000;
  std::vector<double> rate, cpu;
  for (uint64_t round = 0; round < FLAGS_rounds; ++round) {
    const Tun ours = KernelTcpOver({BinaryPath("lattice"), "wg", "run"}, bytes);
    const Tun go = KernelTcpOver({"wireguard-go", "--foreground"}, bytes);
    std::fprintf(stderr, "# kernel TCP over lattice wg: %.0f Mbit/s, %.2f CPU-s; over wireguard-go: %.0f, %.2f\n",
                 ours.mbit, ours.cpu, go.mbit, go.cpu);
    rate.push_back(ours.mbit / go.mbit);
    cpu.push_back(ours.cpu / go.cpu);
  }
  Figure("kernel TCP on TUN devices, throughput / wireguard-go", Median(rate), 1.5, 3, false);
  Figure("kernel TCP on TUN devices, CPU a bit / wireguard-go", Median(cpu), 0.5, 0.25, true);
}

// Our stack, and Linux's on our TUN device, over the same path.
void OnPaths() {
  struct Case {
    const char* name;
    Path path;
    uint64_t ours_bytes, linux_bytes;
    double bar, aim;
  };
  const std::vector<std::string> engine = {BinaryPath("lattice"), "wg", "run"};
  for (const Case& one :
       {Case{"upload at 10 ms RTT, 1 % loss", {absl::Milliseconds(10), 0.01}, 200'000'000, 20'000'000, 100, 250},
        Case{"upload at 50 ms RTT, no loss", {absl::Milliseconds(50), 0}, 400'000'000, 400'000'000, 400, 600}}) {
    std::vector<double> rates, ratios;
    for (uint64_t round = 1; round <= FLAGS_rounds; ++round) {
      double rate = 0;
      {
        Setup setup(engine);
        const std::unique_ptr<PathRelay> relay = RelayFor(setup, one.path, round);
        const std::string number = absl::StrCat(one.ours_bytes);
        rate = Mbit(one.ours_bytes,
                    setup.Run(BinaryPath("bench/engine_peer"), "upload", {number}, relay.get()).at("seconds"));
      }
      const Tun kernel = KernelTcpOver(engine, one.linux_bytes, &one.path, round);
      std::fprintf(stderr, "# %s: ours %.0f Mbit/s, Linux TCP %.0f\n", one.name, rate, kernel.mbit);
      rates.push_back(rate);
      ratios.push_back(rate / kernel.mbit);
    }
    Figure(absl::StrCat(one.name, " (Mbit/s)"), Median(rates), one.bar, one.aim, false);
    Figure(absl::StrCat(one.name, " / Linux TCP"), Median(ratios), 0.8, 1, false);
  }
}

int Main() {
  AgainstReference();
  OnTunDevices();
  BetweenOurs();
  OnPaths();
  return g_all_met ? 0 : 1;
}

}  // namespace
}  // namespace lattice::bench

int main(int argc, char** argv) {
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  return lattice::bench::Main();
}
