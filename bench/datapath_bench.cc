// What the packet path costs, as ratios within one run: established flow, policy
// verdict, first packet, address lookup against the kernel's LPM trie.
//
//   datapath_bench [ROUNDS]
//
// One line per figure: figure, value, bar, aim, met or short. Exit 1 if a bar is
// missed. Programs run by BPF_PROG_TEST_RUN in many short turns, one after the other,
// and the shortest turn of each counts, so that neither the machine's other work nor
// its clock rate enters a ratio. Needs root.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <lattice/abi.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/addresses.h"
#include "glog/logging.h"
#include "lattice_bpf.skel.h"
#include "lattice_empty.skel.h"
#include "lattice_lpm.skel.h"
#include "lattice_verdict.skel.h"
#include "tests/testing/bpf_run.h"
#include "tests/testing/packet.h"
#include "userspace/base/clock.h"

namespace lattice {
namespace {

using testing::BpfRun;

constexpr int kPrefixes = 16'000;
constexpr int kFewPrefixes = 16;
constexpr int kTurnRuns = 32768;  // packets of a turn
constexpr int kFirstRuns = 1024;  // new flows of a turn, all in the table and in the ring at its end

testing::BpfRunOptions Options() {
  testing::BpfRunOptions options;
  options.max_flows = 65536;
  options.flow_ring_bytes = 8 << 20;
  return options;
}

// `count` random host-side prefixes of /24 and /48, with a port each.
policy::RuleSet RandomRules(int count, std::mt19937& random) {
  policy::RuleSet rules;
  std::set<IpPrefix> seen;
  while (rules.egress.size() < static_cast<size_t>(count) * 2) {
    policy::Rule rule;
    const bool v6 = rules.egress.size() % 2 != 0;
    std::array<uint8_t, 16> bytes{};
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    bytes[0] = 0x20;
    bytes[1] = 0x01;
    rule.prefix = v6 ? IpPrefix(IpAddress::FromBytes(bytes.data()), 48)
                     : IpPrefix(IpAddress::FromV4(static_cast<uint32_t>(random())), 24);
    if (!seen.insert(rule.prefix).second) continue;
    rule.protocols = policy::ProtocolMatch::kTcpUdp;
    rule.ports.push_back({443, 443});
    rules.egress.push_back(rule);
  }
  return rules;
}

// Destinations in random prefixes of the rules; the packet's own remote address first.
void FillAddresses(const policy::RuleSet& rules, std::mt19937& random, bench_addresses* to) {
  for (int i = 0; i < BENCH_ADDRESSES; i++) {
    const size_t pair = random() % (rules.egress.size() / 2);
    std::memcpy(to->v4[i], rules.egress[pair * 2].prefix.address().bytes().data() + 12, 4);
    std::memcpy(to->v6[i], rules.egress[pair * 2 + 1].prefix.address().bytes().data(), 16);
    to->v4[i][3] = static_cast<uint8_t>(random());
    for (int k = 6; k < 16; k++) to->v6[i][k] = static_cast<uint8_t>(random());
  }
}

template <typename Key>
void FillTrie(const bpf_map* map, const policy::RuleSet& rules, bool v4) {
  uint32_t value = 1;
  for (const policy::Rule& rule : rules.egress) {
    if (rule.prefix.is_v4() != v4) continue;
    Key key = {};
    key.prefixlen = static_cast<uint32_t>(rule.prefix.length());
    std::memcpy(key.address, rule.prefix.address().bytes().data() + (v4 ? 12 : 0), sizeof(key.address));
    CHECK_EQ(bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_ANY), 0) << std::strerror(errno);
    value++;
  }
}

struct Lpm4Key {
  uint32_t prefixlen;
  uint8_t address[4];
};
struct Lpm6Key {
  uint32_t prefixlen;
  uint8_t address[16];
};

// The verdict object over the maps of the real programs.
lattice_verdict* LoadVerdict(const BpfRun& bpf) {
  lattice_verdict* verdict = lattice_verdict__open();
  CHECK(verdict != nullptr) << std::strerror(errno);
  const_cast<lat_config&>(verdict->rodata->lat_config) = bpf.options().config;
  bpf_map* map;
  bpf_object__for_each_map(map, verdict->obj) {
    const bpf_map* shared = bpf_object__find_map_by_name(bpf.skeleton()->obj, bpf_map__name(map));
    if (shared == nullptr || bpf_map__is_internal(map) != bpf_map__is_internal(shared)) continue;
    CHECK_EQ(bpf_map__reuse_fd(map, bpf_map__fd(shared)), 0) << bpf_map__name(map);
  }
  CHECK_EQ(lattice_verdict__load(verdict), 0) << std::strerror(errno);
  return verdict;
}

class Turns {
 public:
  // `after` runs after each turn, outside of the time.
  void Add(const std::string& name, int program_fd, const testing::Packet& packet, int runs = kTurnRuns,
           std::function<void()> after = nullptr) {
    turns_.push_back({name, program_fd, packet.Frame(), runs, std::move(after)});
  }

  // Shortest nanoseconds per run by name.
  std::map<std::string, double> Run(int rounds) {
    std::map<std::string, double> best;
    for (int round = 0; round < rounds; round++) {
      for (const Turn& turn : turns_) {
        LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = turn.frame.data(),
                    .data_size_in = static_cast<uint32_t>(turn.frame.size()), .repeat = turn.runs);
        const int64_t start = RealClock().MonotonicNs();
        CHECK_EQ(bpf_prog_test_run_opts(turn.program_fd, &options), 0) << std::strerror(errno);
        const double wall = static_cast<double>(RealClock().MonotonicNs() - start) / turn.runs;
        CHECK_EQ(options.retval, uint32_t(-1)) << turn.name << " does not pass its packet";
        // The kernel's own time is cut to whole nanoseconds, which is 4 % of an empty run. Ours holds the
        // system call, too: some microseconds over all runs of the turn.
        const double ns = turn.runs == kTurnRuns ? wall : options.duration;
        auto [at, first] = best.emplace(turn.name, ns);
        if (!first) at->second = std::min(at->second, ns);
        if (turn.after) turn.after();
      }
    }
    return best;
  }

 private:
  struct Turn {
    std::string name;
    int program_fd;
    std::string frame;
    int runs;
    std::function<void()> after;
  };
  std::vector<Turn> turns_;
};

bool Print(absl::string_view figure, double value, double bar, double aim) {
  const bool met = value <= bar;
  std::printf("%s, %.2f, %g, %g, %s\n", std::string(figure).c_str(), value, bar, aim, met ? "met" : "short");
  return met;
}

// A packet whose flow the policies of both sizes allow.
policy::RuleSet WithOurs(policy::RuleSet rules) {
  for (const char* text : {testing::kRemote4, testing::kRemote6}) {
    policy::Rule rule;
    rule.prefix = IpPrefix(testing::Ip(text), testing::Ip(text).is_v4() ? 32 : 128);
    rules.egress.push_back(rule);
  }
  return rules;
}

int Main(int rounds) {
  std::mt19937 random(1);  // the same prefixes in every run
  BpfRun& bpf = BpfRun::Shared(Options());
  bpf.Reset();
  lattice_verdict* verdict = LoadVerdict(bpf);
  lattice_empty* empty = lattice_empty__open_and_load();
  lattice_lpm* lpm = lattice_lpm__open_and_load();
  CHECK(empty != nullptr && lpm != nullptr) << std::strerror(errno);

  const policy::RuleSet many = RandomRules(kPrefixes, random), few = RandomRules(kFewPrefixes, random);
  const testing::Packet udp4 = testing::Udp(testing::Ends4(), LAT_EGRESS, 22);  // 64 bytes on Ethernet
  const testing::Packet tcp4 = testing::Tcp(testing::Ends4(), LAT_EGRESS, testing::kAck);
  const testing::Packet tcp6 = testing::Tcp(testing::Ends6(), LAT_EGRESS, testing::kAck);
  const int empty_fd = bpf_program__fd(empty->progs.empty);
  const auto forget_flows = [&] {
    bpf.Sweep(/*end_all=*/true);
    bpf.FlowRecords();
    while (bpf.Sweep(/*end_all=*/true).more) bpf.FlowRecords();
    bpf.FlowRecords();
  };

  bpf.Publish(WithOurs(few));
  FillAddresses(few, random, &verdict->bss->addresses);
  Turns small;
  small.Add("verdict4", bpf_program__fd(verdict->progs.verdict4), udp4);
  small.Add("verdict6", bpf_program__fd(verdict->progs.verdict6), tcp6);
  auto at16 = small.Run(rounds);

  bpf.Publish(WithOurs(many), {.memory_bytes = size_t{256} << 20});
  FillAddresses(many, random, &verdict->bss->addresses);
  std::memcpy(&lpm->bss->addresses, &verdict->bss->addresses, sizeof(bench_addresses));
  FillTrie<Lpm4Key>(lpm->maps.trie4, many, true);
  FillTrie<Lpm6Key>(lpm->maps.trie6, many, false);
  const int egress = bpf.ProgramFd(LAT_HOOK_TC_EGRESS);
  Turns turns;
  turns.Add("empty", empty_fd, udp4);
  turns.Add("udp4", egress, udp4);
  turns.Add("tcp4", egress, tcp4);
  turns.Add("tcp6", egress, tcp6);
  turns.Add("verdict4", bpf_program__fd(verdict->progs.verdict4), udp4);
  turns.Add("verdict6", bpf_program__fd(verdict->progs.verdict6), tcp6);
  turns.Add("none4", bpf_program__fd(lpm->progs.no_lookup4), udp4);
  turns.Add("none6", bpf_program__fd(lpm->progs.no_lookup6), tcp6);
  turns.Add("ours4", bpf_program__fd(verdict->progs.lookup4), udp4);
  turns.Add("ours6", bpf_program__fd(verdict->progs.lookup6), tcp6);
  turns.Add("lpm4", bpf_program__fd(lpm->progs.lookup4), udp4);
  turns.Add("lpm6", bpf_program__fd(lpm->progs.lookup6), tcp6);
  auto ns = turns.Run(rounds);
  // Apart from the others: it leaves caches full of flows.
  forget_flows();
  Turns first;
  first.Add("empty", empty_fd, udp4);
  first.Add("first4", bpf_program__fd(verdict->progs.first4), udp4, kFirstRuns, forget_flows);
  first.Add("first6", bpf_program__fd(verdict->progs.first6), tcp6, kFirstRuns, forget_flows);
  auto ns_first = first.Run(rounds);
  CHECK_EQ(bpf.Count(LAT_COUNT_FLOW_RING_FULL), 0u) << "the records were not all written";

  for (const auto& [name, value] : ns) std::fprintf(stderr, "# %s %.1f ns\n", name.c_str(), value);
  for (const auto& [name, value] : ns_first) std::fprintf(stderr, "# %s %.1f ns\n", name.c_str(), value);
  bool met = true;
  const auto over_lookup = [&](const char* family) {
    return std::max(0.0, ns[absl::StrCat("ours", family)] - ns[absl::StrCat("none", family)]) /
           (ns[absl::StrCat("lpm", family)] - ns[absl::StrCat("none", family)]);
  };
  met &= Print("established flow / empty program (IPv4 UDP)", ns["udp4"] / ns["empty"], 2.6, 2.0);
  met &= Print("established flow / empty program (IPv4 TCP)", ns["tcp4"] / ns["empty"], 2.6, 2.0);
  met &= Print("established flow / empty program (IPv6 TCP)", ns["tcp6"] / ns["empty"], 2.6, 2.0);
  met &= Print("policy verdict alone at 16 k prefixes / empty program (IPv4)", ns["verdict4"] / ns["empty"], 1.8, 1.4);
  met &= Print("policy verdict alone at 16 k prefixes / empty program (IPv6)", ns["verdict6"] / ns["empty"], 1.8, 1.4);
  met &= Print("policy verdict alone at 16 k / at 16 prefixes (IPv4)", ns["verdict4"] / at16["verdict4"], 1.5, 1.1);
  met &= Print("policy verdict alone at 16 k / at 16 prefixes (IPv6)", ns["verdict6"] / at16["verdict6"], 1.5, 1.1);
  met &= Print("first packet with insert and record / empty program (IPv4)", ns_first["first4"] / ns_first["empty"], 12,
               7);
  met &= Print("first packet with insert and record / empty program (IPv6)", ns_first["first6"] / ns_first["empty"], 12,
               7);
  met &= Print("our lookup / kernel LPM trie at 16 k prefixes (IPv4)", over_lookup("4"), 0.25, 0.1);
  met &= Print("our lookup / kernel LPM trie at 16 k prefixes (IPv6)", over_lookup("6"), 0.25, 0.1);
  lattice_verdict__destroy(verdict);
  lattice_empty__destroy(empty);
  lattice_lpm__destroy(lpm);
  return met ? 0 : 1;
}

}  // namespace
}  // namespace lattice

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 200;
  if (rounds < 1) {
    std::fprintf(stderr, "usage: %s [ROUNDS]\n", argv[0]);
    return 2;
  }
  return lattice::Main(rounds);
}
