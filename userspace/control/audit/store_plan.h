// Which index a list query walks.
//
// A page is found by walking an index in the order of time and filtering. Of the filter's fields the one with
// the fewest rows should be the walked one; several values of it are walked one by one and merged, so that each
// walk ends after a page. Counting is bounded: above kCountLimit rows a value is "many", and a walk over it meets a
// page's rows soon enough; two values below it are looked up in both indexes. Used by store_query.cc; not thread-safe.
#ifndef USERSPACE_CONTROL_AUDIT_STORE_PLAN_H_
#define USERSPACE_CONTROL_AUDIT_STORE_PLAN_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "userspace/control/audit/flow_store.h"
#include "userspace/control/audit/store_filter.h"
#include "userspace/sql/connection.h"

namespace lattice::control {

// One walk of an index.
struct Walk {
  std::string index;   // empty: by time, over everything
  Fragment condition;  // empty text: none
};

// The walks whose union, with the rest of the filter, is the answer. At least one.
absl::StatusOr<std::vector<Walk>> PlanWalks(sql::Connection& connection, const FlowFilter& filter, absl::Time deadline);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_STORE_PLAN_H_
