// The flags of the commands that ask the control plane for records, as a query string.
#ifndef TOOLS_LATTICE_FLOW_QUERY_H_
#define TOOLS_LATTICE_FLOW_QUERY_H_

#include <string>
#include <vector>

#include "tools/lattice/args.h"

namespace lattice::cli {

class FlowQuery {
 public:
  // kSummary: a range, and the filters that sums can be asked with.
  enum class Range { kFromTo, kNone, kSummary };
  // `from`: the default of --from.
  FlowQuery(Args& args, Range range, const std::string& from = "-1h");

  // After Args::Parse: "agentName=a&agentName=b&from=-1h"; empty without any. Commas in a value make several.
  std::string ToString() const;
  // On stderr, so that an empty answer is not taken for one about everything: "no record fits --from=-1h --agent=a".
  void PrintNothingFits() const;

 private:
  struct Flag {
    std::string name;
    std::string parameter;
    std::string* value;
  };
  std::vector<Flag> flags_;
};

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_FLOW_QUERY_H_
