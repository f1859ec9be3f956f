// The small words of flags and records: durations, sizes, addresses, identifiers, enums. Any
// text is refused, or has a value that prints to a text of the same value.
#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "userspace/base/ip.h"
#include "userspace/base/units.h"
#include "userspace/dp/options.h"
#include "userspace/dp/seccomp.h"
#include "userspace/flow/names.h"
#include "userspace/flow/record.h"

namespace {

using lattice::IpAddress;
using lattice::IpPrefix;
namespace dp = lattice::dp;
namespace flow = lattice::flow;

void CheckUnits(absl::string_view text) {
  if (const auto duration = lattice::ParseDuration(text); duration.ok()) {
    CHECK(*duration >= absl::ZeroDuration() && *duration < absl::InfiniteDuration());
    CHECK(text.find_first_of("+- ") == absl::string_view::npos) << text;
    const std::string printed = *duration == absl::ZeroDuration() ? "0s" : lattice::PrintDuration(*duration);
    const auto again = lattice::ParseDuration(printed);
    CHECK(again.ok()) << again.status();
    CHECK_EQ(*again, *duration) << text;
  } else {
    CHECK(absl::StrContains(duration.status().message(), text));
  }
  if (const auto size = lattice::ParseSize(text); size.ok()) {
    const auto again = lattice::ParseSize(lattice::PrintSize(*size));
    CHECK(again.ok()) << again.status();
    CHECK_EQ(*again, *size) << text;
  }
}

void CheckAddresses(absl::string_view text) {
  if (const auto address = IpAddress::Parse(text); address.ok()) {
    CHECK(IpAddress::Parse(address->ToString()).value() == *address) << address->ToString();
  }
  bool had_host_bits = false;
  if (const auto prefix = IpPrefix::Parse(text, &had_host_bits); prefix.ok()) {
    CHECK(prefix->Contains(prefix->address())) << prefix->ToString();
    CHECK(IpPrefix::Parse(prefix->ToString(), &had_host_bits).value() == *prefix) << prefix->ToString();
    CHECK(!had_host_bits) << prefix->ToString();
  }
}

void CheckIdentifiers(absl::string_view text) {
  std::string node, boot;
  uint64_t seq = 0;
  if (flow::ParseEventId(text, &node, &boot, &seq)) {
    CHECK(!absl::StrContains(boot, '/'));
    const std::string id = flow::EventId(node, boot, seq);
    std::string same_node, same_boot;
    uint64_t same_seq = 0;
    CHECK(flow::ParseEventId(id, &same_node, &same_boot, &same_seq)) << id;
    CHECK(same_node == node && same_boot == boot && same_seq == seq) << id;
  }
  flow::FlowRecord record;
  if (flow::ParseFlowId(text, &record.start_monotonic_ns)) {
    uint64_t start = 0;
    CHECK(flow::ParseFlowId(flow::FlowId(record), &start)) << flow::FlowId(record);
    CHECK_EQ(start, record.start_monotonic_ns);
  }
}

void CheckWords(absl::string_view text) {
  if (const auto reason = flow::ParseReason(text)) CHECK_EQ(flow::ReasonName(*reason), text);
  if (const auto reason = flow::ParseEndReason(text)) CHECK_EQ(flow::EndReasonName(*reason), text);
  if (const auto event = flow::ParseEvent(text)) CHECK_EQ(flow::EventName(*event), text);
  if (const auto direction = flow::ParseDirection(text)) CHECK_EQ(flow::DirectionName(*direction), text);
  if (const auto scope = flow::ParseScope(text)) CHECK_EQ(flow::ScopeName(*scope), text);
  if (const auto mode = flow::ParseMode(text)) CHECK_EQ(flow::ModeName(*mode), text);
  for (const lat_mode mode : {LAT_MODE_ENFORCE, LAT_MODE_AUDIT}) {
    if (const auto verdict = flow::ParseVerdict(text, mode)) CHECK_EQ(flow::VerdictName(*verdict), text);
  }
  if (const auto protocol = flow::ParseProtocol(text)) {
    CHECK(flow::ParseProtocol(flow::ProtocolName(*protocol)) == protocol) << text;
  }
  const auto seccomp = dp::ParseSeccompMode(text);
  CHECK(seccomp.ok() || absl::IsInvalidArgument(seccomp.status()));
  if (dp::CheckInterfaceName(std::string(text)).ok()) {
    CHECK(text.find_first_of(absl::string_view("/ \0\n", 4)) == absl::string_view::npos) << text;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  CheckUnits(text);
  CheckAddresses(text);
  CheckIdentifiers(text);
  CheckWords(text);
  return 0;
}
