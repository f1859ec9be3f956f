// What the pins of an earlier daemon enforced when this one came, to tell what its flags have ended: the promise that a
// daemon's end ends nothing makes it easy to overlook.
#ifndef USERSPACE_DP_TAKEOVER_H_
#define USERSPACE_DP_TAKEOVER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/datapath/hooks.h"
#include "userspace/datapath/options.h"

namespace lattice::dp {

class Takeover {
 public:
  // Before Datapath::Create; `options` must outlive this. Without pins there is nothing to end.
  static absl::StatusOr<Takeover> Look(const datapath::Options& options);

  // After Datapath::Create: a text each, with the flag that ended it; empty mostly.
  absl::StatusOr<std::vector<std::string>> Ended() const;

 private:
  explicit Takeover(const datapath::Options& options) : options_(&options) {}

  const datapath::Options* options_;
  std::vector<datapath::HookStatus> enforced_;
};

}  // namespace lattice::dp

#endif  // USERSPACE_DP_TAKEOVER_H_
