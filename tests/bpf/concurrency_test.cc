// Two CPUs, the sweep and the publisher at once: every packet is in exactly one record
// or in a counted loss, and none is judged by a mix of two policies.
#include <bpf/bpf.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "tests/bpf/fixture.h"

namespace lattice::testing {
namespace {

// Entries live for a jiffy or two, so that packets, restarts and the sweep meet on them all the time.
BpfRunOptions ShortLived() {
  BpfRunOptions options;
  options.config.idle_jiffies = 1;
  options.config.tcp_idle_jiffies = 1;
  options.config.linger_jiffies = 1;
  options.config.active_jiffies = 1;
  options.config.denied_jiffies = 1;
  options.config.margin_jiffies = 5;
  options.config.table_full_allow = 1;  // so that only policies deny
  options.flow_ring_bytes = 1 << 24;
  options.denied_ring_bytes = 1 << 24;
  return options;
}

// Runs the program on the frame `runs` times; answers its last return code.
uint32_t RunMany(int program_fd, const std::string& frame, int runs) {
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_size_in = static_cast<uint32_t>(frame.size()),
              .repeat = runs);
  CHECK_EQ(bpf_prog_test_run_opts(program_fd, &options), 0) << std::strerror(errno);
  return options.retval;
}

constexpr uint32_t kPass = uint32_t(-1);

struct Totals {
  uint64_t packets = 0, wire = 0, bytes = 0;
  void Add(const lat_record& record) {
    for (int i = 0; i < 2; ++i) {
      packets += record.packets[i];
      wire += record.wire_packets[i];
      bytes += record.bytes[i];
    }
  }
};

class Concurrent : public BpfTest {
 protected:
  Concurrent() : BpfTest(ShortLived()) {}

  // What records tell: totals of ended flows, increments of denied attempts.
  void Take() {
    for (const lat_record& record : bpf.FlowRecords()) {
      if (record.event == LAT_EVENT_END) ended_.Add(record);
    }
    for (const lat_record& record : bpf.DeniedRecords()) denied_.Add(record);
  }

  Totals ended_, denied_;
};

TEST_F(Concurrent, EveryPacketIsInOneRecordOrInACountedLoss) {
  bpf.Publish(Rules("0.0.0.0/0:443\n[::/0]:443"));
  std::atomic<bool> stop{false};
  std::vector<std::thread> senders;
  for (int sender = 0; sender < 2; ++sender) {
    senders.emplace_back([&, sender] {
      // Both send on the same flows.
      std::vector<std::string> frames;
      for (uint16_t i = 0; i < 4; ++i) {
        for (const bool v6 : {false, true}) {
          frames.push_back(Udp(EndsOf(v6, {.local_port = static_cast<uint16_t>(1 + i)}), LAT_EGRESS).Frame());
          frames.push_back(
              Tcp(EndsOf(v6, {.local_port = static_cast<uint16_t>(1 + i)}), LAT_EGRESS, i % 2 == 0 ? kAck : kFin | kAck)
                  .Frame());
          frames.push_back(Udp(EndsOf(v6, {.remote_port = static_cast<uint16_t>(1 + i)}), LAT_EGRESS).Frame());
        }
      }
      const int fd = bpf.ProgramFd(LAT_HOOK_TC_EGRESS);
      for (size_t i = static_cast<size_t>(sender); !stop; ++i) {
        RunMany(fd, frames[i % frames.size()], 20);
        // Idle for longer than the entries live, now and then.
        if (i % 97 == 0) absl::SleepFor(absl::Milliseconds(sender == 0 ? 30 : 45));
      }
    });
  }
  const absl::Time end = absl::Now() + absl::Seconds(4);
  while (absl::Now() < end) {
    bpf.Sweep();
    Take();
  }
  stop = true;
  for (std::thread& thread : senders) thread.join();
  while (bpf.Sweep(/*end_all=*/true).more) Take();
  Take();

  const lat_counters allow = bpf.HookStats(LAT_HOOK_TC_EGRESS, LAT_ALLOW);
  const lat_counters deny = bpf.HookStats(LAT_HOOK_TC_EGRESS, LAT_DENY);
  const uint64_t ends =
      bpf.Count(+LAT_COUNT_FLOWS_ENDED + LAT_END_IDLE) + bpf.Count(+LAT_COUNT_FLOWS_ENDED + LAT_END_FIN);
  EXPECT_GT(ends, 100u) << "entries were to come and go";
  EXPECT_EQ(bpf.FlowCount(), 0u);
  EXPECT_EQ(ended_.packets + bpf.Count(LAT_COUNT_UNTRACKED_PACKETS), allow.packets);
  EXPECT_EQ(ended_.bytes + bpf.Count(LAT_COUNT_UNTRACKED_BYTES), allow.bytes);
  EXPECT_EQ(denied_.packets + bpf.Count(LAT_COUNT_DENIED_TABLE_FULL), deny.packets);
  EXPECT_EQ(bpf.Count(LAT_COUNT_FLOW_RING_FULL), 0u);
  std::cout << "note: " << allow.packets << " packets allowed in " << ends << " flows, " << deny.packets
            << " denied; untracked " << bpf.Count(LAT_COUNT_UNTRACKED_PACKETS) << ", unnamed "
            << bpf.Count(LAT_COUNT_DENIED_TABLE_FULL) << "\n";
}

// Each policy allows one address at one port. A walk that began in the tables of one and
// ended in those of the other could allow the address of one at the port of the other.
TEST_F(Concurrent, APolicySwapIsSeenWholeByEveryPacket) {
  const policy::RuleSet policies[] = {Rules("198.51.100.7:443\n203.0.113.5:1000\n0.0.0.0/0:7"),
                                      Rules("198.51.100.7:1000\n203.0.113.5:443\n0.0.0.0/0:7")};
  bpf.Publish(policies[0]);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> always{0}, always_denied{0}, never_passed{0}, swapped_passed{0}, swapped{0};
  std::thread sender([&] {
    const int fd = bpf.ProgramFd(LAT_HOOK_TC_EGRESS);
    uint16_t port = 1;
    for (uint32_t i = 0; !stop; ++i) {
      Ends ends = Ends4({.local_port = ++port, .remote_port = 7});
      always_denied += RunMany(fd, Udp(ends, LAT_EGRESS).Frame(), 1) != kPass;
      ++always;
      ends.remote = Ip("198.51.100.8");
      ends.remote_port = i % 2 ? 443 : 1000;
      never_passed += RunMany(fd, Udp(ends, LAT_EGRESS).Frame(), 1) == kPass;
      ends.remote = Ip("198.51.100.7");
      swapped_passed += RunMany(fd, Udp(ends, LAT_EGRESS).Frame(), 1) == kPass;
      ++swapped;
    }
  });
  constexpr int kSwaps = 2000;
  const absl::Time start = absl::Now();
  int swaps = 0;
  for (; swaps < kSwaps && absl::Now() < start + absl::Seconds(60); ++swaps) {
    bpf.Publish(policies[(swaps + 1) % 2]);
    if (swaps % 16 == 0) {
      bpf.Sweep();
      Take();
    }
  }
  stop = true;
  sender.join();
  EXPECT_EQ(always_denied, 0u) << "of " << always << " packets that both policies allow";
  EXPECT_EQ(never_passed, 0u);
  EXPECT_GT(swapped_passed, 0u);
  EXPECT_LT(swapped_passed, swapped);
  std::cout << "note: " << swaps << " swaps in " << absl::Now() - start << " under " << 3 * always << " packets\n";
  EXPECT_EQ(swaps, kSwaps);
}

}  // namespace
}  // namespace lattice::testing
