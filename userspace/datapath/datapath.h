// The data plane of one interface in the kernel: programs, tables, pins.
//
// The promise: from the moment Create returns OK, every packet at the hooks is judged by a
// whole policy, and stays so whatever happens to this process. Destroying the object leaves
// everything in place (the pins hold it); Detach (detach.h) is the only way to take it away.
//
//   LATTICE_ASSIGN_OR_RETURN(auto datapath, Datapath::Create(options, rules));
//   LATTICE_ASSIGN_OR_RETURN(auto flows, RingReader::Open(datapath->flow_ring_fd()));
//   LATTICE_ASSIGN_OR_RETURN(Receipt receipt, datapath->Apply(new_rules));
//
// Threads: Create, Apply, Settle and Reattach on one thread; everything marked "any thread" may run
// beside them. Needs CAP_BPF and CAP_NET_ADMIN (Create also CAP_PERFMON, and CAP_SYS_ADMIN if
// bpffs must be mounted first).
#ifndef USERSPACE_DATAPATH_DATAPATH_H_
#define USERSPACE_DATAPATH_DATAPATH_H_

#include <lattice/abi.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/datapath/hooks.h"
#include "userspace/datapath/options.h"
#include "userspace/datapath/stats.h"

namespace lattice::policy {
struct RuleSet;
}

namespace lattice::datapath {

// What a sweep takes as due besides what is: nothing; what denied attempts counted since their last record; that, and
// the end of every flow.
enum class SweepKind { kDue, kFlushDenied, kEndAll };

class Programs;
class PolicyPublisher;
class Attachments;

class Datapath {
 public:
  // Validates, opens or makes the pins, loads the programs over the maps, publishes `rules` and
  // only then attaches; to the interface later, by Reattach, if options.wait_iface and it is not there.
  // Pins of an earlier daemon are adopted: its flows, counters and rings stay and each of its hooks
  // changes to the new program in one step.
  //
  // NotFound: no such interface or cgroup. InvalidArgument: an option, or a rule. PermissionDenied
  // names the capability. FailedPrecondition: a kernel feature (named with its first version), pins
  // of another layout or size (names the folder and the remedy), pins in use by an interface of
  // another network namespace. ResourceExhausted: the policy doesn't fit.
  // After an error nothing is attached that was not before, and what was attached goes on. But Internal: hooks
  // of an earlier daemon may have changed to the new programs, under their old policy.
  static absl::StatusOr<std::unique_ptr<Datapath>> Create(const Options& options, const policy::RuleSet& rules);
  ~Datapath();
  Datapath(const Datapath&) = delete;
  Datapath& operator=(const Datapath&) = delete;

  // Replaces the policy in one store; live flows are judged anew at their next packet. Everything
  // that can be refused is refused before the first write: an error changes nothing.
  // ResourceExhausted: over the memory budget even with the LPM fallback, or more rule names than slots.
  absl::StatusOr<Receipt> Apply(const policy::RuleSet& rules);
  // The rest of Apply, which takes longer than the swap itself: frees the tables of the policy before (one
  // grace period after the swap, when no program uses them) and brings the map `rules` up to date for
  // operators. Call it soon after Apply, e.g. when the answer is sent. The next Apply does it first if you
  // did not. Does nothing the second time.
  absl::Status Settle();
  // Of the last successful Create or Apply.
  const Receipt& receipt() const { return receipt_; }
  // Whether Create took over the pins of an earlier daemon.
  bool adopted() const;
  // The hooks of the earlier daemon that were not in place when Create came, as words: packets may have passed
  // unjudged since that daemon ended. Empty without one.
  const std::vector<std::string>& found_missing() const { return found_missing_; }

  // Puts the programs back where they are missing, on the device that has the interface's name now:
  // when it comes for the first time, was deleted and made again, went to another index, or somebody removed
  // our program. Does nothing where all is in place, so call it at every link event. NotFound: no such device
  // yet; the cgroups are done.
  absl::Status Reattach();

  // Puts back the pins that somebody removed, without which enforcement ends with this process. Whether
  // there were some.
  absl::StatusOr<bool> RestorePins();

  // Asks the kernel. Any thread.
  std::vector<HookStatus> Hooks() const;

  // Runs lat_sweep once: writes every record that is due into the rings and deletes what has ended.
  // While `.more` is set: drain the rings and call again. Any thread, one at a time.
  absl::StatusOr<lat_sweep> Sweep(SweepKind kind = SweepKind::kDue);

  // Any thread.
  absl::StatusOr<Stats> ReadStats() const;
  // Stats::events alone: cheap, however many rules there are.
  absl::StatusOr<EventCounts> ReadEvents() const;

  // The name of the rule behind lat_record.rule (slot + 1) of a record of `generation`. Empty: no rule
  // (0), or one that is forgotten. Any thread.
  std::string RuleName(uint32_t rule, uint32_t generation) const;
  std::string RuleText(uint32_t rule, uint32_t generation) const;

  // Live flows and denied attempts, in no order, until `visit` returns false. IPv4 keys come in the
  // IPv6 form with ::ffff: addresses. Entries that come or go meanwhile may be missed, none comes twice
  // but after a concurrent insert in the same hash bucket. Any thread.
  absl::Status ForEachFlow(absl::FunctionRef<bool(const lat_flow6_key&, const lat_flow&)> visit) const;
  absl::Status ForEachDenied(absl::FunctionRef<bool(const lat_denied_key&, const lat_denied&)> visit) const;

  // Map fds for RingReader::Open; they live as long as this object.
  int flow_ring_fd() const;
  int denied_ring_fd() const;

  // What the programs and operators see (a copy).
  lat_info info() const;
  // The audit sequence number that survives the daemon: see lat_info.next_seq. Any thread.
  uint64_t next_seq() const;
  void set_next_seq(uint64_t next_seq);

  const Options& options() const { return options_; }
  std::string pin_folder() const;  // <pin_path>/<iface>

 private:
  explicit Datapath(const Options& options);
  absl::Status Start(const policy::RuleSet& rules);
  absl::StatusOr<std::unique_ptr<Programs>> LoadPrograms(uint32_t l2_bytes) const;
  absl::Status PutInForce(const policy::RuleSet& rules);
  absl::Status TakeOver(const policy::RuleSet& rules);
  absl::Status Publish(const policy::RuleSet& rules);
  absl::Status FitTo(uint16_t device_type);

  const Options options_;
  uint32_t l2_bytes_ = 0;  // what the tc programs in use expect
  Receipt receipt_;
  std::vector<std::string> found_missing_;
  std::unique_ptr<Programs> programs_;
  std::unique_ptr<Programs> ethernet_;  // over the same maps; only if the interface was not there at the start
  std::unique_ptr<PolicyPublisher> publisher_;
  std::unique_ptr<Attachments> attachments_;
  // From the last sweep; any thread.
  std::atomic<uint32_t> flows4_{0};
  std::atomic<uint32_t> flows6_{0};
  std::atomic<uint32_t> denied_{0};
};

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_DATAPATH_H_
