#include "absl/strings/str_cat.h"
#include "tests/unit/control/store_suite.h"

namespace lattice::control {
namespace {

const char* const kAddresses[] = {"10.0.0.1",    "10.0.0.255", "10.0.1.0",    "9.255.255.255", "192.0.2.7",
                                  "2001:db8::1", "2001:db8::", "2001:db9::1", "::a00:1",       "not an address"};

// The records of a flow carry growing totals; this is what the flow had at its last one.
struct Flow {
  FlowEvent last;
  bool ended = false;
};

}  // namespace

std::vector<FlowEvent> RandomEvents(std::mt19937_64& random, size_t count) {
  const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
  std::vector<Flow> flows;
  std::vector<FlowEvent> events;
  for (int64_t seq = 1; events.size() < count; ++seq) {
    FlowEvent event = Event(seq);
    const int64_t kind = below(10);
    if (kind < 5 && !flows.empty()) {
      Flow& flow = flows[static_cast<size_t>(below(static_cast<int64_t>(flows.size())))];
      if (flow.ended) continue;
      event = flow.last;
      event.seq = seq;
      event.event_id = absl::StrCat("n/b/", seq);
      event.event = kind == 0 ? "end" : "update";
      event.bytes_out += 1 + below(5'000);
      event.bytes_in += below(5'000);
      event.packets_out += 1 + below(5);
      event.packets_in += below(5);
      event.bytes = event.bytes_out + event.bytes_in;
      flow.ended = event.event == "end";
      event.ts_ns = kT0 + below(4 * 3600) * kSecond;
      flow.last = event;
      events.push_back(event);
      continue;
    }
    event.ts_ns = kT0 + below(4 * 3600) * kSecond;
    event.agent_id = absl::StrCat("agent", below(4));
    event.trace_id = below(3) == 0 ? "" : absl::StrCat("trace", below(5));
    event.direction = below(2) == 0 ? "egress" : "ingress";
    event.dst_ip = kAddresses[below(std::size(kAddresses))];
    event.src_ip = kAddresses[below(std::size(kAddresses))];
    event.dst_port = 440 + below(5);
    event.protocol = below(3) == 0 ? "udp" : below(2) == 0 ? "tcp" : "icmp";
    event.rule = absl::StrCat("rule", below(3));
    event.host = below(3) == 0 ? absl::StrCat("host", below(3), ".example") : "";
    event.flow_id = absl::StrCat("b-", seq);
    event.bytes_out = event.bytes = below(100) + 40;
    event.packets_out = 1;
    if (kind >= 8) {
      event.event = "denied";
      event.verdict = "drop";
      event.reason = below(2) == 0 ? "no_rule" : "deny_rule";
      event.rule = "";
    } else {
      flows.push_back({event});
    }
    events.push_back(event);
  }
  return events;
}

}  // namespace lattice::control
