#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "userspace/base/status.h"
#include "userspace/datapath/hook.h"
#include "userspace/datapath/kernel_abi.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/lock.h"
#include "userspace/datapath/pins.h"
#include "userspace/datapath/probe_checks.h"

namespace lattice::datapath {
namespace {

constexpr lat_hook kTcHooks[] = {LAT_HOOK_TC_EGRESS, LAT_HOOK_TC_INGRESS};

Check CheckMode(const lat_info& info) {
  if (info.mode != LAT_MODE_AUDIT) return Good("pins.mode", "enforce");
  return Warn("pins.mode", "audit: what the policy denies passes, and is recorded as denied",
              "start latticed-dp with --mode enforce");
}

Check CheckLayout(const Options& options, const std::string& folder, const lat_info& info) {
  const std::string remedy = DetachRemedy(options.iface, options.pin_path);
  if (info.abi_version != LATTICE_ABI_VERSION) {
    return Fatal(
        "pins.layout",
        absl::StrFormat("%s has layout version %d, this program has %d", folder, info.abi_version, LATTICE_ABI_VERSION),
        remedy);
  }
  if (info.max_flows != options.max_flows) {
    return Fatal("pins.layout",
                 absl::StrFormat("%s was made for --max-flows %d, not %d", folder, info.max_flows, options.max_flows),
                 absl::StrFormat("start with --max-flows %d, or %s", info.max_flows, remedy));
  }
  return Good("pins.layout", absl::StrFormat("version %d, %d flows per family", info.abi_version, info.max_flows));
}

// Pins whose link has lost its device or cgroup.
std::vector<std::string> DeadLinks(const std::string& folder) {
  std::vector<std::string> dead;
  const absl::StatusOr<std::vector<std::string>> names = ListPins(folder);
  if (!names.ok()) return dead;
  for (const std::string& name : *names) {
    if (!IsLinkPin(name)) continue;
    const absl::StatusOr<UniqueFd> link = OpenPin(absl::StrCat(folder, "/", name));
    const absl::StatusOr<bpf_link_info> info = link.ok() ? LinkInfo(link->get()) : link.status();
    if (!info.ok()) continue;
    const bool gone = info->type == kLinkTypeTcx ? TcxInfo(*info).ifindex == 0 : info->cgroup.cgroup_id == 0;
    if (gone) dead.push_back(name);
  }
  return dead;
}

Check CheckUse(const Options& options, const std::string& folder, const lat_info& info) {
  const std::vector<std::string> dead = DeadLinks(folder);
  if (!dead.empty()) {
    return Warn("pins.stale",
                absl::StrFormat("%s in %s: the device or cgroup is gone", absl::StrJoin(dead, ", "), folder),
                "start latticed-dp, which attaches again, or remove them with lattice dp detach");
  }
  const absl::StatusOr<int> holder = InterfaceLock::Holder(options.iface);
  if (holder.ok() && *holder == 0) {
    return Warn("pins.stale",
                absl::StrFormat("no latticed-dp runs: generation %d goes on in the kernel, nobody reads its records",
                                info.generation),
                absl::StrFormat("start latticed-dp --iface %s", options.iface));
  }
  return Good("pins.stale", holder.ok() ? absl::StrFormat("in use by process %d", *holder) : "in use");
}

struct ChainEntry {
  uint32_t id;
  std::string name;
  bool ours;
  uint32_t priority;  // of a clsact filter, 0: tcx
};

std::string Print(const ChainEntry& entry) {
  return absl::StrFormat("program %d %s", entry.id, entry.name);
}

// The id of the tcx link that holds the program `prog_id` on a device; 0: it is held by none.
uint32_t TcxLinkOf(uint32_t prog_id, int ifindex) {
  uint32_t id = 0;
  while (bpf_link_get_next_id(id, &id) == 0) {
    const UniqueFd link(bpf_link_get_fd_by_id(id));
    const absl::StatusOr<bpf_link_info> info = link.ok() ? LinkInfo(link.get()) : absl::NotFoundError("gone");
    if (info.ok() && info->type == kLinkTypeTcx && info->prog_id == prog_id &&
        TcxInfo(*info).ifindex == static_cast<uint32_t>(ifindex)) {
      return id;
    }
  }
  return 0;
}

// The command that takes one entry away. Debian 12's bpftool knows links, but not what is on tcx.
std::string DetachCommand(const ChainEntry& entry, const Options& options, int ifindex, lat_hook hook) {
  const char* const direction = hook == LAT_HOOK_TC_EGRESS ? "egress" : "ingress";
  if (entry.priority != 0) {
    return absl::StrFormat("tc filter del dev %s %s pref %d", options.iface, direction, entry.priority);
  }
  const uint32_t link = TcxLinkOf(entry.id, ifindex);
  if (link != 0) return absl::StrFormat("bpftool link detach id %d", link);
  return absl::StrFormat("bpftool net detach tcx_%s dev %s (of a bpftool that knows tcx)", direction, options.iface);
}

// The program in our pinned tcx link; 0: no such pin.
uint32_t PinnedProgram(const Options& options, lat_hook hook) {
  const absl::StatusOr<UniqueFd> link =
      OpenPin(absl::StrCat(PinFolder(options.pin_path, options.iface), "/", LinkPinName(HookName(hook))));
  const absl::StatusOr<bpf_link_info> info = link.ok() ? LinkInfo(link->get()) : link.status();
  return info.ok() ? info->prog_id : 0;
}

// tcx first, then clsact: the order in which the kernel runs them.
absl::StatusOr<std::vector<ChainEntry>> ReadChain(const Options& options, int ifindex, lat_hook hook) {
  std::vector<ChainEntry> chain;
  if (HasTcx(ifindex)) {
    const uint32_t own = PinnedProgram(options, hook);
    LATTICE_ASSIGN_OR_RETURN(const std::vector<uint32_t> ids,
                             QueryPrograms(ifindex, hook == LAT_HOOK_TC_EGRESS ? kTcxEgress : kTcxIngress));
    for (const uint32_t id : ids) chain.push_back({id, ProgramName(id), id == own, 0});
  }
  LATTICE_ASSIGN_OR_RETURN(const std::vector<ClsactFilter> filters,
                           ListClsactFilters(ifindex, hook == LAT_HOOK_TC_EGRESS ? LAT_EGRESS : LAT_INGRESS));
  for (const ClsactFilter& filter : filters) {
    chain.push_back({filter.prog_id, filter.name, filter.ours, filter.priority});
  }
  return chain;
}

Check CheckChain(const Options& options, int ifindex, lat_hook hook) {
  const std::string name = absl::StrCat("programs.", HookName(hook));
  const absl::StatusOr<std::vector<ChainEntry>> chain = ReadChain(options, ifindex, hook);
  if (!chain.ok()) return Warn(name, std::string(chain.status().message()), "run as root");
  std::vector<std::string> before, copies, commands;
  bool seen_ours = false;
  for (const ChainEntry& entry : *chain) {
    // A copy has our name and no pin of ours: left by something that attached it by hand.
    if (!entry.ours && IsNamedAsOurs(entry.name, hook)) {
      copies.push_back(Print(entry));
      commands.push_back(DetachCommand(entry, options, ifindex, hook));
    } else if (!entry.ours && !seen_ours) {
      before.push_back(Print(entry));
    }
    seen_ours = seen_ours || entry.ours;
  }
  // Then it is the copy that enforces: to take it away would open the interface.
  if (!copies.empty() && !seen_ours) {
    return Warn(name, absl::StrCat("a data plane with another --pin-path enforces here: ", absl::StrJoin(copies, ", ")),
                absl::StrCat("name it with --pin-path; ", options.pin_path, " has nothing at this hook"));
  }
  if (!copies.empty()) {
    return Warn(name, absl::StrCat("copies of our program: ", absl::StrJoin(copies, ", ")),
                absl::StrCat("packets are judged and counted twice: ", absl::StrJoin(commands, "; ")));
  }
  if (!before.empty()) {
    return Warn(name, absl::StrCat("in front of ours: ", absl::StrJoin(before, ", ")),
                "what they pass for good never reaches our policy: make them return TCX_NEXT or TC_ACT_UNSPEC, or "
                "attach them after ours");
  }
  if (!seen_ours) return Good(name, "nothing in front of the place for our program");
  return Good(name, absl::StrFormat("our program is the first of %d", chain->size()));
}

}  // namespace

void CheckPins(const Options& options, std::vector<Check>* checks) {
  const std::string folder = PinFolder(options.pin_path, options.iface);
  const absl::StatusOr<std::vector<std::string>> names = ListPins(folder);
  if (!names.ok()) {
    checks->push_back(Fatal("pins.layout", std::string(names.status().message()), "run as root"));
    return;
  }
  if (names->empty()) {
    checks->push_back(Good("pins.layout", absl::StrCat("no pins in ", folder, " yet")));
    return;
  }
  const absl::StatusOr<lat_info> info = ReadPinnedInfo(folder);
  if (!info.ok()) {
    checks->push_back(
        Fatal("pins.layout", std::string(info.status().message()), DetachRemedy(options.iface, options.pin_path)));
    return;
  }
  const bool attached = std::any_of(names->begin(), names->end(), IsLinkPin);
  if (!attached && info->abi_version == LATTICE_ABI_VERSION && IsInterruptedStart(*info)) {
    checks->push_back(Good("pins.layout", absl::StrCat("what an interrupted start left in ", folder,
                                                       ": latticed-dp removes it at its start")));
    return;
  }
  checks->push_back(CheckLayout(options, folder, *info));
  checks->push_back(CheckMode(*info));
  checks->push_back(CheckUse(options, folder, *info));
}

void CheckPrograms(const Options& options, std::vector<Check>* checks) {
  const absl::StatusOr<int> ifindex = InterfaceIndex(options.iface);
  if (!ifindex.ok()) return;  // CheckInterface has said so
  for (const lat_hook hook : kTcHooks) checks->push_back(CheckChain(options, *ifindex, hook));
}

}  // namespace lattice::datapath
