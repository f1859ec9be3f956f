// Theory of operation.
//
// A start over existing pins loads new programs (other flags, another version) over the old
// maps: bpf_map__reuse_fd before load. Every attribute of every map must then be as the object
// wants it; the only versioned thing is the ABI number in `info`, which stands for key and value
// layout, and the sizes that flags decide are compared one by one so that the message can name them.
//
// A first start makes the maps and pins them, `info` last, and attaches only after it has published a
// policy: a start that dies in between leaves a folder without `info`, or one of generation 0, holding
// nothing that is attached, which the next start removes. Whose pins they are is in `info` from the first.
#include "userspace/datapath/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <glog/logging.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_format.h"
#include "lattice_bpf.skel.h"
#include "userspace/base/net_device.h"
#include "userspace/base/status.h"
#include "userspace/base/unique_fd.h"
#include "userspace/datapath/jiffies.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/libbpf_log.h"
#include "userspace/datapath/pins.h"

namespace lattice::datapath {
namespace {

// bss, data, rodata and the like belong to one load; everything else is pinned.
bool IsPinned(const bpf_map* map) {
  return !bpf_map__is_internal(map) || absl::string_view(bpf_map__name(map)) == ".data.info";
}

std::string PinName(const bpf_map* map) {
  return bpf_map__is_internal(map) ? kInfoPin : bpf_map__name(map);
}

void SetSizes(const Options& options, lattice_bpf* skeleton) {
  const auto set = [](bpf_map* map, uint32_t entries) {
    const int error = bpf_map__set_max_entries(map, entries);
    CHECK_EQ(error, 0) << bpf_map__name(map) << " was loaded already";
  };
  set(skeleton->maps.flows4, options.max_flows);
  set(skeleton->maps.flows6, options.max_flows);
  set(skeleton->maps.denied, options.max_denied);
  set(skeleton->maps.fragments, options.max_fragments);
  set(skeleton->maps.flow_ring, options.flow_ring_bytes);
  set(skeleton->maps.denied_ring, options.denied_ring_bytes);
}

// Takes the pinned map `fd` in place of `map` if it is the same in every attribute.
absl::Status Reuse(bpf_map* map, int fd, const Options& options, const std::string& folder) {
  LATTICE_ASSIGN_OR_RETURN(const bpf_map_info pinned, MapInfo(fd));
  const auto differs = [&](absl::string_view what, uint64_t is, uint64_t wanted) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "map %s pinned in %s has %s %d, these options want %d: keep the options it was made with, or %s", PinName(map),
        folder, what, is, wanted, DetachRemedy(options.iface, options.pin_path)));
  };
  if (pinned.type != bpf_map__type(map)) return differs("type", pinned.type, bpf_map__type(map));
  if (pinned.key_size != bpf_map__key_size(map)) return differs("key size", pinned.key_size, bpf_map__key_size(map));
  if (pinned.value_size != bpf_map__value_size(map)) {
    return differs("value size", pinned.value_size, bpf_map__value_size(map));
  }
  if (pinned.max_entries != bpf_map__max_entries(map)) {
    return differs("size", pinned.max_entries, bpf_map__max_entries(map));
  }
  if (pinned.map_flags != bpf_map__map_flags(map)) return differs("flags", pinned.map_flags, bpf_map__map_flags(map));
  const int error = bpf_map__reuse_fd(map, fd);
  if (error != 0) return BpfError(-error, absl::StrCat("taking over the pinned map ", PinName(map)));
  return absl::OkStatus();
}

absl::StatusOr<bool> RemoveInterrupted(const std::string& folder) {
  LOG(INFO) << "removing what an interrupted start left in " << folder;
  LATTICE_RETURN_IF_ERROR(RemovePinFolder(folder));
  return false;
}

// Returns whether there was something to adopt.
absl::StatusOr<bool> AdoptPins(bpf_object* object, const Options& options, const std::string& folder) {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListPins(folder));
  if (names.empty()) return false;
  const bool attached = std::any_of(names.begin(), names.end(), IsLinkPin);
  if (std::find(names.begin(), names.end(), kInfoPin) == names.end()) {
    if (attached) {
      return absl::FailedPreconditionError(absl::StrFormat("the pins in %s are incomplete (no map %s): %s", folder,
                                                           kInfoPin, DetachRemedy(options.iface, options.pin_path)));
    }
    return RemoveInterrupted(folder);
  }
  LATTICE_ASSIGN_OR_RETURN(const lat_info info, ReadPinnedInfo(folder));
  if (info.abi_version != LATTICE_ABI_VERSION) {
    return absl::FailedPreconditionError(
        absl::StrFormat("the pins in %s have layout version %d, this program has %d: %s", folder, info.abi_version,
                        LATTICE_ABI_VERSION, DetachRemedy(options.iface, options.pin_path)));
  }
  if (!attached && IsInterruptedStart(info)) return RemoveInterrupted(folder);
  bpf_map* map;
  bpf_object__for_each_map(map, object) {
    if (!IsPinned(map)) continue;
    const absl::StatusOr<UniqueFd> fd = OpenPin(absl::StrCat(folder, "/", PinName(map)));
    if (absl::IsNotFound(fd.status())) {
      return absl::FailedPreconditionError(absl::StrFormat("the pins in %s are incomplete (no map %s): %s", folder,
                                                           PinName(map),
                                                           DetachRemedy(options.iface, options.pin_path)));
    }
    LATTICE_RETURN_IF_ERROR(fd.status());
    LATTICE_RETURN_IF_ERROR(Reuse(map, fd->get(), options, folder));
  }
  return true;
}

absl::Status PinMap(const bpf_map* map, const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", PinName(map));
  if (bpf_obj_pin(bpf_map__fd(map), path.c_str()) == 0) return absl::OkStatus();
  return BpfError(errno, absl::StrCat("pinning ", path));
}

// Those that have no pin. Returns whether there were some.
absl::StatusOr<bool> PinMaps(const bpf_object* object, const bpf_map* info, const std::string& folder) {
  LATTICE_RETURN_IF_ERROR(MakePinFolder(folder));
  bool pinned = false;
  const auto pin = [&](const bpf_map* map) {
    if (access(absl::StrCat(folder, "/", PinName(map)).c_str(), F_OK) == 0) return absl::OkStatus();
    pinned = true;
    return PinMap(map, folder);
  };
  const bpf_map* map;
  bpf_object__for_each_map(map, object) {
    if (IsPinned(map) && map != info) LATTICE_RETURN_IF_ERROR(pin(map));
  }
  LATTICE_RETURN_IF_ERROR(pin(info));
  return pinned;
}

template <size_t N>
void CopyText(const std::string& text, char (&out)[N]) {
  std::memset(out, 0, N);
  text.copy(out, N - 1);
}

// Whose pins these are.
absl::Status FillInfo(const Options& options, lat_info* info) {
  LATTICE_ASSIGN_OR_RETURN(const NetNamespace netns, CurrentNetNamespace());
  info->max_flows = options.max_flows;
  info->netns_cookie = netns.cookie;
  CopyText(options.iface, info->iface);
  CopyText(options.version, info->version);
  return absl::OkStatus();
}

absl::Status LoadError(int error, const LibbpfLog& log) {
  if (error == EPERM || error == EACCES) {
    // EACCES is also the verifier's word for a program it rejects.
    if (!log.VerifierSpoke()) {
      return absl::PermissionDeniedError(
          "loading BPF programs: not permitted: needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (root has them)");
    }
  }
  if (error == ENOMEM) return ErrnoStatus(error, "making the BPF maps (a smaller --max-flows needs less)");
  return absl::FailedPreconditionError(absl::StrFormat(
      "this kernel does not load the programs (6.1 or newer with CONFIG_BPF_SYSCALL, CONFIG_BPF_JIT and "
      "CONFIG_DEBUG_INFO_BTF is needed): %s; --v=1 logs all of the last lines:\n%s",
      strerror(error), log.LastLines()));
}

}  // namespace

// Longer than a virtual machine is usually kept from its processor; costs only that entries stay as long.
constexpr absl::Duration kMargin = absl::Milliseconds(250);

absl::StatusOr<lat_config> MakeConfig(const Options& options, uint32_t l2_bytes) {
  LATTICE_ASSIGN_OR_RETURN(const uint64_t ns_per_jiffy, NsPerJiffy());
  lat_config config = {};
  config.ns_per_jiffy = ns_per_jiffy;
  config.idle_jiffies = ToJiffies(options.flow_idle_timeout, ns_per_jiffy);
  config.tcp_idle_jiffies = ToJiffies(options.flow_tcp_idle_timeout, ns_per_jiffy);
  config.linger_jiffies = ToJiffies(options.flow_linger, ns_per_jiffy);
  config.active_jiffies = ToJiffies(options.flow_active_timeout, ns_per_jiffy);
  config.denied_jiffies = ToJiffies(options.denied_interval, ns_per_jiffy);
  config.fragment_jiffies = ToJiffies(options.fragment_timeout, ns_per_jiffy);
  config.margin_jiffies = ToJiffies(kMargin, ns_per_jiffy);
  config.l2_bytes = l2_bytes;
  config.table_full_allow = options.table_full_allow;
  config.loopback_allow = options.loopback_allow;
  return config;
}

absl::StatusOr<std::unique_ptr<Programs>> Programs::Load(const Options& options, const lat_config& config,
                                                         const std::string& folder) {
  LibbpfLog log;
  auto programs = absl::WrapUnique(new Programs);
  programs->skeleton_ = lattice_bpf__open();
  if (programs->skeleton_ == nullptr) {
    return ErrnoStatus(errno, absl::StrCat("opening the embedded BPF object:\n", log.LastLines()));
  }
  lattice_bpf* skeleton = programs->skeleton_;
  skeleton->rodata->lat_config = config;
  SetSizes(options, skeleton);
  LATTICE_RETURN_IF_ERROR(FillInfo(options, &skeleton->data_info->lat_info));
  LATTICE_ASSIGN_OR_RETURN(programs->adopted_, AdoptPins(skeleton->obj, options, folder));
  const int error = lattice_bpf__load(skeleton);
  if (error != 0) return LoadError(-error, log);
  if (programs->adopted_) {
    LATTICE_RETURN_IF_ERROR(FillInfo(options, programs->info()));
  } else {
    LATTICE_RETURN_IF_ERROR(PinMaps(skeleton->obj, skeleton->maps.data_info, folder).status());
  }
  LATTICE_RETURN_IF_ERROR(programs->ReadFds());
  return programs;
}

absl::Status Programs::ReadFds() {
  const auto& maps = skeleton_->maps;
  maps_ = {.flows4 = bpf_map__fd(maps.flows4),
           .flows6 = bpf_map__fd(maps.flows6),
           .denied = bpf_map__fd(maps.denied),
           .policy = bpf_map__fd(maps.policy),
           .policy_more = bpf_map__fd(maps.policy_more),
           .lpm4 = bpf_map__fd(maps.lpm4),
           .lpm6 = bpf_map__fd(maps.lpm6),
           .rules = bpf_map__fd(maps.rules),
           .hook_stats = bpf_map__fd(maps.hook_stats),
           .reason_stats = bpf_map__fd(maps.reason_stats),
           .events = bpf_map__fd(maps.events),
           .map_errors = bpf_map__fd(maps.map_errors),
           .flow_ring = bpf_map__fd(maps.flow_ring),
           .denied_ring = bpf_map__fd(maps.denied_ring)};
  for (int hook = 0; hook < LAT_HOOK_COUNT; ++hook) {
    LATTICE_ASSIGN_OR_RETURN(const bpf_prog_info info, ProgramInfo(program_fd(static_cast<lat_hook>(hook))));
    program_ids_[hook] = info.id;
  }
  void* hits = mmap(nullptr, LAT_RULE_SLOTS * sizeof(lat_u64), PROT_READ | PROT_WRITE, MAP_SHARED,
                    bpf_map__fd(maps.rule_hits), 0);
  if (hits == MAP_FAILED) return ErrnoStatus(errno, "mapping the rule counters");
  rule_hits_ = absl::MakeSpan(static_cast<lat_u64*>(hits), LAT_RULE_SLOTS);
  return absl::OkStatus();
}

absl::StatusOr<bool> Programs::RestorePins(const std::string& folder) const {
  return PinMaps(skeleton_->obj, skeleton_->maps.data_info, folder);
}

Programs::~Programs() {
  if (!rule_hits_.empty()) munmap(rule_hits_.data(), rule_hits_.size() * sizeof(lat_u64));
  lattice_bpf__destroy(skeleton_);
}

int Programs::program_fd(lat_hook hook) const {
  const auto& programs = skeleton_->progs;
  const bpf_program* const by_hook[LAT_HOOK_COUNT] = {programs.tc_egress, programs.tc_ingress, programs.cgroup_egress,
                                                      programs.cgroup_ingress};
  return bpf_program__fd(by_hook[hook]);
}

int Programs::sweep_fd() const {
  return bpf_program__fd(skeleton_->progs.lat_sweep);
}

lat_info* Programs::info() const {
  return &skeleton_->data_info->lat_info;
}

}  // namespace lattice::datapath
