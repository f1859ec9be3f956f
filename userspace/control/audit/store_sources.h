// la_flow_sources and la_flow_gaps: what has come of each boot of each node. See store_gaps.h for the rules.
// Used within one transaction that holds the locks of the nodes; not thread-safe.
#ifndef USERSPACE_CONTROL_AUDIT_STORE_SOURCES_H_
#define USERSPACE_CONTROL_AUDIT_STORE_SOURCES_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "userspace/control/audit/flow_event.h"
#include "userspace/sql/connection.h"

namespace lattice::control {

class SourceChanges {
 public:
  // An event that was really stored.
  void Add(const FlowEvent& event);
  absl::Status Write(sql::Connection& connection, int64_t now_ns, absl::Time deadline) const;

 private:
  struct Loss {
    int64_t first, last, count;
    std::string event_id;
  };
  struct Change {
    std::string agent_id;
    int64_t last_ts_ns = INT64_MIN;
    int64_t stored = 0;
    std::vector<int64_t> seqs;
    std::vector<Loss> losses;
  };
  using Key = std::pair<std::string, std::string>;  // node, boot

  static absl::Status WriteOne(sql::Connection& connection, const Key& key, const Change& change, int64_t now_ns,
                               absl::Time deadline);

  Change& Of(const std::string& node, const std::string& boot);

  std::map<Key, Change> changes_;
  std::pair<const Key, Change>* last_ = nullptr;  // of changes_: the next event is mostly of the same boot
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_STORE_SOURCES_H_
