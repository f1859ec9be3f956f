// Theory of operation.
//
// The order of a start is the promise: check everything that can be checked without a trace; load
// over old or new maps; publish the policy; only then put programs into hooks. So a hook never runs
// without a policy, and a first start that fails leaves nothing. Over adopted pins it is the other way
// round, since they have a policy.
//
// Where the interface is not there yet, all of this happens without it, so that one attach is all that
// is left to do when it comes. Its kind is not known then: layer 3 is assumed, as WireGuard is, and
// programs for Ethernet are loaded beside, because by then nobody may be allowed to load any.
#include "userspace/datapath/datapath.h"

#include <bpf/bpf.h>
#include <glog/logging.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/memory/memory.h"
#include "absl/strings/str_format.h"
#include "userspace/base/net_device.h"
#include "userspace/base/status.h"
#include "userspace/datapath/attachments.h"
#include "userspace/datapath/bpffs.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/pin_owner.h"
#include "userspace/datapath/pinned_hooks.h"
#include "userspace/datapath/pins.h"
#include "userspace/datapath/policy_publisher.h"
#include "userspace/datapath/programs.h"
#include "userspace/datapath/read_stats.h"
#include "userspace/datapath/table_scan.h"

namespace lattice::datapath {
namespace {

absl::Status CheckSameNamespace(const Options& options) {
  LATTICE_ASSIGN_OR_RETURN(const bool foreign, PinsAreOfAnotherNamespace(options.iface, options.pin_path));
  if (!foreign) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "the pins in %s belong to an interface %s of another network namespace: give this one its own "
      "--pin-path, or, in that namespace, %s",
      PinFolder(options.pin_path, options.iface), options.iface, DetachRemedy(options.iface, options.pin_path)));
}

constexpr uint32_t kEthernetBytes = 14;

lat_flow6_key Widen(const lat_flow4_key& key) {
  lat_flow6_key wide = {};
  for (lat_u8* address : {wide.local, wide.remote}) address[10] = address[11] = 0xff;
  std::memcpy(wide.local + 12, key.local, sizeof(key.local));
  std::memcpy(wide.remote + 12, key.remote, sizeof(key.remote));
  wide.local_port = key.local_port;
  wide.remote_port = key.remote_port;
  wide.proto = key.proto;
  wide.scope = key.scope;
  return wide;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Datapath>> Datapath::Create(const Options& options, const policy::RuleSet& rules) {
  LATTICE_RETURN_IF_ERROR(Validate(options));
  auto datapath = absl::WrapUnique(new Datapath(options));
  LATTICE_RETURN_IF_ERROR(datapath->Start(rules));
  return datapath;
}

absl::Status Datapath::Start(const policy::RuleSet& rules) {
  const absl::StatusOr<NetDevice> device = LookupNetDevice(options_.iface);
  const bool waiting = options_.wait_iface && absl::IsNotFound(device.status());
  if (!waiting) {
    LATTICE_RETURN_IF_ERROR(device.status());
    LATTICE_ASSIGN_OR_RETURN(l2_bytes_, L2HeaderBytes(device->type));
  }
  LATTICE_RETURN_IF_ERROR(MountBpffsIfMissing(options_.pin_path));
  LATTICE_RETURN_IF_ERROR(CheckSameNamespace(options_));
  LATTICE_ASSIGN_OR_RETURN(programs_, LoadPrograms(l2_bytes_));
  absl::Cleanup undo = [this] {
    if (adopted()) return;
    if (attachments_ != nullptr) LOG_IF(ERROR, !attachments_->Detach().ok()) << "a hook of a failed start stays";
    const absl::Status removed = RemovePinFolder(pin_folder());
    LOG_IF(ERROR, !removed.ok()) << "pins of a failed start stay: " << removed;
  };
  programs_->info()->ifindex = waiting ? 0 : static_cast<lat_u32>(device->ifindex);
  LATTICE_ASSIGN_OR_RETURN(attachments_, Attachments::Create(options_, *programs_, pin_folder()));
  LATTICE_ASSIGN_OR_RETURN(publisher_, PolicyPublisher::Create(*programs_, options_));
  LATTICE_RETURN_IF_ERROR(adopted() ? TakeOver(rules) : PutInForce(rules));
  if (waiting) {
    LATTICE_ASSIGN_OR_RETURN(ethernet_, LoadPrograms(kEthernetBytes));
  }
  std::move(undo).Cancel();
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Programs>> Datapath::LoadPrograms(uint32_t l2_bytes) const {
  LATTICE_ASSIGN_OR_RETURN(const lat_config config, MakeConfig(options_, l2_bytes));
  return Programs::Load(options_, config, pin_folder());
}

absl::Status Datapath::PutInForce(const policy::RuleSet& rules) {
  LATTICE_RETURN_IF_ERROR(Publish(rules));
  return attachments_->Attach();
}

// Adopted pins have a policy, so the hooks go first: what fails here leaves that policy and its mode in force.
absl::Status Datapath::TakeOver(const policy::RuleSet& rules) {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<HookStatus> found, PinnedHooks(options_.iface, options_.pin_path));
  for (const HookStatus& hook : found) {
    if (!hook.attached) {
      found_missing_.push_back(absl::StrCat(HookName(hook.hook), " of ", hook.target, " (", hook.detail, ")"));
    }
  }
  absl::Status status = attachments_->Attach();
  if (status.ok()) status = Publish(rules);
  if (status.ok()) return status;
  return absl::InternalError(
      absl::StrFormat("taking over what an earlier latticed-dp left on %s: %s; the policy before stays in force, hooks "
                      "may have changed to the programs of this one",
                      options_.iface, status.message()));
}

absl::Status Datapath::Publish(const policy::RuleSet& rules) {
  LATTICE_ASSIGN_OR_RETURN(receipt_, publisher_->Publish(rules));
  if (programs_->info()->mode != options_.mode) {
    // One record tells of one mode: what was counted until here gets its record with the old one.
    const absl::StatusOr<lat_sweep> told = Sweep(SweepKind::kFlushDenied);
    if (!told.ok() || told->more) {
      LOG(WARNING) << "records of denials before the change of mode may name the new one: "
                   << (told.ok() ? "the ring is full" : told.status().message());
    }
    programs_->info()->mode = options_.mode;
  }
  if (const absl::Status settled = publisher_->Settle(); !settled.ok()) {
    LOG(WARNING) << "tidying up after the first policy, tried again at the next one: " << settled.message();
  }
  return absl::OkStatus();
}

Datapath::Datapath(const Options& options) : options_(options) {}

Datapath::~Datapath() = default;

bool Datapath::adopted() const {
  return programs_->adopted();
}

absl::StatusOr<Receipt> Datapath::Apply(const policy::RuleSet& rules) {
  LATTICE_ASSIGN_OR_RETURN(receipt_, publisher_->Publish(rules));
  return receipt_;
}

absl::Status Datapath::Settle() {
  return publisher_->Settle();
}

absl::Status Datapath::Reattach() {
  const absl::StatusOr<NetDevice> device = LookupNetDevice(options_.iface);
  if (device.ok()) {
    LATTICE_RETURN_IF_ERROR(FitTo(device->type));
  } else if (!absl::IsNotFound(device.status())) {
    return device.status();
  }
  // Without the device too: the cgroups.
  LATTICE_RETURN_IF_ERROR(
      Annotate(attachments_->Reattach(), absl::StrCat("while attaching to ", options_.iface, " again")));
  LATTICE_RETURN_IF_ERROR(device.status());
  programs_->info()->ifindex = static_cast<lat_u32>(device->ifindex);
  return absl::OkStatus();
}

// The programs know how many bytes are in front of the IP header.
absl::Status Datapath::FitTo(uint16_t device_type) {
  LATTICE_ASSIGN_OR_RETURN(const uint32_t l2_bytes, L2HeaderBytes(device_type));
  if (l2_bytes == l2_bytes_) return absl::OkStatus();
  if (ethernet_ == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrFormat("interface %s came back as another kind of device (%d bytes in front of IP, before %d): start "
                        "latticed-dp again",
                        options_.iface, l2_bytes, l2_bytes_));
  }
  attachments_->UseTcPrograms(l2_bytes == kEthernetBytes ? *ethernet_ : *programs_);
  l2_bytes_ = l2_bytes;
  return absl::OkStatus();
}

absl::StatusOr<bool> Datapath::RestorePins() {
  LATTICE_ASSIGN_OR_RETURN(const bool maps, programs_->RestorePins(pin_folder()));
  LATTICE_ASSIGN_OR_RETURN(const bool links, attachments_->RestorePins());
  return maps || links;
}

std::vector<HookStatus> Datapath::Hooks() const {
  std::vector<HookStatus> hooks = attachments_->Query();
  const lat_info* info = programs_->info();
  const bool in_force = __atomic_load_n(&info->generation, __ATOMIC_ACQUIRE) != 0 && info->mode == LAT_MODE_ENFORCE;
  for (HookStatus& hook : hooks) hook.enforcing = hook.attached && in_force;
  return hooks;
}

absl::StatusOr<lat_sweep> Datapath::Sweep(SweepKind kind) {
  lat_sweep sweep = {.end_all = kind == SweepKind::kEndAll, .flush_denied = kind == SweepKind::kFlushDenied};
  LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &sweep, .ctx_size_in = sizeof(sweep));
  if (bpf_prog_test_run_opts(programs_->sweep_fd(), &options) != 0) return BpfError(errno, "sweeping the flow tables");
  if (options.retval != 0) {
    return absl::InternalError(absl::StrCat("sweeping the flow tables: the program returned ", options.retval));
  }
  flows4_ = sweep.flows4;
  flows6_ = sweep.flows6;
  denied_ = sweep.denied;
  return sweep;
}

absl::StatusOr<Stats> Datapath::ReadStats() const {
  Stats stats;
  LATTICE_RETURN_IF_ERROR(ReadCounters(programs_->maps(), &stats));
  stats.flows4 = {flows4_, options_.max_flows};
  stats.flows6 = {flows6_, options_.max_flows};
  stats.denied = {denied_, options_.max_denied};
  stats.rules = publisher_->Hits();
  return stats;
}

absl::StatusOr<EventCounts> Datapath::ReadEvents() const {
  return ReadEventCounts(programs_->maps());
}

std::string Datapath::RuleName(uint32_t rule, uint32_t generation) const {
  return publisher_->Rule(rule, generation).name;
}

std::string Datapath::RuleText(uint32_t rule, uint32_t generation) const {
  return publisher_->Rule(rule, generation).text;
}

absl::Status Datapath::ForEachFlow(absl::FunctionRef<bool(const lat_flow6_key&, const lat_flow&)> visit) const {
  bool go_on = true;
  const auto visit_live = [&](const lat_flow6_key& key, const lat_flow& flow) {
    if ((flow.flags & LAT_FLOW_VACANT) == 0) go_on = visit(key, flow);
    return go_on;
  };
  LATTICE_RETURN_IF_ERROR(
      (ScanHash<lat_flow4_key, lat_flow>(programs_->maps().flows4, [&](const lat_flow4_key& key, const lat_flow& flow) {
        return visit_live(Widen(key), flow);
      })));
  if (!go_on) return absl::OkStatus();
  return ScanHash<lat_flow6_key, lat_flow>(programs_->maps().flows6, visit_live);
}

absl::Status Datapath::ForEachDenied(absl::FunctionRef<bool(const lat_denied_key&, const lat_denied&)> visit) const {
  return ScanHash<lat_denied_key, lat_denied>(programs_->maps().denied, visit);
}

int Datapath::flow_ring_fd() const {
  return programs_->maps().flow_ring;
}
int Datapath::denied_ring_fd() const {
  return programs_->maps().denied_ring;
}
lat_info Datapath::info() const {
  return *programs_->info();
}
uint64_t Datapath::next_seq() const {
  return __atomic_load_n(&programs_->info()->next_seq, __ATOMIC_ACQUIRE);
}
void Datapath::set_next_seq(uint64_t next_seq) {
  __atomic_store_n(&programs_->info()->next_seq, next_seq, __ATOMIC_RELEASE);
}
std::string Datapath::pin_folder() const {
  return PinFolder(options_.pin_path, options_.iface);
}

}  // namespace lattice::datapath
