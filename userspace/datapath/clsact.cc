// Theory of operation.
//
// Where the kernel has no tcx, a direct-action BPF filter in the clsact qdisc. There is no link
// and no pin: the filter belongs to the device and survives us by itself. It is always replaced
// under the same priority and handle, which the kernel does in one step; priority 1 is the front
// of the chain. The handle tells ours from others at that priority.
#include <bpf/libbpf.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "absl/strings/str_format.h"
#include "userspace/base/status.h"
#include "userspace/datapath/hook.h"
#include "userspace/datapath/kernel_object.h"

namespace lattice::datapath {
namespace {

constexpr uint32_t kPriority = 1;
constexpr uint32_t kHandle = 0x4c415431;  // "LAT1"

bpf_tc_hook TcHook(int ifindex, lat_direction direction) {
  bpf_tc_hook hook = {};
  hook.sz = sizeof(hook);
  hook.ifindex = ifindex;
  hook.attach_point = direction == LAT_EGRESS ? BPF_TC_EGRESS : BPF_TC_INGRESS;
  return hook;
}

int ReadBpfOption(const nlattr* attribute, void* data) {
  auto* filter = static_cast<ClsactFilter*>(data);
  if (mnl_attr_get_type(attribute) == TCA_BPF_ID) filter->prog_id = mnl_attr_get_u32(attribute);
  if (mnl_attr_get_type(attribute) == TCA_BPF_NAME) filter->name = mnl_attr_get_str(attribute);
  return MNL_CB_OK;
}

struct FilterAttributes {
  std::string kind;
  const nlattr* options = nullptr;
};

int ReadFilterAttribute(const nlattr* attribute, void* data) {
  auto* attributes = static_cast<FilterAttributes*>(data);
  if (mnl_attr_get_type(attribute) == TCA_KIND) attributes->kind = mnl_attr_get_str(attribute);
  if (mnl_attr_get_type(attribute) == TCA_OPTIONS) attributes->options = attribute;
  return MNL_CB_OK;
}

int ReadFilter(const nlmsghdr* message, void* data) {
  if (message->nlmsg_type != RTM_NEWTFILTER) return MNL_CB_OK;
  const auto* tc = static_cast<const tcmsg*>(mnl_nlmsg_get_payload(message));
  FilterAttributes attributes;
  if (mnl_attr_parse(message, sizeof(tcmsg), ReadFilterAttribute, &attributes) < 0) return MNL_CB_ERROR;
  // A classifier is listed once for itself, without handle, then once for each of its filters.
  if (tc->tcm_handle == 0) return MNL_CB_OK;
  const uint32_t priority = tc->tcm_info >> 16;
  ClsactFilter filter = {
      .name = attributes.kind, .priority = priority, .ours = priority == kPriority && tc->tcm_handle == kHandle};
  if (attributes.kind == "bpf" && attributes.options != nullptr &&
      mnl_attr_parse_nested(attributes.options, ReadBpfOption, &filter) < 0) {
    return MNL_CB_ERROR;
  }
  static_cast<std::vector<ClsactFilter>*>(data)->push_back(std::move(filter));
  return MNL_CB_OK;
}

struct CloseSocket {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

bool IsOurs(const ClsactFilter& filter) {
  return filter.ours;
}

class ClsactHook : public Hook {
 public:
  ClsactHook(const Program& program, std::string iface)
      : program_(program),
        iface_(std::move(iface)),
        direction_(program.hook == LAT_HOOK_TC_EGRESS ? LAT_EGRESS : LAT_INGRESS) {}

  absl::Status Attach() override {
    LATTICE_ASSIGN_OR_RETURN(const int ifindex, InterfaceIndex(iface_));
    bpf_tc_hook hook = TcHook(ifindex, direction_);
    const int created = bpf_tc_hook_create(&hook);
    if (created != 0 && created != -EEXIST) {
      return BpfError(-created, absl::StrCat("making the clsact qdisc of ", iface_), "CAP_NET_ADMIN");
    }
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program_.fd, .flags = BPF_TC_F_REPLACE, .handle = kHandle,
                .priority = kPriority);
    const int attached = bpf_tc_attach(&hook, &options);
    if (attached != 0) {
      LATTICE_RETURN_IF_ERROR(CheckPriorityFree(ifindex));
      return BpfError(
          -attached,
          absl::StrFormat("attaching %s to %s by clsact, priority %d", HookName(program_.hook), iface_, kPriority),
          "CAP_NET_ADMIN");
    }
    return absl::OkStatus();
  }

  HookStatus Query() const override {
    HookStatus status = {.hook = program_.hook, .target = iface_, .kind = "clsact"};
    const absl::StatusOr<int> ifindex = InterfaceIndex(iface_);
    if (!ifindex.ok()) {
      status.detail = std::string(ifindex.status().message());
      return status;
    }
    const absl::StatusOr<std::vector<ClsactFilter>> filters = ListClsactFilters(*ifindex, direction_);
    if (!filters.ok()) {
      status.detail = std::string(filters.status().message());
      return status;
    }
    std::vector<uint32_t> ids = TcxPrograms(*ifindex, direction_);
    const size_t tcx = ids.size();
    for (const ClsactFilter& filter : *filters) ids.push_back(filter.prog_id);
    DescribeChain(ids, program_.id, &status);
    for (size_t i = tcx; i < status.foreign_before.size(); ++i) {
      if (status.foreign_before[i].name.empty()) status.foreign_before[i].name = (*filters)[i - tcx].name;
    }
    return status;
  }

  // The filter belongs to the device.
  absl::StatusOr<bool> RestorePin() override { return false; }

  absl::Status Detach() override {
    LATTICE_ASSIGN_OR_RETURN(const int ifindex, InterfaceIndex(iface_));
    return RemoveClsactFilter(ifindex, direction_).status();
  }

 private:
  // The kernel takes one kind of classifier and one protocol at a priority; its own error doesn't say so.
  absl::Status CheckPriorityFree(int ifindex) const {
    LATTICE_ASSIGN_OR_RETURN(const std::vector<ClsactFilter> filters, ListClsactFilters(ifindex, direction_));
    for (const ClsactFilter& filter : filters) {
      if (filter.priority != kPriority || filter.ours) continue;
      return absl::FailedPreconditionError(absl::StrFormat(
          "attaching %s to %s by clsact: a filter of somebody else (%s) has priority %d, where ours must be to judge "
          "first: move it, or run `tc filter del dev %s %s pref %d`",
          HookName(program_.hook), iface_, filter.name, kPriority, iface_,
          direction_ == LAT_EGRESS ? "egress" : "ingress", kPriority));
    }
    return absl::OkStatus();
  }

  const Program program_;
  const std::string iface_;
  const lat_direction direction_;
};

}  // namespace

std::unique_ptr<Hook> MakeClsactHook(const Program& program, const std::string& iface) {
  return std::make_unique<ClsactHook>(program, iface);
}

absl::StatusOr<std::vector<ClsactFilter>> ListClsactFilters(int ifindex, lat_direction direction) {
  std::unique_ptr<mnl_socket, CloseSocket> socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (socket == nullptr || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) != 0) {
    return ErrnoStatus(errno, "opening a netlink socket");
  }
  std::array<char, 65536> buffer;
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETTFILTER;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  auto* tc = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(tcmsg)));
  tc->tcm_family = AF_UNSPEC;
  tc->tcm_ifindex = ifindex;
  tc->tcm_parent = TC_H_MAKE(TC_H_CLSACT, direction == LAT_EGRESS ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
  if (mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0) {
    return ErrnoStatus(errno, "asking for tc filters");
  }
  std::vector<ClsactFilter> filters;
  int more = MNL_CB_OK;
  while (more > MNL_CB_STOP) {
    const ssize_t size = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
    if (size < 0) return ErrnoStatus(errno, "reading tc filters");
    more = mnl_cb_run(buffer.data(), static_cast<size_t>(size), 0, mnl_socket_get_portid(socket.get()), ReadFilter,
                      &filters);
    if (more < 0) return ErrnoStatus(errno, "reading tc filters");
  }
  return filters;
}

absl::StatusOr<bool> RemoveClsactFilter(int ifindex, lat_direction direction) {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<ClsactFilter> filters, ListClsactFilters(ifindex, direction));
  if (std::none_of(filters.begin(), filters.end(), IsOurs)) return false;
  const bpf_tc_hook hook = TcHook(ifindex, direction);
  LIBBPF_OPTS(bpf_tc_opts, options, .handle = kHandle, .priority = kPriority);
  const int error = bpf_tc_detach(&hook, &options);
  if (error != 0) return BpfError(-error, "removing our clsact filter", "CAP_NET_ADMIN");
  return true;
}

absl::StatusOr<bool> RemoveEmptyClsact(int ifindex) {
  for (const lat_direction direction : {LAT_EGRESS, LAT_INGRESS}) {
    LATTICE_ASSIGN_OR_RETURN(const std::vector<ClsactFilter> filters, ListClsactFilters(ifindex, direction));
    if (!filters.empty()) return false;
  }
  bpf_tc_hook hook = TcHook(ifindex, LAT_EGRESS);
  // Both directions: the qdisc itself.
  hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
  const int error = bpf_tc_hook_destroy(&hook);
  if (error == -ENOENT || error == -EINVAL) return false;  // there is none
  if (error != 0) return BpfError(-error, "removing the empty clsact qdisc", "CAP_NET_ADMIN");
  return true;
}

}  // namespace lattice::datapath
