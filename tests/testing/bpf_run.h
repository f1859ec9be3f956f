// The real programs in the kernel, un-pinned, run packet by packet through
// BPF_PROG_TEST_RUN, with a policy compiled and published as the daemon does it.
//
//   BpfRun& bpf = BpfRun::Shared({});
//   bpf.Reset();
//   bpf.Publish(rules);
//   EXPECT_EQ(bpf.Run(LAT_HOOK_TC_EGRESS, Tcp(Ends4(), LAT_EGRESS, kSyn)), LAT_ALLOW);
//   bpf.FlowRecords() …
//
// Dies on what is not the packet's doing: a load that fails, a map that cannot be
// read. Each object is loaded once per process and options (about half a second).
// Needs root. One thread.
#ifndef TESTS_TESTING_BPF_RUN_H_
#define TESTS_TESTING_BPF_RUN_H_

#include <lattice/abi.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/packet.h"
#include "userspace/policy/compiler.h"

struct lattice_bpf;

namespace lattice::testing {

// Of test runs: Ethernet in front at tc, and time limits no test run reaches.
lat_config TestConfig();

struct BpfRunOptions {
  lat_config config = TestConfig();
  uint32_t max_flows = 4096;
  uint32_t max_denied = 4096;
  uint32_t max_fragments = 256;
  uint32_t flow_ring_bytes = 1 << 20;
  uint32_t denied_ring_bytes = 1 << 20;
};

constexpr lat_direction DirectionOf(lat_hook hook) {
  return static_cast<lat_direction>(hook & 1);
}
constexpr lat_scope ScopeOf(lat_hook hook) {
  return static_cast<lat_scope>(hook >> 1);
}
// The other direction's hook of the same scope.
constexpr lat_hook Opposite(lat_hook hook) {
  return static_cast<lat_hook>(hook ^ 1);
}
const char* HookName(lat_hook hook);

class BpfRun {
 public:
  static BpfRun& Shared(const BpfRunOptions& options = {});
  ~BpfRun();

  // Empties tables, rings and counters; no policy, mode enforce.
  void Reset();

  // Rule i of egress is slot i, of ingress kIngressSlots + i. Returns the generation.
  static constexpr uint32_t kIngressSlots = 65536;
  uint32_t Publish(const policy::RuleSet& rules, const policy::CompileOptions& options = {});
  void Unpublish();
  // Names another generation as the published one, whatever the slots hold.
  void SetGeneration(uint32_t generation);
  void SetMode(lat_mode mode);
  uint32_t generation() const;

  // What the hook says of the packet; checks that the return code says the same and
  // that exactly this packet was counted.
  lat_verdict Run(lat_hook hook, const Packet& packet);
  lat_verdict Run(lat_hook hook, const std::string& frame, uint32_t gso_size = 0, uint32_t gso_segs = 0);

  std::optional<lat_flow> Flow(const lat_flow6_key& key) const;
  void SetFlow(const lat_flow6_key& key, const lat_flow& flow);
  // As if the flow's last packet was `jiffies` ago.
  void Age(const lat_flow6_key& key, uint64_t jiffies);
  size_t FlowCount() const;  // entries of both families, vacant ones too

  std::vector<std::pair<lat_denied_key, lat_denied>> Denied() const;
  void SetDenied(const lat_denied_key& key, const lat_denied& entry);
  bool TakeDenied(const lat_denied_key& key, lat_denied* entry);  // reads and deletes
  void AgeFragments(uint64_t jiffies);
  void AgeAudited(uint64_t jiffies);

  // What came into the ring since the last call.
  std::vector<lat_record> FlowRecords();
  std::vector<lat_record> DeniedRecords();
  lat_sweep Sweep(bool end_all = false, bool flush_denied = false);

  lat_counters HookStats(lat_hook hook, lat_verdict verdict) const;
  uint64_t ReasonCount(lat_hook hook, lat_reason reason) const;
  uint64_t Count(uint32_t counter) const;  // enum lat_counter
  uint64_t MapErrors(lat_map map, lat_errno error) const;
  uint64_t RuleHits(uint32_t slot) const;

  const BpfRunOptions& options() const { return options_; }
  // Program fd by hook, for runs that measure.
  int ProgramFd(lat_hook hook) const;
  lattice_bpf* skeleton() const { return skeleton_; }

 private:
  explicit BpfRun(const BpfRunOptions& options);
  uint64_t SumPerCpu(int fd, uint32_t index) const;

  BpfRunOptions options_;
  lattice_bpf* skeleton_ = nullptr;
  void* flow_ring_ = nullptr;  // struct ring_buffer
  void* denied_ring_ = nullptr;
  std::vector<lat_record> flow_records_;
  std::vector<lat_record> denied_records_;
  uint32_t last_generation_ = 0;
  int cpus_ = 0;
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_BPF_RUN_H_
