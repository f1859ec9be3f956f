// What a 64-byte UDP send on a TUN costs more with our program attached, against the same send judged by
// an nft stateful rule set that holds the same 1,000 prefixes in an interval set. Prints
//   figure, value, bar, aim, met|short
// and what it is made of; exit status 1 when the bar is missed.
//
// Theory of operation. Three namespaces with a TUN each: bare, ours, nft. One thread sends from a connected
// socket of each in turn, in slices short enough (some ms) that whatever else the machine does falls on
// all three alike. The figure is the quotient of the medians of two differences, ours - bare and nft - bare,
// over all rounds; slices of one round are neighbours in time. The flows are answered once before, so both
// judges see an established one. Nobody reads the TUNs: a full queue drops, which costs the same for all.
#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "tests/testing/command.h"
#include "tests/testing/netns.h"
#include "tests/testing/sockets.h"
#include "tests/testing/tun.h"
#include "userspace/base/clock.h"
#include "userspace/datapath/datapath.h"
#include "userspace/datapath/detach.h"
#include "userspace/policy/rule.h"

namespace lattice::testing {
namespace {

constexpr double kBar = 0.35, kAim = 0.1;
constexpr int kRounds = 300;
constexpr int kSendsPerSlice = 1000;
constexpr int kPrefixes = 1000;
constexpr char kNode[] = "198.18.0.1", kServer[] = "10.3.4.1";

// 10.0.0.0/24, 10.0.2.0/24, …: never neighbours, so no judge can merge them. 10.3.4.0/24 is one.
std::vector<std::string> Prefixes() {
  std::vector<std::string> prefixes;
  for (int i = 0; i < kPrefixes; ++i) prefixes.push_back(absl::StrCat("10.", i / 128, ".", i % 128 * 2, ".0/24"));
  return prefixes;
}

class Lane {
 public:
  explicit Lane(const std::string& role) {
    auto ns = NetNamespace::Create(role);
    CHECK(ns.ok()) << ns.status();
    ns_ = std::move(*ns);
    auto tun = TunDevice::Create(*ns_, "wg0", {absl::StrCat(kNode, "/32")});
    CHECK(tun.ok()) << tun.status();
    tun_ = std::move(*tun);
    CHECK(ns_->Ip("route add default dev wg0").ok());
  }
  const NetNamespace& ns() const { return *ns_; }

  // Opens the flow: one datagram out, its answer in.
  void Connect() {
    auto fd = BoundSocket(*ns_, SOCK_DGRAM, {kNode, 4000});
    CHECK(fd.ok()) << fd.status();
    fd_ = std::move(*fd);
    const SocketAddress server(kServer, 5000);
    PCHECK(::connect(fd_.get(), server.get(), server.length()) == 0);
    Send(1);
    for (;;) {
      auto packet = tun_->Read(absl::Seconds(5));
      CHECK(packet.has_value()) << "the first datagram does not come out";
      if (!IsFor(*packet, kServer, 5000)) continue;
      for (int i = 0; i < 4; ++i) std::swap((*packet)[12 + i], (*packet)[16 + i]);
      std::swap((*packet)[20], (*packet)[22]);
      std::swap((*packet)[21], (*packet)[23]);
      (*packet)[26] = (*packet)[27] = 0;  // no UDP checksum
      CHECK(tun_->Write(*packet).ok());
      break;
    }
    char answer[128];
    SetReceiveTimeout(fd_.get(), absl::Seconds(5));
    PCHECK(::recv(fd_.get(), answer, sizeof answer, 0) == 64) << "the answer does not come in";
    Send(2000);  // the queue is full from here on
  }

  // Nanoseconds per send.
  double Slice() {
    const int64_t start = RealClock().MonotonicNs();
    Send(kSendsPerSlice);
    return static_cast<double>(RealClock().MonotonicNs() - start) / kSendsPerSlice;
  }

 private:
  void Send(int count) {
    char payload[64] = {};
    for (int i = 0; i < count; ++i) PCHECK(::send(fd_.get(), payload, sizeof payload, 0) == 64);
  }
  std::unique_ptr<NetNamespace> ns_;
  std::unique_ptr<TunDevice> tun_;
  UniqueFd fd_;
};

// The data plane on the lane's wg0 for as long as this lives.
class Enforcement {
 public:
  explicit Enforcement(const Lane& lane) : ns_(lane.ns()) {
    options_.iface = "wg0";
    options_.pin_path = absl::StrCat("/sys/fs/bpf/lat-t-", ::getpid(), "-bench");
    policy::RuleSet rules;
    for (const std::string& prefix : Prefixes()) {
      rules.egress.push_back({.prefix = IpPrefix::Parse(prefix).value()});
    }
    ns_.Run([&] {
      auto created = datapath::Datapath::Create(options_, rules);
      CHECK(created.ok()) << created.status();
      datapath_ = std::move(*created);
    });
  }
  ~Enforcement() {
    datapath_ = nullptr;
    ns_.Run([&] {
      const auto detached = datapath::Detach("wg0", options_.pin_path);
      LOG_IF(ERROR, !detached.ok()) << detached.status();
    });
    LOG_IF(WARNING, ::rmdir(options_.pin_path.c_str()) != 0 && errno != ENOENT) << options_.pin_path;
  }

 private:
  const NetNamespace& ns_;
  datapath::Options options_;
  std::unique_ptr<datapath::Datapath> datapath_;
};

void LoadNft(const Lane& lane) {
  std::string elements;
  for (const std::string& prefix : Prefixes()) absl::StrAppend(&elements, elements.empty() ? "" : ", ", prefix);
  const std::string table =
      absl::StrCat("table inet bench {\nset allowed { type ipv4_addr; flags interval; elements = { ", elements,
                   " } }\nchain out { type filter hook output priority 0; policy drop;\noifname != \"wg0\" accept\n"
                   "ct state established,related accept\nip daddr @allowed ct state new accept\n}\n"
                   "chain in { type filter hook input priority 0; policy drop;\niifname != \"wg0\" accept\n"
                   "ct state established,related accept\n}\n}\n");
  const CommandResult loaded = RunCommand(lane.ns().Inside({"nft", "-f", "-"}), {.input = table});
  CHECK(loaded.ok()) << loaded;
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

int Main() {
  Lane bare("bare"), ours("ours"), nft("nft");
  Enforcement enforcement(ours);
  LoadNft(nft);
  for (Lane* lane : {&bare, &ours, &nft}) lane->Connect();
  std::vector<double> bare_ns, ours_added, nft_added;
  for (int round = 0; round < kRounds; ++round) {
    // The order turns, so that no lane is always the one after another.
    std::array<Lane*, 3> order = {&bare, &ours, &nft};
    std::rotate(order.begin(), order.begin() + round % 3, order.end());
    double ns[3] = {};
    for (Lane* lane : order) ns[lane == &bare ? 0 : lane == &ours ? 1 : 2] = lane->Slice();
    bare_ns.push_back(ns[0]);
    ours_added.push_back(ns[1] - ns[0]);
    nft_added.push_back(ns[2] - ns[0]);
  }
  const double added = Median(ours_added), judged = Median(nft_added), ratio = added / judged;
  std::printf("# a 64-byte UDP send: %.0f ns bare, +%.1f ns with latticed-dp, +%.1f ns with nft\n", Median(bare_ns),
              added, judged);
  std::printf("end-to-end ns added per 64-byte UDP send / nft stateful rule set, %.3f, %.2f, %.2f, %s\n", ratio, kBar,
              kAim, ratio <= kBar ? "met" : "short");
  return ratio <= kBar ? 0 : 1;
}

}  // namespace
}  // namespace lattice::testing

int main(int, char** argv) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  return lattice::testing::Main();
}
