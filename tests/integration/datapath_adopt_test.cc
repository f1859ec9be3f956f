// A restart takes over what the last daemon left in the kernel, or refuses it with a remedy.
#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/integration/datapath_fixture.h"
#include "tests/testing/netns.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/pins.h"
#include "userspace/datapath/probe.h"

namespace lattice::datapath {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using DatapathAdopt = DatapathTest;

std::vector<uint16_t> FlowPorts(const Datapath& datapath) {
  std::vector<uint16_t> ports;
  const absl::Status status = datapath.ForEachFlow([&](const lat_flow6_key& key, const lat_flow&) {
    ports.push_back(key.remote_port);
    return true;
  });
  EXPECT_TRUE(status.ok()) << status;
  return ports;
}

TEST_F(DatapathAdopt, ARestartKeepsMapsFlowsAndCountersAndReplacesTheProgram) {
  const policy::RuleSet rules = Allow({"198.51.100.0/24:53/udp"});
  auto first = Create(DefaultOptions(), rules);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_FALSE((*first)->adopted());
  EXPECT_TRUE(Crosses("198.51.100.7", 53));
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
  (*first)->set_next_seq(4711);
  const Receipt receipt = (*first)->receipt();
  const std::vector<uint32_t> chain = Chain();
  ASSERT_THAT(chain, SizeIs(1));
  std::vector<uint32_t> ids;
  for (const char* map : {"flows4", "flows6", "denied", "rules", "flow_ring", "info"}) {
    ids.push_back(PinnedMapId(folder(), map));
    EXPECT_NE(ids.back(), 0u) << map;
  }
  first->reset();  // what kill -9 does, as far as the kernel is concerned

  EXPECT_FALSE(Crosses("203.0.113.7", 53)) << "the pins go on enforcing";
  const auto second = Create(DefaultOptions(), rules);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE((*second)->adopted());
  for (const char* map : {"info", "flow_ring", "rules", "denied", "flows6", "flows4"}) {
    EXPECT_EQ(PinnedMapId(folder(), map), ids.back()) << map;
    ids.pop_back();
  }
  ASSERT_THAT(Chain(), SizeIs(1)) << "one program, not two";
  EXPECT_NE(Chain()[0], chain[0]) << "the new one";
  EXPECT_THAT(FlowPorts(**second), Contains(53));
  EXPECT_EQ((*second)->next_seq(), 4711u);
  EXPECT_EQ((*second)->receipt().generation, receipt.generation + 1);
  EXPECT_EQ((*second)->receipt().hash, receipt.hash);
  EXPECT_EQ(Denied(**second, 53), 2u) << "of both daemons";
  const auto stats = (*second)->ReadStats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_GE(stats->hooks[LAT_HOOK_TC_EGRESS].verdict[LAT_DENY].packets, 2u);
}

TEST_F(DatapathAdopt, RulesKeepTheirSlotsAndHitsOverARestart) {
  policy::RuleSet rules = Allow({});
  rules.egress.push_back(NamedRule("198.51.100.0/24:53/udp", "dns"));
  auto datapath = Create(DefaultOptions(), rules);
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_TRUE(Crosses("198.51.100.7", 53));
  datapath->reset();
  std::swap(rules.egress[0], rules.egress[1]);
  datapath = Create(DefaultOptions(), rules);
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  const auto stats = (*datapath)->ReadStats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->rules[0].name, "dns");
  EXPECT_EQ(stats->rules[0].text, "198.51.100.0/24:53/udp");
  EXPECT_EQ(stats->rules[0].hits, 1u);
  EXPECT_EQ((*datapath)->RuleName(2, (*datapath)->receipt().generation), "dns") << "second slot, as at first";
}

TEST_F(DatapathAdopt, NewProgramsTakeNewOptions) {
  auto datapath = Create(DefaultOptions(), Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  datapath->reset();
  Options options = DefaultOptions();
  options.mode = LAT_MODE_AUDIT;
  options.flow_idle_timeout = absl::Seconds(7);
  datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_EQ((*datapath)->info().mode, LAT_MODE_AUDIT);
  EXPECT_TRUE(Crosses("203.0.113.7", 53));
}

TEST_F(DatapathAdopt, ATakeoverThatFailsLeavesPolicyAndMode) {
  ASSERT_TRUE(Create(DefaultOptions(), Allow({})).ok());
  Options options = DefaultOptions();
  options.mode = LAT_MODE_AUDIT;
  options.policy_memory_bytes = 4096;
  const auto datapath = Create(options, Allow({"0.0.0.0/0"}));
  EXPECT_TRUE(absl::IsInternal(datapath.status())) << datapath.status();
  EXPECT_THAT(std::string(datapath.status().message()), HasSubstr("the policy before stays"));
  EXPECT_EQ(ReadPinnedInfo(folder()).value().mode, LAT_MODE_ENFORCE);
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
  // Where a hook can't be exchanged.
  ASSERT_TRUE(RemovePin(folder() + "/link_tc_ingress").ok());
  ASSERT_EQ(mkdir((folder() + "/link_tc_ingress").c_str(), 0700), 0);
  options.policy_memory_bytes = DefaultOptions().policy_memory_bytes;
  EXPECT_FALSE(Create(options, Allow({"0.0.0.0/0"})).ok());
  EXPECT_EQ(ReadPinnedInfo(folder()).value().mode, LAT_MODE_ENFORCE);
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
  ASSERT_EQ(rmdir((folder() + "/link_tc_ingress").c_str()), 0);
}

TEST_F(DatapathAdopt, AnotherLayoutVersionIsRefusedWithTheRemedyAndGoesOnEnforcing) {
  ASSERT_TRUE(Create(DefaultOptions(), Allow({})).ok());
  const auto pin = OpenPin(folder() + "/info");
  ASSERT_TRUE(pin.ok()) << pin.status();
  lat_info info = ReadPinnedInfo(folder()).value();
  EXPECT_EQ(info.abi_version, static_cast<lat_u32>(LATTICE_ABI_VERSION));
  info.abi_version = LATTICE_ABI_VERSION + 1;
  const uint32_t key = 0;
  ASSERT_EQ(bpf_map_update_elem(pin->get(), &key, &info, BPF_ANY), 0);

  const auto datapath = Create(DefaultOptions(), Allow({"0.0.0.0/0"}));
  EXPECT_TRUE(absl::IsFailedPrecondition(datapath.status())) << datapath.status();
  EXPECT_THAT(std::string(datapath.status().message()),
              AllOf(HasSubstr(folder()), HasSubstr("lattice dp detach --iface lat0"), HasSubstr("version 2")));
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
}

TEST_F(DatapathAdopt, AnotherTableSizeIsRefusedByMapAndSizes) {
  ASSERT_TRUE(Create(DefaultOptions(), Allow({})).ok());
  Options options = DefaultOptions();
  options.max_flows = 2048;
  const auto datapath = Create(options, Allow({"0.0.0.0/0"}));
  EXPECT_TRUE(absl::IsFailedPrecondition(datapath.status())) << datapath.status();
  EXPECT_THAT(std::string(datapath.status().message()),
              AllOf(HasSubstr("flows4"), HasSubstr("1024"), HasSubstr("2048"), HasSubstr("lattice dp detach")));
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
}

TEST_F(DatapathAdopt, WhatAnInterruptedFirstStartLeftIsRemoved) {
  ASSERT_EQ(mkdir(folder().c_str(), 0700), 0);
  const UniqueFd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "leftover", 4, 4, 1, nullptr));
  ASSERT_EQ(bpf_obj_pin(map.get(), (folder() + "/flows4").c_str()), 0);
  const auto datapath = Create(DefaultOptions(), Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_FALSE((*datapath)->adopted());
}

// What a SIGKILL leaves between the pinning of `info` and the first policy.
TEST_F(DatapathAdopt, PinsThatNeverHadAPolicyAreRemovedWhateverTheirSize) {
  ASSERT_TRUE(Create(DefaultOptions(), Allow({})).ok());
  for (const char* link : {"/link_tc_egress", "/link_tc_ingress"}) ASSERT_TRUE(RemoveLink(folder() + link).ok());
  const auto pin = OpenPin(folder() + "/info");
  ASSERT_TRUE(pin.ok()) << pin.status();
  lat_info info = ReadPinnedInfo(folder()).value();
  EXPECT_EQ(info.max_flows, DefaultOptions().max_flows);
  info.generation = 0;
  const uint32_t key = 0;
  ASSERT_EQ(bpf_map_update_elem(pin->get(), &key, &info, BPF_ANY), 0);
  Options options = DefaultOptions();
  options.max_flows = 2048;
  Inside([&] {
    for (const Check& check : Probe(options)) EXPECT_TRUE(check.ok || !check.fatal) << check.name << check.detail;
  });
  const auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_FALSE((*datapath)->adopted());
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
}

TEST_F(DatapathAdopt, PinsThatLackAMapAreRefused) {
  ASSERT_TRUE(Create(DefaultOptions(), Allow({})).ok());
  ASSERT_TRUE(RemovePin(folder() + "/denied").ok());
  const auto datapath = Create(DefaultOptions(), Allow({}));
  EXPECT_TRUE(absl::IsFailedPrecondition(datapath.status())) << datapath.status();
  EXPECT_THAT(std::string(datapath.status().message()), AllOf(HasSubstr("denied"), HasSubstr("lattice dp detach")));
}

TEST_F(DatapathAdopt, EveryMapIsPinnedUnderItsName) {
  ASSERT_TRUE(Create(DefaultOptions(), Allow({})).ok());
  const std::vector<std::string> pins = ListPins(folder()).value();
  for (const char* name :
       {"denied",     "denied_ring",  "events",    "flow_ring", "flows4",         "flows6",         "fragments",
        "hook_stats", "info",         "lpm4",      "lpm6",      "map_errors",     "policy",         "policy_more",
        "audited",    "reason_stats", "rule_hits", "rules",     "link_tc_egress", "link_tc_ingress"}) {
    EXPECT_THAT(pins, Contains(name));
  }
}

}  // namespace
}  // namespace lattice::datapath
