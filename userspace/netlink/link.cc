#include "userspace/netlink/link.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "absl/strings/str_cat.h"
#include "userspace/base/net_device.h"
#include "userspace/base/status.h"
#include "userspace/netlink/request.h"

namespace lattice::netlink {

absl::Status CreateLink(const std::string& name, const std::string& kind) {
  Request request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  request.Extra<ifinfomsg>()->ifi_family = AF_UNSPEC;
  request.PutText(IFLA_IFNAME, name.c_str());
  nlattr* info = request.Begin(IFLA_LINKINFO);
  request.PutText(IFLA_INFO_KIND, kind.c_str());
  request.End(info);
  const absl::Status status = request.Send(NETLINK_ROUTE, absl::StrCat("making ", kind, " interface ", name));
  // EOPNOTSUPP, which absl gives as Unavailable: no module of that name.
  if (absl::IsUnavailable(status)) return absl::UnimplementedError(status.message());
  return status;
}

absl::Status DeleteLink(const std::string& name) {
  LATTICE_ASSIGN_OR_RETURN(const NetDevice device, LookupNetDevice(name));
  Request request(RTM_DELLINK, 0);
  request.Extra<ifinfomsg>()->ifi_index = device.ifindex;
  return request.Send(NETLINK_ROUTE, absl::StrCat("removing interface ", name));
}

absl::Status SetLinkUp(const std::string& name, int mtu) {
  LATTICE_ASSIGN_OR_RETURN(const NetDevice device, LookupNetDevice(name));
  Request request(RTM_NEWLINK, 0);
  auto* link = request.Extra<ifinfomsg>();
  link->ifi_index = device.ifindex;
  link->ifi_flags = IFF_UP;
  link->ifi_change = IFF_UP;
  request.Put32(IFLA_MTU, static_cast<uint32_t>(mtu));
  return request.Send(NETLINK_ROUTE, absl::StrCat("setting interface ", name, " up"));
}

absl::Status SetLinkDown(const std::string& name) {
  LATTICE_ASSIGN_OR_RETURN(const NetDevice device, LookupNetDevice(name));
  Request request(RTM_NEWLINK, 0);
  auto* link = request.Extra<ifinfomsg>();
  link->ifi_index = device.ifindex;
  link->ifi_change = IFF_UP;
  return request.Send(NETLINK_ROUTE, absl::StrCat("setting interface ", name, " down"));
}

}  // namespace lattice::netlink
