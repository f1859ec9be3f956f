// nftables as an independent judge: a random rule set of ours, the same as nft sets and rules on the
// output hook, the same packets through both, and the test itself is the far end of the TUN that counts
// what came out. A difference is a bug of one of the two.
#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/e2e/overlay_test.h"
#include "tests/testing/random_policy.h"
#include "tests/testing/seed.h"
#include "tests/testing/tun.h"

namespace lattice::testing {
namespace {

using policy::ProtocolMatch;
using policy::Rule;
using policy::RuleSet;

// "tcp dport { 22, 80-90 }" and the like for everything of the rule but its address.
std::string NftRest(const Rule& rule) {
  std::string rest;
  if (rule.protocols == ProtocolMatch::kTcpUdp) rest = " meta l4proto { tcp, udp }";
  if (rule.protocols == ProtocolMatch::kOne) rest = absl::StrCat(" meta l4proto ", rule.protocol);
  if (rule.ports.empty()) return rest;
  return absl::StrCat(rest, " th dport { ",
                      absl::StrJoin(rule.ports, ", ",
                                    [](std::string* out, const policy::PortRange& range) {
                                      absl::StrAppend(out, range.first);
                                      if (range.last != range.first) absl::StrAppend(out, "-", range.last);
                                    }),
                      " }");
}

// Rules without ports and protocol go into interval sets, the others are nft rules; deny before allow.
std::string NftTable(const RuleSet& rules) {
  std::string sets, chain;
  for (const bool deny : {true, false}) {
    for (const bool v4 : {true, false}) {
      std::vector<std::string> elements;
      for (const Rule& rule : rules.egress) {
        if (rule.deny != deny || rule.prefix.is_v4() != v4) continue;
        const std::string rest = NftRest(rule);
        const std::string verdict = deny ? " drop\n" : " accept\n";
        if (rule.prefix.length() == 0) {
          absl::StrAppend(&chain, "meta nfproto ", v4 ? "ipv4" : "ipv6", rest, verdict);
        } else if (rest.empty()) {
          elements.push_back(rule.prefix.ToString());
        } else {
          absl::StrAppend(&chain, v4 ? "ip" : "ip6", " daddr ", rule.prefix.ToString(), rest, verdict);
        }
      }
      const std::string name = absl::StrCat(deny ? "deny" : "allow", v4 ? "4" : "6");
      if (elements.empty()) continue;
      absl::StrAppend(&sets, "set ", name, " { type ", v4 ? "ipv4_addr" : "ipv6_addr",
                      "; flags interval; auto-merge; elements = { ", absl::StrJoin(elements, ", "), " } }\n");
      absl::StrAppend(&chain, v4 ? "ip" : "ip6", " daddr @", name, deny ? " drop\n" : " accept\n");
    }
  }
  return absl::StrCat("table inet judge {\n", sets, "chain out { type filter hook output priority 0; policy drop;\n",
                      "oifname != \"wg0\" accept\n", chain, "}\n}\n");
}

// Probes whose outcome is about the rule alone: unicast addresses the kernel routes, protocols without
// headers that one of the two would read further.
bool Usable(const Probe& probe) {
  const std::array<uint8_t, 16>& b = probe.remote.bytes();
  const bool v4 = probe.remote.is_v4();
  if (v4 && (b[12] == 0 || b[12] == 127 || b[12] >= 224)) return false;
  if (!v4 && (b[0] == 0 || b[0] >= 0xfe)) return false;
  const bool ported = probe.protocol == IPPROTO_TCP || probe.protocol == IPPROTO_UDP;
  if (ported != probe.port.has_value()) return false;  // no later fragments
  return ported || probe.protocol == (v4 ? 1 : 58) || probe.protocol == IPPROTO_GRE || probe.protocol == IPPROTO_SCTP ||
         probe.protocol == 255;
}

void Put16(std::string& out, uint16_t value) {
  out += static_cast<char>(value >> 8);
  out += static_cast<char>(value);
}

// The upper-layer part; `id` makes each probe a flow of its own and is its last four bytes.
std::string Body(const Probe& probe, uint32_t id) {
  std::string body;
  const uint16_t port = static_cast<uint16_t>(1024 + id % 60000);
  switch (probe.protocol) {
    case IPPROTO_TCP:
      Put16(body, port);
      Put16(body, *probe.port);
      body += std::string(8, '\0') + std::string("\x50\x02\xff\xff\0\0\0\0", 8);  // SYN
      break;
    case IPPROTO_UDP:
      Put16(body, port);
      Put16(body, *probe.port);
      Put16(body, 12);
      Put16(body, 0);
      break;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      body += probe.protocol == IPPROTO_ICMP ? '\x08' : '\x80';  // echo request
      body += std::string(3, '\0');
      Put16(body, port);
      Put16(body, 1);
      break;
    default:
      body += std::string(8, '\0');
  }
  Put16(body, static_cast<uint16_t>(id >> 16));
  Put16(body, static_cast<uint16_t>(id));
  return body;
}

std::string Packet(const Probe& probe, uint32_t id) {
  const std::string body = Body(probe, id);
  const auto* remote = reinterpret_cast<const char*>(probe.remote.bytes().data());
  if (probe.remote.is_v4()) {
    std::string ip("\x45\0\0\0\0\0\0\0\x40", 9);  // the kernel fills in length, id and checksum
    ip += static_cast<char>(probe.protocol);
    ip += std::string("\0\0\xc6\x12\0\1", 6);  // 198.18.0.1
    return ip + std::string(remote + 12, 4) + body;
  }
  std::string ip("\x60\0\0\0", 4);
  Put16(ip, static_cast<uint16_t>(body.size()));
  ip += static_cast<char>(probe.protocol);
  ip += '\x40';
  std::string local(16, '\0');
  CHECK_EQ(::inet_pton(AF_INET6, "2001:2::1", local.data()), 1);
  return ip + local + std::string(remote, 16) + body;
}

class NftablesJudgeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto ns = NetNamespace::Create("judge");
    ASSERT_TRUE(ns.ok()) << ns.status();
    ns_ = std::move(*ns);
    auto tun = TunDevice::Create(*ns_, "wg0", {"198.18.0.1/32", "2001:2::1/128"});
    ASSERT_TRUE(tun.ok()) << tun.status();
    tun_ = std::move(*tun);
    ASSERT_TRUE(ns_->Ip("route add 0.0.0.0/0 dev wg0\nroute add ::/0 dev wg0").ok());
    raw4_ = ns_->Socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    raw6_ = ns_->Socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
    ASSERT_TRUE(raw4_.ok() && raw6_.ok());
  }

  // In front of the id: the kernel's own packets (MLD reports) end in zeros.
  static constexpr uint32_t kMark = 0x4c41;

  void Send(const Probe& probe, uint32_t id) {
    const std::string packet = Packet(probe, kMark << 16 | id);
    const SocketAddress to(probe.remote.ToString(), 0);
    const int fd = probe.remote.is_v4() ? raw4_.get() : raw6_.get();
    // A packet that the hook drops is EPERM for nft; what counts is what comes out.
    if (::sendto(fd, packet.data(), packet.size(), 0, to.get(), to.length()) < 0) {
      EXPECT_EQ(errno, EPERM) << ToString(probe) << ": " << std::strerror(errno);
    }
  }

  // Ids of the probes that come out of wg0.
  std::set<uint32_t> Passed(const std::vector<Probe>& probes, uint32_t first_id) {
    std::set<uint32_t> passed;
    const auto drain = [&](absl::Duration quiet) {
      while (std::optional<std::string> packet = tun_->Read(quiet)) {
        if (packet->size() < 28) continue;
        uint32_t id;
        std::memcpy(&id, packet->data() + packet->size() - 4, 4);
        id = ntohl(id);
        if (id >> 16 == kMark) passed.insert(id & 0xffff);
      }
    };
    for (size_t i = 0; i < probes.size(); ++i) {
      Send(probes[i], first_id + static_cast<uint32_t>(i));
      if (i % 64 == 63) drain(absl::ZeroDuration());
    }
    drain(absl::Milliseconds(200));
    return passed;
  }

  std::unique_ptr<NetNamespace> ns_;
  std::unique_ptr<TunDevice> tun_;
  UniqueFd raw4_, raw6_;
};

TEST_F(NftablesJudgeTest, AgreesWithUsAboutRandomRulesAndPackets) {
  Random random(TestSeed());
  LatticedDp dp(*ns_, {});
  ASSERT_TRUE(dp.Start().ok()) << dp.log();
  std::vector<std::pair<RuleSet, std::vector<Probe>>> rounds;
  std::vector<std::set<uint32_t>> ours;
  constexpr size_t kProbes = 600;
  for (uint32_t round = 0; round < 4; ++round) {
    RuleSet rules = RandomRuleSet(random, {.max_rules = 80});
    rules.ingress.clear();
    const CommandResult applied = dp.ApplyPolicy(policy::Print(rules));
    ASSERT_TRUE(applied.ok()) << applied << policy::Print(rules);
    rules.egress_default_deny = true;  // the daemon's flag, not the file, decides
    std::vector<Probe> probes;
    while (probes.size() < kProbes) {
      Probe probe = RandomProbe(random, rules);
      if (probe.direction == LAT_EGRESS && Usable(probe)) probes.push_back(probe);
    }
    ours.push_back(Passed(probes, round * kProbes));
    rounds.push_back({std::move(rules), std::move(probes)});
  }
  ASSERT_EQ(dp.Stop(), 0) << dp.log();
  ASSERT_TRUE(dp.Cli({"detach"}).ok());

  size_t passed = 0;
  for (uint32_t round = 0; round < rounds.size(); ++round) {
    const auto& [rules, probes] = rounds[round];
    const CommandResult loaded = RunCommand(ns_->Inside({"nft", "-f", "-"}), {.input = NftTable(rules)});
    ASSERT_TRUE(loaded.ok()) << loaded << NftTable(rules);
    const std::set<uint32_t> theirs = Passed(probes, round * kProbes);
    for (uint32_t i = 0; i < probes.size(); ++i) {
      const uint32_t id = round * kProbes + i;
      EXPECT_EQ(ours[round].count(id), theirs.count(id))
          << ToString(probes[i]) << ": " << (theirs.count(id) ? "nft lets it pass" : "nft drops it") << "\n"
          << policy::Print(rules);
    }
    passed += theirs.size();
    ASSERT_TRUE(RunCommand(ns_->Inside({"nft", "flush", "ruleset"})).ok());
  }
  std::cout << "note: " << passed << " of " << rounds.size() * kProbes << " probes pass" << std::endl;
  EXPECT_GT(passed, rounds.size() * kProbes / 50) << "the probes should meet both outcomes";
}

}  // namespace
}  // namespace lattice::testing
