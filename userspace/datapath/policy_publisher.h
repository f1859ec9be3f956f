// Puts policies into force and knows the rules behind the slots in records.
//
// Publish on one thread; what is marked "any thread" beside it.
#ifndef USERSPACE_DATAPATH_POLICY_PUBLISHER_H_
#define USERSPACE_DATAPATH_POLICY_PUBLISHER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "userspace/datapath/grace_period.h"
#include "userspace/datapath/options.h"
#include "userspace/datapath/programs.h"
#include "userspace/datapath/rule_slots.h"
#include "userspace/datapath/stats.h"
#include "userspace/policy/rule.h"

namespace lattice::datapath {

struct RuleLabel {
  std::string name;
  std::string text;  // "[ingress ][deny ]CIDR[:PORTS][/PROTO]"
};

class PolicyPublisher {
 public:
  // Goes on from the generation and the rule slots that are in the maps. `programs` must outlive this.
  static absl::StatusOr<std::unique_ptr<PolicyPublisher>> Create(const Programs& programs, const Options& options);

  // See Datapath::Apply and Datapath::Settle.
  absl::StatusOr<Receipt> Publish(const policy::RuleSet& rules);
  absl::Status Settle();

  // Any thread.
  // Name and text of the rule behind lat_record.rule; both empty: see Datapath::RuleName.
  RuleLabel Rule(uint32_t rule, uint32_t generation) const;
  std::vector<RuleHits> Hits() const;

 private:
  PolicyPublisher(const Programs& programs, const Options& options, GracePeriod grace)
      : programs_(programs),
        memory_bytes_(options.policy_memory_bytes),
        force_lpm_(options.force_lpm),
        grace_(std::move(grace)) {}
  absl::Status RestoreSlots();
  absl::Status WriteTexts();

  const Programs& programs_;
  const uint64_t memory_bytes_;
  const bool force_lpm_;
  const GracePeriod grace_;
  bool settled_ = false;  // an earlier daemon may have died before it was
  // Slots whose text in the map `rules` differs from slots_.
  std::vector<uint32_t> stale_texts_;

  mutable absl::Mutex mutex_;
  RuleSlots slots_ ABSL_GUARDED_BY(mutex_){LAT_RULE_SLOTS};
  std::vector<uint32_t> order_ ABSL_GUARDED_BY(mutex_);  // of the present policy's rules
};

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_POLICY_PUBLISHER_H_
