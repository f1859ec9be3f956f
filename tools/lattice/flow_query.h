// The flags of the commands that ask the control plane for records, as a query string.
#ifndef TOOLS_LATTICE_FLOW_QUERY_H_
#define TOOLS_LATTICE_FLOW_QUERY_H_

#include <string>
#include <utility>
#include <vector>

#include "tools/lattice/args.h"

namespace lattice::cli {

class FlowQuery {
 public:
  enum class Range { kFromTo, kNone };
  // `from`: the default of --from.
  FlowQuery(Args& args, Range range, const std::string& from = "-1h");

  // After Args::Parse: "agentName=a&agentName=b&from=-1h"; empty without any. Commas in a value make several.
  std::string ToString() const;

 private:
  std::vector<std::pair<std::string, std::string*>> flags_;  // parameter, value
};

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_FLOW_QUERY_H_
