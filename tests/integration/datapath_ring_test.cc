// Records from the kernel to the reader: none is lost by a reader that dies, none by a full ring.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <set>
#include <tuple>

#include "tests/integration/datapath_fixture.h"
#include "userspace/datapath/jiffies.h"
#include "userspace/datapath/ring.h"

namespace lattice::datapath {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class DatapathRing : public DatapathTest {
 protected:
  void Start(uint32_t ring_bytes) {
    Options options = DefaultOptions();
    options.flow_ring_bytes = ring_bytes;
    auto datapath = Create(options, Allow({"198.51.100.0/24"}));
    ASSERT_TRUE(datapath.ok()) << datapath.status();
    datapath_ = *std::move(datapath);
    Open();
  }
  void Open() {
    auto ring = RingReader::OpenPinned(folder() + "/flow_ring");
    ASSERT_TRUE(ring.ok()) << ring.status();
    ring_ = *std::move(ring);
  }
  // The remote ports of the flows to 198.51.100.7 that wait in the ring, in their order.
  std::vector<int> Peek() {
    std::vector<int> ports;
    ring_->Peek([&](const lat_record& record) {
      if (record.remote[12] == 198 && record.event == LAT_EVENT_START) ports.push_back(record.remote_port);
      return true;
    });
    return ports;
  }

  std::unique_ptr<Datapath> datapath_;
  std::unique_ptr<RingReader> ring_;
};

TEST_F(DatapathRing, WhatIsNotCommittedComesAgainAfterAReopen) {
  Start(1 << 16);
  for (uint16_t port : {1, 2, 3}) EXPECT_TRUE(Crosses("198.51.100.7", port));
  EXPECT_THAT(Peek(), ::testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(Peek(), IsEmpty()) << "peeked once, not twice";
  EXPECT_GT(ring_->pending_bytes(), 0u);
  Open();  // a new daemon
  EXPECT_THAT(Peek(), ::testing::ElementsAre(1, 2, 3));
  ring_->Commit();
  EXPECT_EQ(ring_->pending_bytes(), 0u);
  EXPECT_TRUE(Crosses("198.51.100.7", 4));
  Open();
  EXPECT_THAT(Peek(), ::testing::ElementsAre(4));
  EXPECT_EQ(ring_->malformed(), 0u);
}

TEST_F(DatapathRing, RewindShowsTheBatchAgain) {
  Start(1 << 16);
  EXPECT_TRUE(Crosses("198.51.100.7", 1));
  EXPECT_THAT(Peek(), SizeIs(1));
  ring_->Rewind();
  EXPECT_THAT(Peek(), SizeIs(1));
}

TEST_F(DatapathRing, ARecordThatIsNotTakenStays) {
  Start(1 << 16);
  EXPECT_TRUE(Crosses("198.51.100.7", 1));
  EXPECT_TRUE(Crosses("198.51.100.7", 2));
  size_t shown = 0;
  EXPECT_EQ(ring_->Peek([&](const lat_record&) { return ++shown < 2; }), 1u);
  EXPECT_EQ(shown, 2u);
  ring_->Commit();
  const size_t left = ring_->Peek([](const lat_record&) { return true; });
  EXPECT_EQ(left, 3u) << "four records: two flows and their markers; one was taken";
}

TEST_F(DatapathRing, RecordsThatWrapAroundTheEndAreWhole) {
  Start(4096);  // 25 records
  for (int port = 1; port <= 60; ++port) {
    EXPECT_TRUE(Crosses("198.51.100.7", static_cast<uint16_t>(port)));
    EXPECT_THAT(Peek(), ::testing::ElementsAre(port));
    ring_->Commit();
  }
}

TEST_F(DatapathRing, AFullRingLosesNothingBecauseTheSweepTellsTheRest) {
  Start(4096);
  for (int port = 1; port <= 40; ++port) EXPECT_TRUE(Crosses("198.51.100.7", static_cast<uint16_t>(port)));
  std::vector<int> ports;
  bool more = true;
  int turns = 0;
  while (more && ++turns < 100) {
    for (int port : Peek()) ports.push_back(port);
    ring_->Commit();
    const auto sweep = datapath_->Sweep();
    ASSERT_TRUE(sweep.ok()) << sweep.status();
    more = sweep->more != 0 || ring_->pending_bytes() != 0;
  }
  EXPECT_GT(turns, 2) << "the ring was never full";
  EXPECT_THAT(ports, SizeIs(40));
  EXPECT_THAT(std::set<int>(ports.begin(), ports.end()), SizeIs(40)) << "each flow once";
  const auto stats = datapath_->ReadStats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_GT(stats->events[LAT_COUNT_FLOW_RING_FULL], 0u);
  // Two markers are one flow where the kernel gave their sockets the same port.
  uint64_t flows = 0;
  ASSERT_TRUE(datapath_->ForEachFlow([&](const lat_flow6_key&, const lat_flow&) { return ++flows > 0; }).ok());
  EXPECT_EQ(stats->flows4.entries, flows) << "as the sweep counted, markers included";
  EXPECT_GT(flows, 40u);
  EXPECT_EQ(stats->flows4.capacity, 1024u);
}

TEST_F(DatapathRing, EndingAllFlowsLeavesAnEndRecordOfEach) {
  Start(1 << 16);
  for (uint16_t port : {1, 2, 3}) EXPECT_TRUE(Crosses("198.51.100.7", port));
  const auto sweep = datapath_->Sweep(SweepKind::kEndAll);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  std::set<int> ended;
  ring_->Peek([&](const lat_record& record) {
    if (record.event == LAT_EVENT_END && record.remote[12] == 198) ended.insert(record.remote_port);
    return true;
  });
  EXPECT_THAT(ended, ::testing::ElementsAre(1, 2, 3));
  int flows = 0;
  ASSERT_TRUE(datapath_->ForEachFlow([&](const lat_flow6_key&, const lat_flow&) { return ++flows > 0; }).ok());
  EXPECT_EQ(flows, 0);
}

TEST_F(DatapathRing, TheMapWakesAnEpollOnceCommitted) {
  Start(1 << 16);
  EXPECT_TRUE(Crosses("198.51.100.7", 1));
  EXPECT_THAT(Peek(), SizeIs(1));
  ring_->Commit();
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN, .data = {}};
  ASSERT_EQ(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, ring_->fd(), &event), 0);
  EXPECT_EQ(epoll_wait(epoll.get(), &event, 1, 0), 0) << "nothing is there";
  EXPECT_TRUE(Crosses("198.51.100.7", 2));
  EXPECT_EQ(epoll_wait(epoll.get(), &event, 1, 10'000), 1);
}

TEST_F(DatapathRing, DeniedAttemptsHaveTheirOwnTableAndRing) {
  Start(1 << 16);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Crosses("203.0.113.7", 53));
  uint64_t packets = 0;
  ASSERT_TRUE(datapath_
                  ->ForEachDenied([&](const lat_denied_key& key, const lat_denied& denied) {
                    EXPECT_EQ(key.port, 53);
                    packets += denied.packets;
                    return true;
                  })
                  .ok());
  EXPECT_EQ(packets, 3u);
  const auto denied = RingReader::Open(datapath_->denied_ring_fd());
  ASSERT_TRUE(denied.ok()) << denied.status();
  uint64_t told = 0;
  (*denied)->Peek([&](const lat_record& record) {
    EXPECT_EQ(record.event, LAT_EVENT_DENIED);
    told += record.packets[LAT_EGRESS];
    return true;
  });
  EXPECT_EQ(told, 1u) << "the first at once, the rest after the interval";
}

TEST_F(DatapathRing, AMapThatIsNoRingIsRefused) {
  Start(1 << 16);
  EXPECT_TRUE(absl::IsFailedPrecondition(RingReader::OpenPinned(folder() + "/flows4").status()));
  EXPECT_TRUE(absl::IsNotFound(RingReader::OpenPinned(folder() + "/none").status()));
}

TEST_F(DatapathRing, TheKernelsTickIsWhatWeTellThePrograms) {
  Start(1 << 16);
  const auto first = datapath_->Sweep();
  ASSERT_TRUE(first.ok()) << first.status();
  absl::StatusOr<lat_sweep> last = first;
  while (last.ok() && last->now_jiffies < first->now_jiffies + 40) last = datapath_->Sweep();
  ASSERT_TRUE(last.ok()) << last.status();
  const double measured =
      static_cast<double>(last->now_ns - first->now_ns) / static_cast<double>(last->now_jiffies - first->now_jiffies);
  // One tick in forty; the values of HZ that exist differ by a sixth or more.
  EXPECT_NEAR(measured / static_cast<double>(NsPerJiffy().value()), 1.0, 0.08);
}

}  // namespace
}  // namespace lattice::datapath
