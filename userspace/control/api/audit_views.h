// The audit API's answers as JSON: the `data` of the envelope. Pure functions; any thread.
#ifndef USERSPACE_CONTROL_API_AUDIT_VIEWS_H_
#define USERSPACE_CONTROL_API_AUDIT_VIEWS_H_

#include <string>
#include <vector>

#include "userspace/control/audit/flow_store.h"

namespace lattice::control {

std::string FlowPageJson(const FlowPage& page, const Completeness& completeness);
std::string TimelineJson(const std::vector<TimelinePoint>& points, int64_t bucket_seconds);
std::string TopJson(const std::vector<TopEntry>& entries);
std::string HintsJson(const std::vector<Hint>& hints);
std::string SourcesJson(const std::vector<Source>& sources);
std::string GapsJson(const std::vector<Gap>& gaps);
std::string DigestsJson(const std::vector<AuditHead>& digests);
std::string RejectsJson(const std::vector<Reject>& rejects);

struct Overview {
  std::vector<TimelinePoint> timeline;
  int64_t bucket_seconds = 0;
  double per_second = 0;  // flows and denied attempts of the last whole minute
  std::vector<TopEntry> top_destinations;
  std::vector<TopEntry> top_denied;
  std::vector<AgentSummary> agents;
  Completeness completeness;
};
std::string OverviewJson(const Overview& overview);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_API_AUDIT_VIEWS_H_
