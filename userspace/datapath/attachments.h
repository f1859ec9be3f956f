// All hooks of one interface and its cgroups. Any thread.
#ifndef USERSPACE_DATAPATH_ATTACHMENTS_H_
#define USERSPACE_DATAPATH_ATTACHMENTS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "userspace/datapath/hook.h"
#include "userspace/datapath/hooks.h"
#include "userspace/datapath/options.h"

namespace lattice::datapath {

class Programs;

class Attachments {
 public:
  // Opens and checks what is to be attached to, but for the interface; attaches nothing. NotFound: no such cgroup;
  // InvalidArgument: a cgroup inside another (its packets would be counted twice);
  // FailedPrecondition: TcKind::kTcx without kernel support. `programs` must outlive this.
  static absl::StatusOr<std::unique_ptr<Attachments>> Create(const Options& options, const Programs& programs,
                                                             const std::string& folder);

  // Every hook, the next even if one fails; the first error. NotFound: no such interface, unless
  // options.wait_iface. Afterwards removes what an earlier daemon
  // attached and this one does not want (a cgroup, the other kind of tc hook).
  absl::Status Attach();
  // Where our program is missing only, and only the cgroups while there is no interface.
  absl::Status Reattach();
  // The tc hooks get the programs of `programs`, which must outlive this, with the next attach.
  void UseTcPrograms(const Programs& programs);
  // See Hook::RestorePin; true: some were missing.
  absl::StatusOr<bool> RestorePins();
  std::vector<HookStatus> Query() const;
  // Undoes Attach.
  absl::Status Detach();

 private:
  Attachments(const Options& options, std::string folder) : options_(options), folder_(std::move(folder)) {}
  absl::Status AddTcHooks(const Programs& programs);
  absl::Status AddCgroupHooks(const Programs& programs);
  absl::Status AttachHooks(bool only_missing, bool device_may_be_away);
  absl::Status RemoveUnwanted();

  const Options options_;
  const std::string folder_;
  bool tcx_ = false;
  mutable absl::Mutex mutex_;
  std::vector<std::unique_ptr<Hook>> hooks_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> wanted_pins_;
};

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_ATTACHMENTS_H_
