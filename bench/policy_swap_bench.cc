// What it takes to replace a policy by one of 100 k random prefixes, on an interface that enforces: parsed
// rules in, every packet judged by the new policy out. Prints
//   figure, value, bar, aim, met|short
// exit status 1 when the bar is missed. The value is the median of the swaps; each swap is between two
// policies of 100 k prefixes that share nothing, so every rule, name and table is new. As in the daemon,
// Settle() follows each: what it does (names for bpftool, the old tables freed) holds up no packet and is
// shown apart.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "tests/testing/netns.h"
#include "tests/testing/tun.h"
#include "userspace/base/clock.h"
#include "userspace/datapath/datapath.h"
#include "userspace/datapath/detach.h"
#include "userspace/policy/rule.h"

namespace lattice::testing {
namespace {

constexpr double kBarMs = 250, kAimMs = 50;
constexpr int kPrefixes = 100'000;
constexpr int kSwaps = 7;

// /16 to /32, every other with ports, no prefix twice in a set or in both.
policy::RuleSet RandomPrefixes(std::mt19937_64& random, uint32_t parity) {
  policy::RuleSet rules;
  std::vector<IpPrefix> prefixes;
  while (prefixes.size() < kPrefixes) {
    while (prefixes.size() < kPrefixes) {
      const int length = 16 + static_cast<int>(random() % 17);
      const uint32_t address = static_cast<uint32_t>(random() >> 1 << 1) | 1u << 16;
      // The parity of bit 16, which every length keeps, parts the two policies.
      prefixes.emplace_back(IpAddress::FromV4(parity != 0 ? address : address & ~(1u << 16)), length);
    }
    std::sort(prefixes.begin(), prefixes.end());
    prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
  }
  std::shuffle(prefixes.begin(), prefixes.end(), random);
  for (const IpPrefix& prefix : prefixes) {
    const std::string text = absl::StrCat(prefix.ToString(), rules.egress.size() % 2 == 0 ? "" : ":443");
    auto rule = policy::ParseRule(text, /*warnings=*/nullptr);
    CHECK(rule.ok()) << rule.status();
    rules.egress.push_back(*std::move(rule));
  }
  return rules;
}

int Main() {
  auto ns = NetNamespace::Create("swap");
  CHECK(ns.ok()) << ns.status();
  auto tun = TunDevice::Create(**ns, "wg0", {"198.18.0.1/32"});
  CHECK(tun.ok()) << tun.status();
  datapath::Options options;
  options.iface = "wg0";
  options.pin_path = absl::StrCat("/sys/fs/bpf/lat-t-", ::getpid(), "-swap");
  std::mt19937_64 random(20260518);
  const policy::RuleSet policies[] = {RandomPrefixes(random, 0), RandomPrefixes(random, 1)};
  std::vector<double> ms, settle_ms;
  datapath::Receipt receipt;
  (*ns)->Run([&] {
    auto datapath = datapath::Datapath::Create(options, policy::RuleSet());
    CHECK(datapath.ok()) << datapath.status();
    for (int swap = 0; swap < kSwaps; ++swap) {
      auto applied = (*datapath)->Apply(policies[swap % 2]);
      CHECK(applied.ok()) << applied.status();
      receipt = *applied;
      ms.push_back(receipt.apply_ms);
      const int64_t start = RealClock().MonotonicNs();
      const absl::Status settled = (*datapath)->Settle();
      CHECK(settled.ok()) << settled;
      settle_ms.push_back(static_cast<double>(RealClock().MonotonicNs() - start) / 1e6);
    }
    datapath->reset();
    const auto detached = datapath::Detach("wg0", options.pin_path);
    LOG_IF(ERROR, !detached.ok()) << detached.status();
  });
  LOG_IF(WARNING, ::rmdir(options.pin_path.c_str()) != 0 && errno != ENOENT) << options.pin_path;
  std::sort(ms.begin(), ms.end());
  std::sort(settle_ms.begin(), settle_ms.end());
  const double value = ms[ms.size() / 2];
  std::printf("replace a policy of 100 k prefixes (ms), %.1f, %.0f, %.0f, %s\n", value, kBarMs, kAimMs,
              value <= kBarMs ? "met" : "short");
  std::printf("# %d swaps: least %.1f ms, most %.1f ms; settled %.1f ms later; %zu prefixes, %.1f MiB, lookup %s\n",
              kSwaps, ms.front(), ms.back(), settle_ms[settle_ms.size() / 2], receipt.prefixes,
              static_cast<double>(receipt.bytes) / (1 << 20), receipt.lookup.c_str());
  return value <= kBarMs ? 0 : 1;
}

}  // namespace
}  // namespace lattice::testing

int main(int, char** argv) {
  FLAGS_logtostderr = true;
  FLAGS_minloglevel = google::GLOG_WARNING;
  google::InitGoogleLogging(argv[0]);
  return lattice::testing::Main();
}
