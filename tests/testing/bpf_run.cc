#include "tests/testing/bpf_run.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <lattice/policy.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <numeric>

#include "absl/types/span.h"
#include "glog/logging.h"
#include "lattice_bpf.skel.h"
#include "userspace/base/unique_fd.h"

namespace lattice::testing {
namespace {

lat_flow4_key Key4(const lat_flow6_key& key) {
  lat_flow4_key out = {};
  std::memcpy(out.local, key.local + 12, 4);
  std::memcpy(out.remote, key.remote + 12, 4);
  out.local_port = key.local_port;
  out.remote_port = key.remote_port;
  out.proto = key.proto;
  out.scope = key.scope;
  return out;
}

bool IsV4(const lat_flow6_key& key) {
  return IpAddress::FromBytes(key.local).is_v4();
}

template <typename Key>
std::vector<Key> Keys(int fd) {
  std::vector<Key> out;
  Key key;
  for (int error = bpf_map_get_next_key(fd, nullptr, &key); error == 0;
       error = bpf_map_get_next_key(fd, &out.back(), &key)) {
    out.push_back(key);
  }
  return out;
}

template <typename Key>
void Clear(int fd) {
  for (const Key& key : Keys<Key>(fd)) CHECK_EQ(bpf_map_delete_elem(fd, &key), 0) << std::strerror(errno);
}

template <typename Key, typename Value>
void AgeSeen(int fd, uint64_t jiffies) {
  for (const Key& key : Keys<Key>(fd)) {
    Value value;
    CHECK_EQ(bpf_map_lookup_elem(fd, &key, &value), 0) << std::strerror(errno);
    value.seen_jiffies -= jiffies;
    CHECK_EQ(bpf_map_update_elem(fd, &key, &value, BPF_ANY), 0) << std::strerror(errno);
  }
}

int OnRecord(void* to, void* data, size_t size) {
  CHECK_EQ(size, sizeof(lat_record));
  static_cast<std::vector<lat_record>*>(to)->push_back(*static_cast<const lat_record*>(data));
  return 0;
}

UniqueFd MakeBlocks(absl::Span<const uint32_t> words, uint32_t flags) {
  const size_t blocks = (words.size() + LAT_BLOCK_WORDS - 1) / LAT_BLOCK_WORDS;
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE | flags);
  UniqueFd fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "lat_words", sizeof(uint32_t), LAT_BLOCK_BYTES,
                             static_cast<uint32_t>(blocks), &options));
  CHECK(fd.ok()) << std::strerror(errno);
  const size_t bytes = blocks * LAT_BLOCK_BYTES;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  CHECK_NE(memory, MAP_FAILED) << std::strerror(errno);
  std::memcpy(memory, words.data(), words.size() * sizeof(uint32_t));
  munmap(memory, bytes);
  return fd;
}

template <typename Key>
UniqueFd MakeTrie(const policy::CompiledPolicy& compiled, bool v4) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
  UniqueFd fd(bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "lat_lpm", sizeof(Key), sizeof(uint32_t),
                             static_cast<uint32_t>(compiled.lpm.size() + 1), &options));
  CHECK(fd.ok()) << std::strerror(errno);
  for (const policy::LpmEntry& entry : compiled.lpm) {
    if (entry.prefix.is_v4() != v4) continue;
    Key key = {};
    key.prefixlen = static_cast<uint32_t>(8 + entry.prefix.length());
    key.direction = static_cast<uint8_t>(entry.direction);
    std::memcpy(key.addr, entry.prefix.address().bytes().data() + (v4 ? 12 : 0), sizeof(key.addr));
    CHECK_EQ(bpf_map_update_elem(fd.get(), &key, &entry.leaf, BPF_ANY), 0) << std::strerror(errno);
  }
  return fd;
}

}  // namespace

lat_config TestConfig() {
  lat_config config = {};
  config.ns_per_jiffy = 4'000'000;
  config.idle_jiffies = 1'000'000;
  config.tcp_idle_jiffies = 10'000'000;
  config.linger_jiffies = 500'000;
  config.active_jiffies = 800'000;
  config.denied_jiffies = 100'000;
  config.fragment_jiffies = 50'000;
  config.margin_jiffies = 100;
  config.l2_bytes = 14;
  return config;
}

const char* HookName(lat_hook hook) {
  constexpr const char* kNames[] = {"TcEgress", "TcIngress", "CgroupEgress", "CgroupIngress"};
  return kNames[hook];
}

BpfRun& BpfRun::Shared(const BpfRunOptions& options) {
  static auto& loaded = *new std::map<std::string, std::unique_ptr<BpfRun>>;
  std::string key(sizeof(options), '\0');
  std::memcpy(key.data(), &options, sizeof(options));
  std::unique_ptr<BpfRun>& run = loaded[key];
  if (!run) run.reset(new BpfRun(options));
  return *run;
}

BpfRun::BpfRun(const BpfRunOptions& options) : options_(options), cpus_(libbpf_num_possible_cpus()) {
  skeleton_ = lattice_bpf__open();
  CHECK(skeleton_ != nullptr) << std::strerror(errno);
  const_cast<lat_config&>(skeleton_->rodata->lat_config) = options.config;
  const auto& maps = skeleton_->maps;
  CHECK_EQ(bpf_map__set_max_entries(maps.flows4, options.max_flows), 0);
  CHECK_EQ(bpf_map__set_max_entries(maps.flows6, options.max_flows), 0);
  CHECK_EQ(bpf_map__set_max_entries(maps.denied, options.max_denied), 0);
  CHECK_EQ(bpf_map__set_max_entries(maps.fragments, options.max_fragments), 0);
  CHECK_EQ(bpf_map__set_max_entries(maps.flow_ring, options.flow_ring_bytes), 0);
  CHECK_EQ(bpf_map__set_max_entries(maps.denied_ring, options.denied_ring_bytes), 0);
  CHECK_EQ(lattice_bpf__load(skeleton_), 0) << "loading the programs needs root: " << std::strerror(errno);
  flow_ring_ = ring_buffer__new(bpf_map__fd(maps.flow_ring), OnRecord, &flow_records_, nullptr);
  denied_ring_ = ring_buffer__new(bpf_map__fd(maps.denied_ring), OnRecord, &denied_records_, nullptr);
  CHECK(flow_ring_ != nullptr && denied_ring_ != nullptr);
}

BpfRun::~BpfRun() {
  ring_buffer__free(static_cast<ring_buffer*>(flow_ring_));
  ring_buffer__free(static_cast<ring_buffer*>(denied_ring_));
  lattice_bpf__destroy(skeleton_);
}

void BpfRun::Reset() {
  const auto& maps = skeleton_->maps;
  Clear<lat_flow4_key>(bpf_map__fd(maps.flows4));
  Clear<lat_flow6_key>(bpf_map__fd(maps.flows6));
  Clear<lat_denied_key>(bpf_map__fd(maps.denied));
  Clear<lat_fragment_key>(bpf_map__fd(maps.fragments));
  Clear<lat_flow6_key>(bpf_map__fd(maps.audited));
  FlowRecords();
  DeniedRecords();
  const std::vector<char> zero(static_cast<size_t>(cpus_) * sizeof(lat_hook_stats), 0);
  const auto wipe = [&](const bpf_map* map) {
    for (uint32_t i = 0; i < bpf_map__max_entries(map); i++) {
      CHECK_EQ(bpf_map_update_elem(bpf_map__fd(map), &i, zero.data(), BPF_ANY), 0) << std::strerror(errno);
    }
  };
  wipe(maps.hook_stats);
  wipe(maps.reason_stats);
  wipe(maps.events);
  wipe(maps.map_errors);
  for (uint32_t slot : {0u, kIngressSlots}) {
    for (uint32_t i = 0; i < 64; i++) {
      const uint32_t index = slot + i;
      const uint64_t none = 0;
      CHECK_EQ(bpf_map_update_elem(bpf_map__fd(maps.rule_hits), &index, &none, BPF_ANY), 0);
    }
  }
  Unpublish();
  SetMode(LAT_MODE_ENFORCE);
}

uint32_t BpfRun::Publish(const policy::RuleSet& rules, const policy::CompileOptions& options) {
  std::vector<uint32_t> egress(rules.egress.size()), ingress(rules.ingress.size());
  std::iota(egress.begin(), egress.end(), 0u);
  std::iota(ingress.begin(), ingress.end(), kIngressSlots);
  const uint32_t next = ++last_generation_;
  auto compiled = policy::Compile(rules, egress, ingress, next, options);
  CHECK(compiled.ok()) << compiled.status();
  const uint32_t slot = next & 1;
  const auto install = [&](const bpf_map* outer, const UniqueFd& inner) {
    const int fd = inner.get();
    CHECK_EQ(bpf_map_update_elem(bpf_map__fd(outer), &slot, &fd, BPF_ANY), 0) << std::strerror(errno);
  };
  if (compiled->stats.lpm) {
    install(skeleton_->maps.lpm4, MakeTrie<lat_lpm4_key>(*compiled, true));
    install(skeleton_->maps.lpm6, MakeTrie<lat_lpm6_key>(*compiled, false));
  }
  const auto words = absl::MakeConstSpan(compiled->words);
  const size_t first = std::min<size_t>(words.size(), LAT_BLOCK_WORDS);
  if (words.size() > first) install(skeleton_->maps.policy_more, MakeBlocks(words.subspan(first), BPF_F_INNER_MAP));
  install(skeleton_->maps.policy, MakeBlocks(words.first(first), 0));
  SetGeneration(next);
  return next;
}

void BpfRun::Unpublish() {
  SetGeneration(0);
}

void BpfRun::SetGeneration(uint32_t generation) {
  __atomic_store_n(&skeleton_->data_info->lat_info.generation, generation, __ATOMIC_RELEASE);
}

void BpfRun::SetMode(lat_mode mode) {
  skeleton_->data_info->lat_info.mode = mode;
}

uint32_t BpfRun::generation() const {
  return skeleton_->data_info->lat_info.generation;
}

int BpfRun::ProgramFd(lat_hook hook) const {
  const auto& progs = skeleton_->progs;
  const bpf_program* programs[] = {progs.tc_egress, progs.tc_ingress, progs.cgroup_egress, progs.cgroup_ingress};
  return bpf_program__fd(programs[hook]);
}

lat_verdict BpfRun::Run(lat_hook hook, const Packet& packet) {
  return Run(hook, packet.Frame(), packet.gso_size, packet.gso_segs);
}

lat_verdict BpfRun::Run(lat_hook hook, const std::string& frame, uint32_t gso_size, uint32_t gso_segs) {
  uint64_t before[LAT_VERDICT_COUNT];
  for (int v = 0; v < LAT_VERDICT_COUNT; v++) before[v] = HookStats(hook, static_cast<lat_verdict>(v)).packets;
  __sk_buff context = {};
  context.gso_size = gso_size;
  context.gso_segs = gso_segs;
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_size_in = static_cast<uint32_t>(frame.size()),
              .repeat = 1);
  if (gso_size != 0 || gso_segs != 0) {
    options.ctx_in = &context;
    options.ctx_size_in = sizeof(context);
  }
  CHECK_EQ(bpf_prog_test_run_opts(ProgramFd(hook), &options), 0) << std::strerror(errno);
  int verdict = -1;
  for (int v = 0; v < LAT_VERDICT_COUNT; v++) {
    const uint64_t counted = HookStats(hook, static_cast<lat_verdict>(v)).packets - before[v];
    CHECK_LE(counted, 1u);
    if (counted == 0) continue;
    CHECK_EQ(verdict, -1) << "counted under two verdicts";
    verdict = v;
  }
  CHECK_NE(verdict, -1) << "not counted";
  const uint32_t pass = ScopeOf(hook) == LAT_SCOPE_IFACE ? uint32_t(-1) : 1;
  const uint32_t drop = ScopeOf(hook) == LAT_SCOPE_IFACE ? 2 : 0;
  CHECK_EQ(options.retval, verdict == LAT_DENY ? drop : pass);
  return static_cast<lat_verdict>(verdict);
}

std::optional<lat_flow> BpfRun::Flow(const lat_flow6_key& key) const {
  lat_flow flow;
  const lat_flow4_key key4 = Key4(key);
  const int error = IsV4(key) ? bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.flows4), &key4, &flow)
                              : bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.flows6), &key, &flow);
  if (error != 0) return std::nullopt;
  return flow;
}

void BpfRun::SetFlow(const lat_flow6_key& key, const lat_flow& flow) {
  const lat_flow4_key key4 = Key4(key);
  const int error = IsV4(key) ? bpf_map_update_elem(bpf_map__fd(skeleton_->maps.flows4), &key4, &flow, BPF_ANY)
                              : bpf_map_update_elem(bpf_map__fd(skeleton_->maps.flows6), &key, &flow, BPF_ANY);
  CHECK_EQ(error, 0) << std::strerror(errno);
}

void BpfRun::Age(const lat_flow6_key& key, uint64_t jiffies) {
  std::optional<lat_flow> flow = Flow(key);
  CHECK(flow) << "no such flow";
  flow->last_seen_jiffies -= jiffies;
  flow->last_report_jiffies -= jiffies;
  SetFlow(key, *flow);
}

size_t BpfRun::FlowCount() const {
  return Keys<lat_flow4_key>(bpf_map__fd(skeleton_->maps.flows4)).size() +
         Keys<lat_flow6_key>(bpf_map__fd(skeleton_->maps.flows6)).size();
}

std::vector<std::pair<lat_denied_key, lat_denied>> BpfRun::Denied() const {
  std::vector<std::pair<lat_denied_key, lat_denied>> out;
  const int fd = bpf_map__fd(skeleton_->maps.denied);
  for (const lat_denied_key& key : Keys<lat_denied_key>(fd)) {
    lat_denied entry;
    CHECK_EQ(bpf_map_lookup_elem(fd, &key, &entry), 0) << std::strerror(errno);
    out.emplace_back(key, entry);
  }
  return out;
}

void BpfRun::SetDenied(const lat_denied_key& key, const lat_denied& entry) {
  CHECK_EQ(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.denied), &key, &entry, BPF_ANY), 0) << std::strerror(errno);
}

bool BpfRun::TakeDenied(const lat_denied_key& key, lat_denied* entry) {
  return bpf_map_lookup_and_delete_elem(bpf_map__fd(skeleton_->maps.denied), &key, entry) == 0;
}

void BpfRun::AgeFragments(uint64_t jiffies) {
  AgeSeen<lat_fragment_key, lat_fragment>(bpf_map__fd(skeleton_->maps.fragments), jiffies);
}

void BpfRun::AgeAudited(uint64_t jiffies) {
  AgeSeen<lat_flow6_key, lat_audited>(bpf_map__fd(skeleton_->maps.audited), jiffies);
}

std::vector<lat_record> BpfRun::FlowRecords() {
  CHECK_GE(ring_buffer__consume(static_cast<ring_buffer*>(flow_ring_)), 0);
  return std::exchange(flow_records_, {});
}

std::vector<lat_record> BpfRun::DeniedRecords() {
  CHECK_GE(ring_buffer__consume(static_cast<ring_buffer*>(denied_ring_)), 0);
  return std::exchange(denied_records_, {});
}

lat_sweep BpfRun::Sweep(bool end_all, bool flush_denied) {
  lat_sweep sweep = {};
  sweep.end_all = end_all ? 1 : 0;
  sweep.flush_denied = flush_denied ? 1 : 0;
  LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &sweep, .ctx_size_in = sizeof(sweep));
  CHECK_EQ(bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.lat_sweep), &options), 0) << std::strerror(errno);
  return sweep;
}

lat_counters BpfRun::HookStats(lat_hook hook, lat_verdict verdict) const {
  const uint32_t index = hook;
  std::vector<lat_hook_stats> stats(static_cast<size_t>(cpus_));
  CHECK_EQ(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.hook_stats), &index, stats.data()), 0);
  lat_counters sum = {};
  for (const lat_hook_stats& cpu : stats) {
    sum.packets += cpu.verdict[verdict].packets;
    sum.wire_packets += cpu.verdict[verdict].wire_packets;
    sum.bytes += cpu.verdict[verdict].bytes;
  }
  return sum;
}

uint64_t BpfRun::SumPerCpu(int fd, uint32_t index) const {
  std::vector<uint64_t> values(static_cast<size_t>(cpus_));
  CHECK_EQ(bpf_map_lookup_elem(fd, &index, values.data()), 0) << std::strerror(errno);
  return std::accumulate(values.begin(), values.end(), uint64_t{0});
}

uint64_t BpfRun::ReasonCount(lat_hook hook, lat_reason reason) const {
  return SumPerCpu(bpf_map__fd(skeleton_->maps.reason_stats),
                   static_cast<uint32_t>(hook) * LAT_REASON_COUNT + static_cast<uint32_t>(reason));
}

uint64_t BpfRun::Count(uint32_t counter) const {
  return SumPerCpu(bpf_map__fd(skeleton_->maps.events), counter);
}

uint64_t BpfRun::MapErrors(lat_map map, lat_errno error) const {
  return SumPerCpu(bpf_map__fd(skeleton_->maps.map_errors),
                   static_cast<uint32_t>(map) * LAT_ERRNO_COUNT + static_cast<uint32_t>(error));
}

uint64_t BpfRun::RuleHits(uint32_t slot) const {
  uint64_t hits;
  CHECK_EQ(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.rule_hits), &slot, &hits), 0) << std::strerror(errno);
  return hits;
}

}  // namespace lattice::testing
