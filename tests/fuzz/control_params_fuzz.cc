// Query strings of the audit API: any text is a query within its bounds, or InvalidArgument. A cursor that is taken
// says the same when it is written again.
#include <cstdint>
#include <string>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "userspace/base/ip.h"
#include "userspace/control/api/flow_params.h"

namespace lattice::control {
namespace {

constexpr int64_t kNow = 1'770'000'000'000'000'000;

void CheckParams(const FlowParams& params) {
  CHECK(params.query.limit >= 1 && params.query.limit <= 1000);
  CHECK(params.buckets >= 1 && params.buckets <= 500);
  const FlowFilter& filter = params.query.filter;
  for (const auto& time : {filter.from_ns, filter.to_ns}) CHECK(!time.has_value() || *time >= 0);
  if (filter.from_ns.has_value() && filter.to_ns.has_value()) CHECK_LE(*filter.from_ns, *filter.to_ns);
  for (const auto* networks : {&filter.destinations, &filter.sources}) {
    for (const Network& network : *networks) CHECK(IpPrefix::Parse(network.cidr).ok()) << network.cidr;
  }
}

void CheckCursor(absl::string_view text) {
  const auto key = DecodeCursorText(text);
  if (!key.ok()) {
    CHECK(absl::IsInvalidArgument(key.status())) << key.status();
    return;
  }
  CHECK(key->ts_ns >= 0 && !key->id.empty());
  const std::string written = EncodeCursorText(*key);
  const auto again = DecodeCursorText(written);
  // Written in full, the number of a cursor at the limit of length may have become longer.
  CHECK(again.ok() || written.size() > 256) << again.status();
  if (again.ok()) CHECK(again->ts_ns == key->ts_ns && again->id == key->id);
}

}  // namespace

// The first byte chooses the call, the rest is its query string.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto call = static_cast<FlowCall>(data[0] % (static_cast<int>(FlowCall::kRejects) + 1));
  const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  QueryPairs query;
  for (const absl::string_view pair : absl::StrSplit(text, '&')) {
    const std::pair<absl::string_view, absl::string_view> split = absl::StrSplit(pair, absl::MaxSplits('=', 1));
    query.emplace_back(split.first, split.second);
  }
  const auto params = ParseFlowParams(call, query, kNow);
  if (params.ok()) {
    CheckParams(*params);
  } else {
    CHECK(absl::IsInvalidArgument(params.status())) << params.status();
  }
  CheckCursor(text);
  return 0;
}

}  // namespace lattice::control
