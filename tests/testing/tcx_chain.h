// The programs on a device's tcx hook as the kernel lists them, and a program of somebody else
// to put there. Debian's bpftool is older than tcx and shows neither. Any thread.
#ifndef TESTS_TESTING_TCX_CHAIN_H_
#define TESTS_TESTING_TCX_CHAIN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/testing/netns.h"
#include "userspace/base/unique_fd.h"

namespace lattice::testing {

enum class TcxHook { kIngress = 46, kEgress = 47 };  // BPF_TCX_… of newer kernel headers

// Program ids in the order in which they see a packet.
absl::StatusOr<std::vector<uint32_t>> TcxPrograms(const NetNamespace& ns, const std::string& device, TcxHook hook);

// Attaches a program called "foreign" that says TC_ACT_OK to everything, in front of all others; it is gone
// when the returned link is closed.
absl::StatusOr<UniqueFd> AttachForeignProgram(const NetNamespace& ns, const std::string& device, TcxHook hook);

}  // namespace lattice::testing

#endif  // TESTS_TESTING_TCX_CHAIN_H_
