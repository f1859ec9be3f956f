#include "userspace/netlink/link_monitor.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "absl/memory/memory.h"
#include "userspace/base/status.h"

namespace lattice::netlink {
namespace {

using Callback = absl::FunctionRef<void(const LinkEvent&)>;

int ReadName(const nlattr* attribute, void* data) {
  if (mnl_attr_get_type(attribute) == IFLA_IFNAME) *static_cast<std::string*>(data) = mnl_attr_get_str(attribute);
  return MNL_CB_OK;
}

int ReadMessage(const nlmsghdr* message, void* data) {
  if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK) return MNL_CB_OK;
  const auto* link = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
  // RTM_DELLINK of a bridge port (family AF_BRIDGE) says that it left the bridge, not that it is gone.
  if (link->ifi_family != AF_UNSPEC) return MNL_CB_OK;
  LinkEvent event;
  event.ifindex = link->ifi_index;
  event.up = (link->ifi_flags & IFF_UP) != 0;
  event.gone = message->nlmsg_type == RTM_DELLINK;
  if (mnl_attr_parse(message, sizeof(ifinfomsg), ReadName, &event.name) < 0) return MNL_CB_ERROR;
  (*static_cast<Callback*>(data))(event);
  return MNL_CB_OK;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LinkMonitor>> LinkMonitor::Create() {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (socket == nullptr) return ErrnoStatus(errno, "opening a netlink socket");
  auto monitor = absl::WrapUnique(new LinkMonitor(socket));
  if (mnl_socket_bind(socket, RTMGRP_LINK, MNL_SOCKET_AUTOPID) != 0) {
    return ErrnoStatus(errno, "subscribing to link events");
  }
  return monitor;
}

LinkMonitor::~LinkMonitor() {
  mnl_socket_close(socket_);
}

int LinkMonitor::fd() const {
  return mnl_socket_get_fd(socket_);
}

absl::Status LinkMonitor::Drain(Callback on_event) {
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t size = mnl_socket_recvfrom(socket_, buffer.data(), buffer.size());
    if (size < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return absl::OkStatus();
      if (errno != ENOBUFS) return ErrnoStatus(errno, "reading link events");
      on_event(LinkEvent{.overrun = true});
      continue;
    }
    // Multicast messages carry no request number and port 0.
    if (mnl_cb_run(buffer.data(), static_cast<size_t>(size), 0, 0, ReadMessage, &on_event) < 0) {
      return ErrnoStatus(errno, "parsing link events");
    }
  }
}

}  // namespace lattice::netlink
