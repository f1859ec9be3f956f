// The programs against the reference judge: random policies and packets through the
// kernel, equal verdict and equal rule; and mangled packets, which must never pass unless
// a reader that shares nothing with bpf/ finds in them what a rule allows.
//
// Every packet comes from a local address of its own, so each begins a flow of its own:
// what is compared is the judgement, not what earlier packets left in the tables.
#include <netinet/in.h>

#include <iostream>

#include "absl/strings/escaping.h"
#include "tests/bpf/fixture.h"
#include "tests/testing/random_policy.h"
#include "tests/testing/reference_reader.h"
#include "tests/testing/seed.h"
#include "userspace/policy/judge.h"

namespace lattice::testing {
namespace {

// 10.x.y.z or 2001:db8:9::x:y by a number of at most 24 bits.
IpAddress LocalAddress(bool v6, uint32_t number) {
  if (!v6) return IpAddress::FromV4(10u << 24 | number);
  std::array<uint8_t, 16> bytes = Ip("2001:db8:9::").bytes();
  for (int i = 0; i < 3; ++i) bytes[15 - i] = static_cast<uint8_t>(number >> 8 * i);
  return IpAddress::FromBytes(bytes.data());
}

// Next-header values that an IPv6 packet cannot have as its upper layer.
bool IsExtension(uint8_t protocol) {
  constexpr uint8_t kExtensions[] = {0, 43, 44, 51, 60, 135, 139, 140, 253, 254};
  return std::find(std::begin(kExtensions), std::end(kExtensions), protocol) != std::end(kExtensions);
}

// What may stand around a packet without changing the verdict on it.
void Dress(Random& random, Packet& packet) {
  if (!packet.is_v6()) {
    if (random() % 8 == 0) packet.options = std::string("\x94\x04\0\0\1\1\1\0", 8);  // router alert, padding
    packet.id = static_cast<uint16_t>(random());
    if (random() % 8 == 0 && packet.upper.size() % 8 == 0) packet.more_fragments = true;
  } else {
    if (random() % 8 == 0) packet.extensions.push_back(HopByHop());
    if (random() % 8 == 0) packet.extensions.push_back(Authentication());
    if (random() % 8 == 0) packet.extensions.push_back(DestinationOptions(1 + static_cast<int>(random() % 3)));
    if (random() % 8 == 0 && packet.upper.size() % 8 == 0) {
      packet.extensions.push_back(FragmentHeader(0, true, static_cast<uint32_t>(random())));
    }
  }
  if (random() % 8 == 0) packet.padding = "trailer";
}

// A packet that asks for what `probe` says, from `local`.
Packet PacketOf(Random& random, const Probe& probe, const IpAddress& local) {
  const bool egress = probe.direction == LAT_EGRESS;
  Ends ends = {local, probe.remote, 40000, 40000};
  (egress ? ends.remote_port : ends.local_port) = probe.port.value_or(0);
  Packet packet;
  if (probe.protocol == IPPROTO_TCP) {
    packet = Tcp(ends, probe.direction, kSyn, 4);
  } else if (probe.protocol == IPPROTO_UDP) {
    packet = Udp(ends, probe.direction, 16);
  } else if (probe.protocol == (probe.remote.is_v4() ? 1 : 58)) {
    packet = EchoRequest(ends, probe.direction, 77);
  } else {
    packet = Raw(ends, probe.direction, probe.protocol, std::string(24, 'p'));
  }
  Dress(random, packet);
  return packet;
}

struct Case {
  const char* name;
  RandomPolicyOptions policies;
  bool lpm;
  int policies_count;
  int packets_each;
};

class Differential : public BpfTest, public ::testing::WithParamInterface<Case> {
 protected:
  // The rule that the record of the last packet names: slot + 1, 0 for the default.
  uint32_t RecordedRule(bool allowed) {
    const std::vector<lat_record> records = allowed ? bpf.FlowRecords() : bpf.DeniedRecords();
    if (records.size() == 1) return records[0].rule;
    ADD_FAILURE() << records.size() << " records of one packet";
    return UINT32_MAX;
  }
};

TEST_P(Differential, EveryHookSaysWhatTheReferenceJudgeSaysAndByTheSameRule) {
  const Case& c = GetParam();
  Random random(TestSeed());
  int pairs = 0, allowed = 0, by_rule = 0;
  for (int i = 0; i < c.policies_count; ++i) {
    const policy::RuleSet rules = RandomRuleSet(random, c.policies);
    bpf.Reset();
    bpf.Publish(rules, {.memory_bytes = size_t{256} << 20, .force_lpm = c.lpm});
    for (int k = 0; k < c.packets_each;) {
      const Probe probe = RandomProbe(random, rules);
      const bool ported = probe.protocol == IPPROTO_TCP || probe.protocol == IPPROTO_UDP;
      if (ported && !probe.port.has_value()) continue;  // later fragments: fragment_test
      if (!probe.remote.is_v4() && IsExtension(probe.protocol)) continue;
      ++k;
      ++pairs;
      const Packet packet = PacketOf(random, probe, LocalAddress(!probe.remote.is_v4(), static_cast<uint32_t>(k)));
      const policy::Decision want = Judge(rules, probe.direction, probe.remote, probe.protocol, probe.port);
      const uint32_t first_slot = probe.direction == LAT_EGRESS ? 0 : BpfRun::kIngressSlots;
      const uint32_t want_rule = want.rule.has_value() ? first_slot + static_cast<uint32_t>(*want.rule) + 1 : 0;
      allowed += want.allow;
      by_rule += want_rule != 0;
      for (const lat_scope scope : {LAT_SCOPE_IFACE, LAT_SCOPE_CGROUP}) {
        const lat_hook hook = static_cast<lat_hook>(scope * 2 + probe.direction);
        ASSERT_EQ(bpf.Run(hook, packet), want.allow ? LAT_ALLOW : LAT_DENY)
            << HookName(hook) << ": " << ToString(probe) << "\n"
            << absl::BytesToHexString(packet.Frame()) << "\n"
            << Print(rules);
        ASSERT_EQ(RecordedRule(want.allow), want_rule) << HookName(hook) << ": " << ToString(probe) << "\n"
                                                       << Print(rules);
      }
    }
  }
  std::cout << "note: " << pairs << " pairs of policy and packet, " << allowed << " allowed, " << by_rule
            << " by a rule\n";
  EXPECT_GT(allowed, pairs / 10);
  EXPECT_LT(allowed, pairs - pairs / 10);
  EXPECT_GT(by_rule, pairs / 4);
}

INSTANTIATE_TEST_SUITE_P(Random, Differential,
                         ::testing::Values(Case{"FewRules", {.max_rules = 6}, false, 400, 100},
                                           Case{"SomeRules", {.max_rules = 24}, false, 200, 200},
                                           Case{"ManyRules", {.max_rules = 400}, false, 20, 1000},
                                           Case{"SomeRulesLpm", {.max_rules = 24}, true, 100, 100}),
                         [](const auto& test) { return test.param.name; });

// Overwrites, cuts and stretches; half of the packets get one change, the others more.
// A whole IP header stays: test runs take nothing shorter (attached_test has that).
std::string Mangle(Random& random, std::string frame) {
  constexpr size_t kEthernet = 14;
  const size_t shortest = kEthernet + (frame[12] == '\x86' ? 40 : 20);
  do {
    const size_t at = kEthernet + random() % (frame.size() - kEthernet);
    switch (random() % 8) {
      case 0:
        frame.resize(std::max(at, shortest));
        break;
      case 1:
        frame += std::string(random() % 40, static_cast<char>(random()));
        break;
      case 2:  // a header field, where most of what matters is
        frame[kEthernet + random() % std::min<size_t>(frame.size() - kEthernet, 10)] = static_cast<char>(random());
        break;
      case 3:
        frame[at] = static_cast<char>(frame[at] + (random() % 2 ? 1 : -1));
        break;
      case 4:
        frame[at] = static_cast<char>(frame[at] ^ 1 << random() % 8);
        break;
      default:
        frame[at] = static_cast<char>(random());
    }
  } while (random() % 2 == 0);
  return frame;
}

// The source address of the frame, as far as the frame is long enough to have one.
void SetSource(std::string& frame, uint32_t number) {
  const bool v6 = frame[12] == '\x86';
  const size_t at = 14 + (v6 ? 8 : 12), bytes = v6 ? 16 : 4;
  if (frame.size() < at + bytes) return;
  const std::array<uint8_t, 16> address = LocalAddress(v6, number).bytes();
  frame.replace(at, bytes, reinterpret_cast<const char*>(address.data()) + 16 - bytes, bytes);
}

using MangledPackets = BpfTest;

TEST_F(MangledPackets, NeverPassUnlessAnIndependentReaderFindsWhatARuleAllows) {
  const policy::RuleSet rules = Rules(
      "198.51.100.7:443\n198.51.100.0/28:icmp\n198.51.100.7:*/udp\n[2001:db8:2::7]:443\n[2001:db8:2::/64]:icmp\n"
      "deny 198.51.100.7:444");
  Random random(TestSeed());
  constexpr int kRounds = 50, kPackets = 1000;
  int passed = 0, refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    bpf.Reset();
    bpf.Publish(rules);
    for (uint32_t i = 1; i <= kPackets; ++i) {
      const bool v6 = random() % 2 != 0;
      const Ends ends = EndsOf(v6);
      Packet packet = random() % 3 == 0   ? EchoRequest(ends, LAT_EGRESS, 9)
                      : random() % 2 == 0 ? Udp(ends, LAT_EGRESS, 24)
                                          : Tcp(ends, LAT_EGRESS, kSyn, 4);
      Dress(random, packet);
      std::string frame = Mangle(random, packet.Frame());
      SetSource(frame, i);
      const lat_hook hook = random() % 2 ? LAT_HOOK_TC_EGRESS : LAT_HOOK_CGROUP_EGRESS;
      const bool passes = bpf.Run(hook, frame) == LAT_ALLOW;
      const std::optional<ReadPacket> read = ReadAsSent(absl::string_view(frame).substr(14));
      const bool may = read.has_value() && Judge(rules, LAT_EGRESS, read->remote, read->protocol, read->port).allow;
      passed += passes;
      refused += !passes;
      ASSERT_LE(passes, may) << HookName(hook) << " lets pass " << absl::BytesToHexString(frame) << ", which "
                             << (read.has_value() ? "no rule allows" : "cannot be read");
    }
    EXPECT_EQ(bpf.FlowRecords().size(), bpf.Count(LAT_COUNT_FLOWS_STARTED)) << "a flow without its record";
  }
  std::cout << "note: " << passed << " of " << kRounds * kPackets << " mangled packets pass\n";
  EXPECT_GT(passed, kRounds * kPackets / 20);
  EXPECT_GT(refused, kRounds * kPackets / 20);
}

}  // namespace
}  // namespace lattice::testing
