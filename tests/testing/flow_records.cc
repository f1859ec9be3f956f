#include "tests/testing/flow_records.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace lattice::testing {
namespace {

constexpr int64_t kWallAtMonotonicZero = 1'770'000'000'000'000'000;  // 2026-02-02T02:40:00Z

void SetAddress(lat_u8 out[16], const IpAddress& address) {
  std::memcpy(out, address.bytes().data(), 16);
}

lat_record KernelRecord(uint64_t i) {
  lat_record record = {};
  record.start_ns = 5'000'000'000 + i * 1'000;
  record.time_ns = record.start_ns;
  record.generation = 7;
  record.event = LAT_EVENT_START;
  record.direction = LAT_EGRESS;
  SetAddress(record.local, IpAddress::FromV4({192, 0, 2, 7}));
  SetAddress(record.remote, IpAddress::FromV4({198, 51, 100, 9}));
  record.local_port = static_cast<lat_u16>(40'000 + i % 20'000);
  record.remote_port = 443;
  record.proto = 6;
  record.packets[LAT_EGRESS] = 1;
  record.wire_packets[LAT_EGRESS] = 1;
  record.bytes[LAT_EGRESS] = 60;
  return record;
}

class Picker {
 public:
  explicit Picker(std::mt19937_64& random) : random_(random) {}
  // Small, large and edge values alike.
  uint64_t Number(uint64_t most) {
    switch (random_() % 4) {
      case 0:
        return std::min<uint64_t>(random_() % 3, most);
      case 1:
        return most;
      case 2:
        return most == UINT64_MAX ? random_() : random_() % (most + 1);
      default:
        return most == UINT64_MAX ? random_() >> random_() % 64 : (random_() >> random_() % 64) % (most + 1);
    }
  }
  std::string Text() {
    static const std::string pieces[] = {"a",
                                         "web-1",
                                         "\"",
                                         "\\",
                                         "\n",
                                         std::string(1, '\0'),
                                         "\x1f",
                                         "\x7f",
                                         "\xc3\xa9",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         "/",
                                         " ",
                                         "'",
                                         "\t",
                                         "{}",
                                         ",\"seq\":9",
                                         "\\u0000"};
    std::string text;
    for (uint64_t n = random_() % 6; n > 0; --n) text += pieces[random_() % std::size(pieces)];
    return text;
  }
  absl::Time Time() { return absl::FromUnixNanos(static_cast<int64_t>(random_() >> (random_() % 8 == 0 ? 1 : 2))); }
  IpAddress Ip() {
    if (random_() % 2 == 0) return IpAddress::FromV4(static_cast<uint32_t>(random_()));
    uint8_t bytes[16];
    for (uint8_t& byte : bytes) byte = random_() % 2 == 0 ? 0 : static_cast<uint8_t>(random_());
    return IpAddress::FromBytes(bytes);
  }
  template <typename E>
  E Of(std::initializer_list<E> values) {
    return values.begin()[random_() % values.size()];
  }

 private:
  std::mt19937_64& random_;
};

void FillFlow(Picker& pick, flow::FlowRecord& record) {
  record.direction = pick.Of({LAT_EGRESS, LAT_INGRESS});
  record.verdict = record.mode == LAT_MODE_AUDIT ? pick.Of({LAT_ALLOW, LAT_AUDIT}) : pick.Of({LAT_ALLOW, LAT_DENY});
  const bool network = pick.Number(3) == 0;
  record.reason = static_cast<flow::Reason>(
      network ? flow::kFirstNetworkReason + pick.Number(flow::kNetworkReasonEnd - flow::kFirstNetworkReason - 1)
              : pick.Number(LAT_REASON_COUNT - 1));
  record.end_reason = pick.Of({flow::EndReason::kNone, flow::EndReason::kFin, flow::EndReason::kFailed,
                               flow::EndReason::kShutdown, flow::EndReason::kIdle});
  record.rule = pick.Text();
  record.src = pick.Ip();
  record.dst = pick.Ip();
  record.src_port = static_cast<uint16_t>(pick.Number(65'535));
  record.dst_port = static_cast<uint16_t>(pick.Number(65'535));
  record.protocol = static_cast<uint8_t>(pick.Number(255));
  for (uint64_t* total :
       {&record.bytes_out, &record.bytes_in, &record.packets_out, &record.packets_in, &record.wire_packets_out,
        &record.wire_packets_in, &record.start_monotonic_ns, &record.duration_ms, &record.cgroup_id}) {
    *total = pick.Number(UINT64_MAX);
  }
  record.start = pick.Time();
  record.cgroup = pick.Text();
  record.host = pick.Text();
  record.pid = static_cast<uint32_t>(pick.Number(UINT32_MAX));
  record.comm = pick.Text();
  record.policy_generation = static_cast<uint32_t>(pick.Number(UINT32_MAX));
}

void FillLoss(Picker& pick, flow::FlowRecord& record) {
  record.stage = pick.Text();
  record.lost_count = pick.Number(UINT64_MAX);
  record.lost_from = pick.Time();
  record.lost_to = pick.Time();
  record.lost_first_seq = pick.Number(UINT64_MAX);
  if (record.lost_first_seq == 0) return;
  record.lost_last_seq = pick.Number(UINT64_MAX);
  record.lost_boot = pick.Text();
}

}  // namespace

lat_record KernelStart(uint64_t i) {
  lat_record record = KernelRecord(i);
  record.verdict = LAT_ALLOW;
  record.reason = LAT_REASON_ALLOW_RULE;
  record.rule = 1;
  return record;
}

lat_record KernelEnd(uint64_t i) {
  lat_record record = KernelStart(i);
  record.event = LAT_EVENT_END;
  record.end_reason = LAT_END_FIN;
  record.time_ns += 1'500'000'000;
  record.packets[LAT_EGRESS] = 12;
  record.packets[LAT_INGRESS] = 10;
  record.wire_packets[LAT_EGRESS] = 12;
  record.wire_packets[LAT_INGRESS] = 30;
  record.bytes[LAT_EGRESS] = 1'200;
  record.bytes[LAT_INGRESS] = 45'000;
  return record;
}

lat_record KernelDenied(uint64_t i) {
  lat_record record = KernelRecord(i);
  record.event = LAT_EVENT_DENIED;
  record.verdict = LAT_DENY;
  record.reason = LAT_REASON_NO_RULE;
  record.proto = 17;
  record.remote_port = 53;
  SetAddress(record.remote, IpAddress::FromV4({203, 0, 113, 5}));
  return record;
}

flow::Context TestContext() {
  return {.wall_minus_monotonic_ns = kWallAtMonotonicZero,
          .agent_id = "agent-1",
          .iface = "wg0",
          .rule_name = [](uint32_t slot) { return slot == 0 ? absl::string_view("web") : absl::string_view(); }};
}

flow::FlowRecord StartRecord(uint64_t i) {
  return flow::FromKernel(KernelStart(i), TestContext());
}

flow::FlowRecord EndRecord(uint64_t i) {
  return flow::FromKernel(KernelEnd(i), TestContext());
}

flow::FlowRecord DeniedRecord(uint64_t i) {
  return flow::FromKernel(KernelDenied(i), TestContext());
}

flow::FlowRecord RandomRecord(std::mt19937_64& random) {
  Picker pick(random);
  flow::FlowRecord record;
  record.node = "node/" + pick.Text();
  record.boot = "0123456789ab";
  record.seq = pick.Number(UINT64_MAX);
  record.event = pick.Of({flow::Event::kStart, flow::Event::kUpdate, flow::Event::kEnd, flow::Event::kDenied,
                          flow::Event::kPolicy, flow::Event::kLoss});
  record.ts = pick.Time();
  record.monotonic_ns = pick.Number(UINT64_MAX);
  record.agent_id = pick.Text();
  record.trace_id = pick.Text();
  record.iface = pick.Text();
  record.scope = pick.Of({LAT_SCOPE_IFACE, LAT_SCOPE_CGROUP});
  record.mode = pick.Of({LAT_MODE_ENFORCE, LAT_MODE_AUDIT});
  if (record.is_flow()) {
    FillFlow(pick, record);
  } else if (record.event == flow::Event::kPolicy) {
    record.policy_generation = static_cast<uint32_t>(pick.Number(UINT32_MAX));
    record.policy_hash = pick.Text();
  } else {
    FillLoss(pick, record);
  }
  return record;
}

}  // namespace lattice::testing
