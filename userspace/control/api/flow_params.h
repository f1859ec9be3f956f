// From the query string of the audit API to a query of the store.
//
// A parameter that is given several times is OR, a value with '!' in front is NOT, different parameters are AND.
// Strict: an unknown parameter, a word that no record can have and a time that is none are InvalidArgument naming the
// parameter and the value. Pure functions; any thread.
#ifndef USERSPACE_CONTROL_API_FLOW_PARAMS_H_
#define USERSPACE_CONTROL_API_FLOW_PARAMS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/control/audit/flow_store.h"

namespace lattice::control {

using QueryPairs = std::vector<std::pair<std::string, std::string>>;

enum class FlowFormat { kJson, kNdjson, kCsv };

struct FlowParams {
  FlowQuery query;
  bool limit_given = false;
  FlowFormat format = FlowFormat::kJson;
  bool format_given = false;  // else the Accept header decides
  // Of the calls beside the list.
  size_t buckets = 60;
  TopBy by = TopBy::kDestination;
  TopMetric metric = TopMetric::kBytes;
  std::string node;
  std::string boot;
};

// Which parameters a call takes.
enum class FlowCall {
  kList,
  kStream,
  kTimeline,
  kTop,
  kHints,
  kOverview,
  kAgents,
  kSources,
  kGaps,
  kDigests,
  kRejects
};

// `now_ns` is what "-1h" counts from.
absl::StatusOr<FlowParams> ParseFlowParams(FlowCall call, const QueryPairs& query, int64_t now_ns);

// The text of `nextCursor`, and back. A cursor is bound to nothing but its place: with another filter it goes on there.
std::string EncodeCursorText(const PageKey& key);
absl::StatusOr<PageKey> DecodeCursorText(absl::string_view text);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_API_FLOW_PARAMS_H_
