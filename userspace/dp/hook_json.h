// The JSON of a hook, for the daemon's status and for the one that `lattice dp status` makes from the
// pins alone. Include it in .cc files only: it brings nlohmann-json.
#ifndef USERSPACE_DP_HOOK_JSON_H_
#define USERSPACE_DP_HOOK_JSON_H_

#include <string>

#include "nlohmann/json.hpp"
#include "userspace/datapath/hooks.h"

namespace lattice::dp {

inline nlohmann::ordered_json HookJson(const datapath::HookStatus& hook) {
  nlohmann::ordered_json foreign = nlohmann::ordered_json::array();
  for (const datapath::ForeignProgram& program : hook.foreign_before) {
    foreign.push_back({{"id", program.prog_id}, {"name", program.name}});
  }
  return {{"hook", std::string(datapath::HookName(hook.hook))},
          {"target", hook.target},
          {"kind", hook.kind},
          {"attached", hook.attached},
          {"enforcing", hook.enforcing},
          {"progId", hook.prog_id},
          {"position", hook.position},
          {"chainLength", hook.chain_length},
          {"foreignBefore", std::move(foreign)},
          {"detail", hook.detail}};
}

}  // namespace lattice::dp

#endif  // USERSPACE_DP_HOOK_JSON_H_
