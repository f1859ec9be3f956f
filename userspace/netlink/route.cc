#include "userspace/netlink/route.h"

#include <linux/rtnetlink.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "userspace/base/net_device.h"
#include "userspace/base/status.h"
#include "userspace/netlink/request.h"

namespace lattice::netlink {
namespace {

absl::Status Change(uint16_t type, uint16_t flags, const std::string& device, const IpPrefix& prefix) {
  LATTICE_ASSIGN_OR_RETURN(const NetDevice link, LookupNetDevice(device));
  Request request(type, flags);
  auto* route = request.Extra<rtmsg>();
  route->rtm_family = prefix.is_v4() ? AF_INET : AF_INET6;
  route->rtm_dst_len = static_cast<uint8_t>(prefix.length());
  route->rtm_table = RT_TABLE_MAIN;
  route->rtm_protocol = RTPROT_STATIC;
  route->rtm_scope = prefix.is_v4() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  route->rtm_type = RTN_UNICAST;
  const size_t skip = prefix.is_v4() ? 12 : 0;
  request.Put(RTA_DST, prefix.address().bytes().data() + skip, 16 - skip);
  request.Put32(RTA_OIF, static_cast<uint32_t>(link.ifindex));
  const char* verb = type == RTM_NEWROUTE ? "adding" : "removing";
  const absl::Status status =
      request.Send(NETLINK_ROUTE, absl::StrCat(verb, " the route to ", prefix.ToString(), " by ", device));
  // ESRCH, which absl gives as NotFound, is what the kernel says of a route that is not there.
  return status;
}

}  // namespace

absl::Status AddRoute(const std::string& device, const IpPrefix& prefix) {
  return Change(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, device, prefix);
}

absl::Status DeleteRoute(const std::string& device, const IpPrefix& prefix) {
  return Change(RTM_DELROUTE, 0, device, prefix);
}

}  // namespace lattice::netlink
