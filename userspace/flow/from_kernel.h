// Makes flow records out of what the kernel and the daemon know.
//
//   flow::Context context{.wall_minus_monotonic_ns = …, .iface = "wg0", .rule_name = …};
//   flow::FlowRecord record = flow::FromKernel(ring_record, context);
//   audit.Add(record);
//
// Pure functions; a context belongs to the thread that uses it.
#ifndef USERSPACE_FLOW_FROM_KERNEL_H_
#define USERSPACE_FLOW_FROM_KERNEL_H_

#include <lattice/abi.h>

#include <cstdint>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/base/clock.h"
#include "userspace/flow/record.h"

namespace lattice::flow {

// What all records of one daemon have in common.
struct Context {
  // Wall clock minus CLOCK_MONOTONIC now: kernel times + this = Unix time in ns. Refresh
  // it per batch (MeasureClockOffset), so that records follow the wall clock's corrections.
  int64_t wall_minus_monotonic_ns = 0;
  std::string agent_id;
  std::string trace_id;
  std::string iface;
  lat_mode mode = LAT_MODE_ENFORCE;
  // Name of a rule by slot (lat_record.rule - 1); empty if the slot is unknown. May be unset.
  std::function<absl::string_view(uint32_t slot)> rule_name;
  // Path of a cgroup by id; empty if unknown. May be unset.
  std::function<absl::string_view(uint64_t id)> cgroup_path;
};

int64_t MeasureClockOffset(const Clock& clock);

// Every field but node, boot and seq, which AuditFile::Add() gives. Enumerators are taken as
// they are: maps of another ABI version are refused before their rings are read.
FlowRecord FromKernel(const lat_record& record, const Context& context);

// The policy `generation` was published at `now`. `hash` is the receipt's.
FlowRecord PolicyRecord(const Context& context, const Clock& clock, uint32_t generation, absl::string_view hash);

// `count` records (or packets, by stage) are missing from the stream, lost between
// `from` and `to`. `stage` is one of kStage….
FlowRecord LossRecord(const Context& context, const Clock& clock, absl::string_view stage, uint64_t count,
                      absl::Time from, absl::Time to);

}  // namespace lattice::flow

#endif  // USERSPACE_FLOW_FROM_KERNEL_H_
