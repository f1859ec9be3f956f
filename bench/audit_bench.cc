// The recorder's and the publisher's cost per record: kernel record -> line with its
// hash -> file, and line -> record -> message. items_per_second is records on one core.
#include <benchmark/benchmark.h>

#include <cstring>
#include <string>

#include "userspace/audit/chain.h"
#include "userspace/audit/decoder.h"
#include "userspace/audit/encoder.h"
#include "userspace/flow/from_kernel.h"

namespace lattice::audit {
namespace {

lat_record KernelRecord(uint64_t i) {
  lat_record record = {};
  record.time_ns = 86'400'000'000'000 + i * 1'000;
  record.start_ns = record.time_ns - 1'234'567'890;
  record.packets[LAT_EGRESS] = 12;
  record.packets[LAT_INGRESS] = 14;
  record.wire_packets[LAT_EGRESS] = 12;
  record.wire_packets[LAT_INGRESS] = 20;
  record.bytes[LAT_EGRESS] = 4'321;
  record.bytes[LAT_INGRESS] = 123'456;
  record.generation = 7;
  record.rule = 1;
  record.event = LAT_EVENT_END;
  record.reason = LAT_REASON_ALLOW_RULE;
  record.end_reason = LAT_END_FIN;
  const IpAddress local = IpAddress::FromV4(0xc0000207), remote = IpAddress::FromV4(0xc6336400 + (i & 0xff));
  std::memcpy(record.local, local.bytes().data(), 16);
  std::memcpy(record.remote, remote.bytes().data(), 16);
  record.local_port = static_cast<lat_u16>(32768 + (i & 0x3fff));
  record.remote_port = 443;
  record.proto = 6;
  return record;
}

flow::Context BenchContext() {
  return {.wall_minus_monotonic_ns = 1'770'000'000'000'000'000,
          .agent_id = "agent-research-1",
          .iface = "wg0",
          .rule_name = [](uint32_t) { return absl::string_view("0.0.0.0/0:443"); }};
}

flow::FlowRecord BenchRecord(const flow::Context& context, uint64_t i) {
  flow::FlowRecord record = flow::FromKernel(KernelRecord(i), context);
  record.node = "node-7.example.net";
  record.boot = "0123456789ab";
  record.seq = i + 1;
  return record;
}

void FromKernel(benchmark::State& state) {
  const flow::Context context = BenchContext();
  const lat_record raw = KernelRecord(1);
  for (auto _ : state) benchmark::DoNotOptimize(flow::FromKernel(raw, context));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(FromKernel);

void EncodeLine(benchmark::State& state) {
  Encoder encoder;
  const flow::FlowRecord record = BenchRecord(BenchContext(), 1);
  std::string out;
  for (auto _ : state) {
    out.clear();
    encoder.AppendLine(record, out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["line_bytes"] = static_cast<double>(out.size());
}
BENCHMARK(EncodeLine);

void EncodeAndHashLine(benchmark::State& state) {
  Encoder encoder;
  HashChain chain;
  const flow::FlowRecord record = BenchRecord(BenchContext(), 1);
  std::string out;
  for (auto _ : state) {
    out.clear();
    encoder.AppendLine(record, out);
    chain.Seal(out, 0);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(EncodeAndHashLine);

void EncodeMessage(benchmark::State& state) {
  Encoder encoder;
  const flow::FlowRecord record = BenchRecord(BenchContext(), 1);
  std::string out;
  for (auto _ : state) {
    out.clear();
    encoder.AppendMessage(record, out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(EncodeMessage);

void Decode(benchmark::State& state) {
  std::string line;
  Encoder().AppendLine(BenchRecord(BenchContext(), 1), line);
  HashChain().Seal(line, 0);
  for (auto _ : state) benchmark::DoNotOptimize(DecodeLine(line));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(Decode);

}  // namespace
}  // namespace lattice::audit
