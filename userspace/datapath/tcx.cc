// Theory of operation.
//
// A tcx link (kernel 6.6) holds our program in the device's chain, its pin holds the link. A
// restart opens the pin and exchanges the program inside the link: no gap, no second program.
// The link dies with the device but its pin remains, with ifindex 0; then a new link takes the
// pin's place.
#include <bpf/bpf.h>
#include <net/if.h>
#include <unistd.h>

#include "absl/strings/str_format.h"
#include "userspace/base/status.h"
#include "userspace/datapath/hook.h"
#include "userspace/datapath/kernel_abi.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/pins.h"

namespace lattice::datapath {
namespace {

class TcxHook : public Hook {
 public:
  TcxHook(const Program& program, std::string iface, std::string pin)
      : program_(program),
        iface_(std::move(iface)),
        pin_(std::move(pin)),
        type_(program.hook == LAT_HOOK_TC_EGRESS ? kTcxEgress : kTcxIngress) {}

  absl::Status Attach() override {
    LATTICE_ASSIGN_OR_RETURN(const int ifindex, InterfaceIndex(iface_));
    // A pin that can't be opened is as good as none: PinLink replaces it, or says why not.
    absl::StatusOr<UniqueFd> pinned = OpenPin(pin_);
    if (pinned.ok()) {
      LATTICE_ASSIGN_OR_RETURN(const bool updated, UpdateLink(pinned->get(), ifindex));
      if (updated) {
        link_ = *std::move(pinned);
        return absl::OkStatus();
      }
    }
    return CreateLink(ifindex);
  }

  HookStatus Query() const override {
    HookStatus status = {.hook = program_.hook, .target = iface_, .kind = "tcx"};
    const absl::StatusOr<int> ifindex = InterfaceIndex(iface_);
    if (!ifindex.ok()) {
      status.detail = std::string(ifindex.status().message());
      return status;
    }
    const absl::StatusOr<std::vector<uint32_t>> ids = QueryPrograms(*ifindex, type_);
    if (!ids.ok()) {
      status.detail = std::string(ids.status().message());
      return status;
    }
    DescribeChain(*ids, program_.id, &status);
    return status;
  }

  absl::StatusOr<bool> RestorePin() override {
    if (!link_.ok() || access(pin_.c_str(), F_OK) == 0) return false;
    LATTICE_RETURN_IF_ERROR(PinLink(link_.get(), pin_));
    return true;
  }

  absl::Status Detach() override {
    LATTICE_RETURN_IF_ERROR(RemoveLink(pin_));
    link_.reset();
    return absl::OkStatus();
  }

 private:
  // False: the link belongs to a device that is gone or to another one, or somebody detached it.
  absl::StatusOr<bool> UpdateLink(int link, int ifindex) {
    LATTICE_ASSIGN_OR_RETURN(const bpf_link_info info, LinkInfo(link));
    const TcxLinkInfo tcx = TcxInfo(info);
    if (info.type != kLinkTypeTcx || tcx.attach_type != type_ || tcx.ifindex != static_cast<uint32_t>(ifindex)) {
      return false;
    }
    if (info.prog_id == program_.id || bpf_link_update(link, program_.fd, nullptr) == 0) return true;
    if (errno == ENOLINK || errno == ESTALE || errno == ENOENT) return false;
    return BpfError(errno, absl::StrCat("replacing the program in ", pin_), "CAP_NET_ADMIN");
  }

  absl::Status CreateLink(int ifindex) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = kBefore);
    UniqueFd link(bpf_link_create(program_.fd, ifindex, type_, &options));
    if (!link.ok()) {
      if (errno == EINVAL) {
        return absl::FailedPreconditionError(
            absl::StrFormat("attaching to %s: this kernel has no %s", iface_, kNeedsTcx));
      }
      return BpfError(errno, absl::StrFormat("attaching %s to %s by tcx", HookName(program_.hook), iface_),
                      "CAP_NET_ADMIN");
    }
    // In this order the device is never without a program: the old link, if it still holds one, goes last. And a
    // link that can't be pinned enforces as long as this process lives: that is better than none.
    link_ = std::move(link);
    return PinLink(link_.get(), pin_);
  }

  const Program program_;
  const std::string iface_;
  const std::string pin_;
  const bpf_attach_type type_;
  UniqueFd link_;
};

}  // namespace

std::unique_ptr<Hook> MakeTcxHook(const Program& program, const std::string& iface, const std::string& pin) {
  return std::make_unique<TcxHook>(program, iface, pin);
}

}  // namespace lattice::datapath
