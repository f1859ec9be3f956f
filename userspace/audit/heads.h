// Tells the control plane how far the audit file goes: who cuts off its end afterwards, or replaces it, is found out by
// comparing (`lattice audit verify --server-url`).
//
// Messages on `lattice.audit.head` (tools/schema/audit-head.schema.json): the newest line's number and `h`, at most
// every `interval` when it moved and at the end, and each closed segment's digest with its signature and the node's
// public key. At least once: digests that were not flushed are sent again, also by the next process, which knows them
// from the state file `<audit>.heads`, names of digests that arrived, one a line.
//
// Moved() from any thread; the rest is the publisher's.
#ifndef USERSPACE_AUDIT_HEADS_H_
#define USERSPACE_AUDIT_HEADS_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/audit/file_system.h"
#include "userspace/audit/sink.h"
#include "userspace/base/clock.h"

namespace lattice::audit {

inline constexpr absl::string_view kHeadSubject = "lattice.audit.head";

// The newest line of the audit file.
struct Head {
  std::string boot;
  uint64_t seq = 0;  // 0: none known
  std::string h;
  absl::Time ts;
};

struct HeadOptions {
  std::string audit_path;
  std::string node;  // empty: no heads are sent
  std::string agent_id;
  std::string public_key;  // raw; empty: none
  absl::Duration interval = absl::Seconds(10);
};

std::string HeadsPath(absl::string_view audit_path);

class Heads {
 public:
  Heads(FileSystem& fs, const Clock& clock, HeadOptions options);

  void Moved(const Head& head) ABSL_LOCKS_EXCLUDED(mutex_);

  // Publishes what is due; with `stopping` whatever moved. Errors are the sink's.
  absl::Status HandOver(MessageSink& sink, bool stopping);
  size_t handed_over() const { return handed_over_; }
  void Flushed();
  void Failed();
  // The stream lost what it had.
  void SendAgain();

 private:
  absl::Status HandOverHead(MessageSink& sink);
  absl::Status HandOverDigests(MessageSink& sink);
  absl::Status HandOverDigest(MessageSink& sink, const std::string& name);
  void LoadSent();
  void StoreSent();

  FileSystem& fs_;
  const Clock& clock_;
  const HeadOptions options_;
  bool loaded_ = false;
  std::set<std::string> sent_;  // names of digests that arrived
  bool store_due_ = false;
  std::optional<int64_t> looked_ns_;
  std::string sent_head_;  // id
  // Handed over and not flushed.
  size_t handed_over_ = 0;
  std::string pending_head_;
  std::vector<std::string> pending_digests_;

  absl::Mutex mutex_;
  Head head_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_HEADS_H_
