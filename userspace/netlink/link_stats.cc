#include "userspace/netlink/link_stats.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "userspace/base/net_device.h"
#include "userspace/base/status.h"

namespace lattice::netlink {
namespace {

struct CloseSocket {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

struct Answer {
  rtnl_link_stats64 stats = {};
  bool found = false;
};

int ReadStats(const nlattr* attribute, void* data) {
  if (mnl_attr_get_type(attribute) != IFLA_STATS64) return MNL_CB_OK;
  // Older kernels give fewer counters, newer ones more; the known ones are at the same place.
  auto* answer = static_cast<Answer*>(data);
  const size_t size = mnl_attr_get_payload_len(attribute);
  std::memcpy(&answer->stats, mnl_attr_get_payload(attribute), std::min(size, sizeof(answer->stats)));
  answer->found = true;
  return MNL_CB_OK;
}

int ReadMessage(const nlmsghdr* message, void* data) {
  return mnl_attr_parse(message, sizeof(ifinfomsg), ReadStats, data);
}

}  // namespace

absl::StatusOr<rtnl_link_stats64> ReadLinkStats(const std::string& name) {
  LATTICE_ASSIGN_OR_RETURN(const NetDevice device, LookupNetDevice(name));
  std::unique_ptr<mnl_socket, CloseSocket> socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (socket == nullptr || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) != 0) {
    return ErrnoStatus(errno, "opening a netlink socket");
  }
  // A link message of a device with many statistics is larger than MNL_SOCKET_BUFFER_SIZE.
  std::array<char, 65536> buffer;
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETLINK;
  request->nlmsg_flags = NLM_F_REQUEST;
  auto* link = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
  link->ifi_index = device.ifindex;
  if (mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0) return ErrnoStatus(errno, "asking for a link");
  const ssize_t size = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
  Answer answer;
  if (size < 0 || mnl_cb_run(buffer.data(), static_cast<size_t>(size), 0, mnl_socket_get_portid(socket.get()),
                             ReadMessage, &answer) < 0) {
    if (errno == ENODEV) return absl::NotFoundError(absl::StrCat("no interface named ", name));
    return ErrnoStatus(errno, absl::StrCat("reading the statistics of ", name));
  }
  if (!answer.found) return absl::InternalError(absl::StrCat("the kernel gave no statistics of ", name));
  return answer.stats;
}

}  // namespace lattice::netlink
