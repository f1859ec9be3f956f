#include "userspace/flow/names.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace lattice::flow {
namespace {

TEST(Names, EveryKernelReasonHasItsOwnNameAndIsFoundByIt) {
  std::set<std::string> names;
  for (int reason = 0; reason < LAT_REASON_COUNT; ++reason) {
    const auto name = std::string(ReasonName(static_cast<lat_reason>(reason)));
    EXPECT_NE(name, "unknown") << reason;
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_EQ(ParseReason(name), static_cast<Reason>(reason));
  }
}

TEST(Names, ReasonsAreTheirEnumeratorsInLowerCase) {
  EXPECT_EQ(ReasonName(LAT_REASON_ALLOW_RULE), "allow_rule");
  EXPECT_EQ(ReasonName(LAT_REASON_NO_RULE), "no_rule");
  EXPECT_EQ(ReasonName(LAT_REASON_FLOW_TABLE_FULL), "flow_table_full");
  EXPECT_EQ(ReasonName(LAT_REASON_FRAGMENT_OVERLAP), "fragment_overlap");
  EXPECT_EQ(ReasonName(LAT_REASON_INTERNAL), "internal");
}

TEST(Names, ANetworkFailureIsNoDenial) {
  for (int value = kFirstNetworkReason; value < kNetworkReasonEnd; ++value) {
    const auto reason = static_cast<Reason>(value);
    EXPECT_TRUE(IsNetworkFailure(reason)) << value;
    EXPECT_FALSE(IsDenial(reason)) << value;
    EXPECT_EQ(ParseReason(ReasonName(reason)), reason);
  }
}

TEST(Names, DenialsBeginAtDefaultDeny) {
  EXPECT_FALSE(IsDenial(FromKernelReason(LAT_REASON_UNTRACKED)));
  EXPECT_TRUE(IsDenial(FromKernelReason(LAT_REASON_NO_RULE)));
  EXPECT_TRUE(IsDenial(FromKernelReason(LAT_REASON_INTERNAL)));
  EXPECT_FALSE(IsNetworkFailure(FromKernelReason(LAT_REASON_NO_RULE)));
}

TEST(Names, EveryEndReasonIsFoundByItsName) {
  for (int reason = 0; reason < LAT_END_COUNT; ++reason) {
    const absl::string_view name = EndReasonName(static_cast<lat_end_reason>(reason));
    EXPECT_NE(name, "unknown") << reason;
    EXPECT_EQ(ParseEndReason(name), static_cast<EndReason>(reason));
  }
  EXPECT_EQ(ParseEndReason(EndReasonName(EndReason::kFailed)), EndReason::kFailed);
}

TEST(Names, TheSmallEnumsComeBack) {
  for (const Event event : {Event::kStart, Event::kUpdate, Event::kEnd, Event::kDenied, Event::kPolicy, Event::kLoss}) {
    EXPECT_EQ(ParseEvent(EventName(event)), event);
  }
  for (const lat_direction value : {LAT_EGRESS, LAT_INGRESS}) EXPECT_EQ(ParseDirection(DirectionName(value)), value);
  for (const lat_scope value : {LAT_SCOPE_IFACE, LAT_SCOPE_CGROUP}) EXPECT_EQ(ParseScope(ScopeName(value)), value);
  for (const lat_mode value : {LAT_MODE_ENFORCE, LAT_MODE_AUDIT}) EXPECT_EQ(ParseMode(ModeName(value)), value);
}

TEST(Names, AWouldBeDenialIsADropInAuditMode) {
  EXPECT_EQ(VerdictName(LAT_ALLOW), "allow");
  EXPECT_EQ(VerdictName(LAT_DENY), "drop");
  EXPECT_EQ(VerdictName(LAT_AUDIT), "drop");
  EXPECT_EQ(ParseVerdict("drop", LAT_MODE_AUDIT), LAT_AUDIT);
  EXPECT_EQ(ParseVerdict("drop", LAT_MODE_ENFORCE), LAT_DENY);
  EXPECT_EQ(ParseVerdict("allow", LAT_MODE_AUDIT), LAT_ALLOW);
  EXPECT_EQ(VerdictLabel(LAT_AUDIT), "audit");
  EXPECT_EQ(VerdictLabel(LAT_DENY), "deny");
}

TEST(Names, EveryProtocolNumberComesBack) {
  for (int protocol = 0; protocol < 256; ++protocol) {
    EXPECT_EQ(ParseProtocol(ProtocolName(static_cast<uint8_t>(protocol))), static_cast<uint8_t>(protocol)) << protocol;
  }
  EXPECT_EQ(ProtocolName(6), "tcp");
  EXPECT_EQ(ProtocolName(58), "icmpv6");
  EXPECT_EQ(ProtocolName(253), "253");
}

TEST(Names, WordsOfNoEnumAreNothing) {
  for (const char* word : {"", "unknown", "ALLOW", "no rule", "no_rule ", "256", "-1", "+6", "06", "6.0"}) {
    EXPECT_EQ(ParseReason(word), std::nullopt) << word;
    EXPECT_EQ(ParseEvent(word), std::nullopt) << word;
    EXPECT_EQ(ParseEndReason(word), std::nullopt) << word;
    EXPECT_EQ(ParseVerdict(word, LAT_MODE_AUDIT), std::nullopt) << word;
    EXPECT_EQ(ParseProtocol(word), std::nullopt) << word;
  }
}

TEST(Names, ANumberOutsideTheEnumIsUnknown) {
  EXPECT_EQ(ReasonName(static_cast<Reason>(63)), "unknown");
  EXPECT_EQ(ReasonName(static_cast<Reason>(kNetworkReasonEnd)), "unknown");
  EXPECT_EQ(EventName(static_cast<Event>(99)), "unknown");
}

}  // namespace
}  // namespace lattice::flow
