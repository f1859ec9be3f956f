// The parts by themselves: ranges, chunks, timers, queues, TIME_WAIT, sequence numbers.
#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>

#include "gtest/gtest.h"
#include "tests/testing/seed.h"
#include "userspace/netstack/chunk_store.h"
#include "userspace/netstack/packet_queue.h"
#include "userspace/netstack/range_set.h"
#include "userspace/netstack/sequence.h"
#include "userspace/netstack/time_wait.h"
#include "userspace/netstack/timer_heap.h"

namespace lattice::netstack {
namespace {

TEST(SequenceNumbers, ExpandToTheNearest) {
  const Sequence reference = (uint64_t{5} << 32) + 10;
  EXPECT_EQ(Expand(20, reference), reference + 10);
  EXPECT_EQ(Expand(0xfffffff0, reference), reference - 26);
  EXPECT_EQ(Expand(10 + 0x7fffffffu, reference), reference + 0x7fffffff);
  EXPECT_EQ(Wire(reference), 10u);
}

TEST(RangeSets, AgreeWithASetOfNumbers) {
  std::mt19937_64 random(testing::TestSeed());
  for (int round = 0; round < 200; ++round) {
    RangeSet ranges(1000);
    std::set<Sequence> numbers;
    for (int i = 0; i < 60; ++i) {
      const Sequence start = 100 + random() % 200, end = start + 1 + random() % 12;
      ASSERT_TRUE(ranges.Add({start, end}));
      for (Sequence s = start; s < end; ++s) numbers.insert(s);
      if (i % 20 == 19) {
        Sequence front = 100 + random() % 60;
        Sequence want = front;
        numbers.erase(numbers.begin(), numbers.lower_bound(front));
        while (numbers.erase(want) == 1) ++want;
        EXPECT_EQ(ranges.PopFront(front), want);
      }
    }
    std::set<Sequence> got;
    Sequence last = 0;
    for (const Range& r : ranges.ranges()) {
      EXPECT_GT(r.start, last) << "they touch";
      last = r.end;
      for (Sequence s = r.start; s < r.end; ++s) got.insert(s);
    }
    EXPECT_EQ(got, numbers);
  }
}

TEST(RangeSets, RefuseOneTooMany) {
  RangeSet ranges(2);
  EXPECT_TRUE(ranges.Add({10, 11}));
  EXPECT_TRUE(ranges.Add({20, 21}));
  EXPECT_FALSE(ranges.Add({30, 31}));
  EXPECT_TRUE(ranges.Add({11, 20})) << "one that joins two";
  EXPECT_EQ(ranges.ranges().size(), 1u);
}

TEST(Chunks, HoldBytesInAnyOrderAndGiveMemoryBack) {
  std::mt19937_64 random(testing::TestSeed());
  ChunkPool pool(1 << 20);
  ChunkStore store(pool);
  Sequence base = kChunkBytes * 5 + 77;
  for (int round = 0; round < 50; ++round) {
    const size_t length = 1 + random() % 100'000;
    std::vector<uint8_t> bytes(length);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
    std::vector<size_t> starts;
    for (size_t at = 0; at < length; at += 1000) starts.push_back(at);
    std::shuffle(starts.begin(), starts.end(), random);
    for (const size_t at : starts) {
      ASSERT_TRUE(store.Write(base + at, {&bytes[at], std::min<size_t>(1000, length - at)}));
    }
    iovec pieces[16];
    std::vector<uint8_t> got;
    const size_t count = store.Readable(base, base + length, absl::MakeSpan(pieces));
    for (size_t i = 0; i < count; ++i) {
      const auto* data = static_cast<const uint8_t*>(pieces[i].iov_base);
      got.insert(got.end(), data, data + pieces[i].iov_len);
    }
    ASSERT_EQ(got, bytes);
    base += length;
    store.ReleaseBelow(base);
    EXPECT_LE(pool.used_bytes(), kChunkBytes);
  }
  store.Clear();
  EXPECT_EQ(pool.used_bytes(), 0u);
}

TEST(Chunks, BudgetIsHard) {
  ChunkPool pool(3 * kChunkBytes);
  ChunkStore store(pool);
  iovec pieces[8];
  EXPECT_EQ(store.Writable(0, 8 * kChunkBytes, absl::MakeSpan(pieces)), 3u);
  EXPECT_FALSE(store.Write(4 * kChunkBytes, std::vector<uint8_t>(10)));
  store.ReleaseFrom(1);
  EXPECT_EQ(pool.used_bytes(), kChunkBytes);
}

TEST(Timers, FireInOrderWhateverIsSetAndCancelled) {
  struct Node : TimerNode {
    void OnTimer() override {}
  };
  std::mt19937_64 random(testing::TestSeed());
  TimerHeap heap;
  std::vector<Node> nodes(100);
  std::map<TimerNode*, int64_t> want;
  for (int i = 0; i < 5000; ++i) {
    Node& node = nodes[random() % nodes.size()];
    const auto at = static_cast<int64_t>(random() % 10'000);
    if (random() % 4 == 0) {
      heap.Cancel(node);
      want.erase(&node);
    } else {
      heap.Set(node, at);
      want[&node] = at;
    }
    EXPECT_EQ(heap.size(), want.size());
  }
  int64_t last = 0;
  while (TimerNode* node = heap.Pop(20'000)) {
    EXPECT_GE(want[node], last);
    last = want[node];
    want.erase(node);
  }
  EXPECT_TRUE(want.empty());
}

TEST(PacketQueues, KeepRecordsWholeAndInOrder) {
  std::mt19937_64 random(testing::TestSeed());
  PacketQueue queue(1000);
  std::deque<std::vector<uint8_t>> want;
  for (int i = 0; i < 20'000; ++i) {
    if (random() % 2 == 0) {
      std::vector<uint8_t> record(random() % 200);
      for (uint8_t& b : record) b = static_cast<uint8_t>(random());
      if (uint8_t* place = queue.Push(record.size()); place != nullptr) {
        std::copy(record.begin(), record.end(), place);
        want.push_back(record);
      }
    } else if (!queue.empty()) {
      const absl::Span<const uint8_t> front = queue.Front();
      ASSERT_EQ(std::vector<uint8_t>(front.begin(), front.end()), want.front());
      queue.Pop();
      want.pop_front();
    }
    ASSERT_EQ(queue.records(), want.size());
  }
  EXPECT_EQ(PacketQueue(100).Push(200), nullptr);
}

TEST(TimeWaits, FindExpireAndRecycle) {
  TimeWaitTable table(100, 60 * kSecond);
  int64_t now = kSecond;
  const auto entry = [](uint16_t port) {
    TimeWaitTable::Entry e;
    e.flow.local_port = port;
    e.snd_nxt = port;
    return e;
  };
  for (uint16_t port = 1; port <= 150; ++port) {
    EXPECT_EQ(table.Add(entry(port), now), port > 100);
    now += kMillisecond;
  }
  EXPECT_EQ(table.size(), 100u);
  EXPECT_EQ(table.Find(entry(50).flow), nullptr) << "the oldest went";
  ASSERT_NE(table.Find(entry(51).flow), nullptr);
  EXPECT_EQ(table.Find(entry(99).flow)->snd_nxt, 99u);
  table.Remove(entry(60).flow);
  EXPECT_EQ(table.Find(entry(60).flow), nullptr);
  table.Restart(entry(51).flow, now + 30 * kSecond);
  table.Expire(now + 61 * kSecond);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_NE(table.Find(entry(51).flow), nullptr);
  table.Expire(now + 91 * kSecond);
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.NextDeadline(now), kNever);
}

}  // namespace
}  // namespace lattice::netstack
