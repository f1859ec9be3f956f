// Flow records by name for tests: every value from the documentation ranges.
#ifndef TESTS_TESTING_FLOW_RECORDS_H_
#define TESTS_TESTING_FLOW_RECORDS_H_

#include <lattice/abi.h>

#include <cstdint>
#include <random>

#include "userspace/flow/from_kernel.h"
#include "userspace/flow/record.h"

namespace lattice::testing {

// TCP 192.0.2.7:40000 -> 198.51.100.9:443, allowed by rule slot 0; `i` makes it another flow.
lat_record KernelStart(uint64_t i = 0);
// The same flow's end, by FIN, 1.5 s after its start.
lat_record KernelEnd(uint64_t i = 0);
// UDP 192.0.2.7:40000 -> 203.0.113.5:53, denied by default.
lat_record KernelDenied(uint64_t i = 0);

// Agent "agent-1" on wg0; wall time is 2026-02-02T02:40:00Z + monotonic time; slot 0 is "web".
flow::Context TestContext();
flow::FlowRecord StartRecord(uint64_t i = 0);
flow::FlowRecord EndRecord(uint64_t i = 0);
flow::FlowRecord DeniedRecord(uint64_t i = 0);

// Any record that the decoder must give back as it was: strings are valid UTF-8, times have
// whole nanoseconds, fields that the event does not have are empty.
flow::FlowRecord RandomRecord(std::mt19937_64& random);

}  // namespace lattice::testing

#endif  // TESTS_TESTING_FLOW_RECORDS_H_
