// What the tests over BPF_PROG_TEST_RUN share: a fixture over the loaded programs,
// repeated for each hook.
#ifndef TESTS_BPF_FIXTURE_H_
#define TESTS_BPF_FIXTURE_H_

#include <string>
#include <tuple>

#include "gtest/gtest.h"
#include "tests/testing/bpf_run.h"
#include "tests/testing/packet.h"
#include "userspace/policy/policy_file.h"

namespace lattice::testing {

struct Defaults {
  bool egress_deny = true;
  bool ingress_deny = false;
};

// The rules of a policy file, with the daemon's defaults: egress closed, ingress open.
inline policy::RuleSet Rules(absl::string_view text, Defaults defaults = {}) {
  auto file = policy::ParsePolicyFile(text, "test");
  EXPECT_TRUE(file.ok()) << file.status();
  if (!file.ok()) return {};
  return {.egress = file->egress,
          .ingress = file->ingress,
          .egress_default_deny = defaults.egress_deny,
          .ingress_default_deny = defaults.ingress_deny};
}

class BpfTest : public ::testing::Test {
 protected:
  explicit BpfTest(const BpfRunOptions& options = {}) : bpf(BpfRun::Shared(options)) { bpf.Reset(); }

  BpfRun& bpf;
};

// GetParam() is the hook.
class HookTest : public BpfTest, public ::testing::WithParamInterface<lat_hook> {
 protected:
  explicit HookTest(const BpfRunOptions& options = {}) : BpfTest(options) {}
  lat_hook hook() const { return GetParam(); }
  lat_direction direction() const { return DirectionOf(hook()); }
  lat_scope scope() const { return ScopeOf(hook()); }
  lat_hook egress() const { return static_cast<lat_hook>(hook() & ~1); }
  lat_hook ingress() const { return static_cast<lat_hook>(hook() | 1); }
};

inline std::string HookParamName(const ::testing::TestParamInfo<lat_hook>& info) {
  return HookName(info.param);
}

#define LATTICE_OVER_EVERY_HOOK(Suite)                                                                             \
  INSTANTIATE_TEST_SUITE_P(                                                                                        \
      Hooks, Suite,                                                                                                \
      ::testing::Values(LAT_HOOK_TC_EGRESS, LAT_HOOK_TC_INGRESS, LAT_HOOK_CGROUP_EGRESS, LAT_HOOK_CGROUP_INGRESS), \
      HookParamName)
// For tests that use both directions of a scope.
#define LATTICE_OVER_BOTH_SCOPES(Suite) \
  INSTANTIATE_TEST_SUITE_P(Scopes, Suite, ::testing::Values(LAT_HOOK_TC_EGRESS, LAT_HOOK_CGROUP_EGRESS), HookParamName)

}  // namespace lattice::testing

#endif  // TESTS_BPF_FIXTURE_H_
