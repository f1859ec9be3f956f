// A FlowFilter as the condition of a statement. Values become parameters, never text. Not thread-safe.
#ifndef USERSPACE_CONTROL_AUDIT_STORE_FILTER_H_
#define USERSPACE_CONTROL_AUDIT_STORE_FILTER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/control/audit/flow_store.h"
#include "userspace/sql/value.h"

namespace lattice::control {

// A value that owns its text.
struct OwnedValue {
  OwnedValue(int64_t value) : number(value) {}                              // NOLINT: implicit
  OwnedValue(std::string value) : is_text(true), text(std::move(value)) {}  // NOLINT: implicit

  bool is_text = false;
  int64_t number = 0;
  std::string text;
};
std::vector<sql::Param> ToParams(const std::vector<OwnedValue>& values);

// Text with `?` and its values, in order.
struct Fragment {
  std::string text;
  std::vector<OwnedValue> values;

  void Append(absl::string_view more) { text.append(more.data(), more.size()); }
  void Append(const Fragment& more) {
    text += more.text;
    values.insert(values.end(), more.values.begin(), more.values.end());
  }
};

// Conditions joined by AND.
class Conditions {
 public:
  void Add(Fragment condition) { conditions_.push_back(std::move(condition)); }
  void Add(absl::string_view text, std::vector<OwnedValue> values = {}) {
    conditions_.push_back({std::string(text), std::move(values)});
  }
  // " WHERE a AND b"; empty without conditions.
  Fragment Where() const;

 private:
  std::vector<Fragment> conditions_;
};

// Which column a field of the filter is.
struct TextField {
  const char* column;
  std::vector<Term> FlowFilter::*terms;
};
inline constexpr TextField kTextFields[] = {
    {"agent_id", &FlowFilter::agents},    {"verdict", &FlowFilter::verdicts}, {"direction", &FlowFilter::directions},
    {"protocol", &FlowFilter::protocols}, {"rule", &FlowFilter::rules},       {"trace_id", &FlowFilter::trace_ids},
    {"event", &FlowFilter::events},       {"host", &FlowFilter::hosts},       {"node", &FlowFilter::nodes},
    {"reason", &FlowFilter::reasons},
};

// Everything but the time. InvalidArgument: a port or a network that is none.
absl::Status AddTerms(const FlowFilter& filter, Conditions& conditions);

// The positive values of `terms`, each once.
std::vector<std::string> PositiveValues(const std::vector<Term>& terms);
absl::StatusOr<int64_t> PortOf(const Term& term);
// InvalidArgument if it is no network.
absl::StatusOr<std::pair<std::string, std::string>> KeysOf(const Network& network);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_STORE_FILTER_H_
