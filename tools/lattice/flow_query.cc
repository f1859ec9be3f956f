#include "tools/lattice/flow_query.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "userspace/http/client.h"

namespace lattice::cli {

FlowQuery::FlowQuery(Args& args, Range range, const std::string& from) {
  const auto add = [&](const char* flag, const char* parameter, const char* placeholder, const char* help,
                       const std::string& value = "") {
    flags_.push_back({flag, parameter, &args.Text(flag, value, placeholder, help)});
  };
  if (range != Range::kNone) {
    add("from", "from", "TIME", "Records from then on: RFC 3339, or before now like -30m, -1h, -7d.", from);
    add("to", "to", "TIME", "Records before then.");
  }
  add("agent", "agentName", "NAME", "Agent. Here and below: commas mean any of them, ! in front means not that one.");
  add("verdict", "verdict", "WORD", "allow or drop.");
  add("protocol", "protocol", "NAME", "tcp, udp, icmp, …");
  add("port", "port", "PORT", "Destination port.");
  add("dst", "dst", "CIDR", "Destination address or range.");
  if (range == Range::kSummary) return;
  add("src", "src", "CIDR", "Source address or range.");
  add("direction", "direction", "WORD", "egress or ingress.");
  add("event", "event", "WORD", "start, update, end, denied, policy or loss.");
  add("reason", "reason", "WORD", "Why it has its verdict, as in no_rule.");
  add("rule", "rule", "RULE", "Rule that decided.");
  add("host", "host", "NAME", "Name that was asked for.");
  add("node", "node", "NAME", "Recorder.");
  add("trace-id", "traceId", "ID", "Trace.");
}

std::string FlowQuery::ToString() const {
  std::string query;
  for (const Flag& flag : flags_) {
    for (absl::string_view value : absl::StrSplit(*flag.value, ',', absl::SkipEmpty())) {
      absl::StrAppend(&query, query.empty() ? "" : "&", flag.parameter, "=", http::EscapeQuery(value));
    }
  }
  return query;
}

void FlowQuery::PrintNothingFits() const {
  std::string given;
  for (const Flag& flag : flags_) {
    if (!flag.value->empty()) absl::StrAppend(&given, " --", flag.name, "=", *flag.value);
  }
  absl::FPrintF(stderr, "lattice: no record fits%s\n", given);
}

}  // namespace lattice::cli
