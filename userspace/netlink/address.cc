#include "userspace/netlink/address.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "userspace/base/net_device.h"
#include "userspace/base/status.h"
#include "userspace/netlink/request.h"

namespace lattice::netlink {
namespace {

absl::Status Change(uint16_t type, uint16_t flags, const std::string& device, const IpAddress& address, int length) {
  LATTICE_ASSIGN_OR_RETURN(const NetDevice link, LookupNetDevice(device));
  Request request(type, flags);
  auto* message = request.Extra<ifaddrmsg>();
  message->ifa_family = address.is_v4() ? AF_INET : AF_INET6;
  message->ifa_prefixlen = static_cast<uint8_t>(length);
  message->ifa_index = static_cast<uint32_t>(link.ifindex);
  const size_t skip = address.is_v4() ? 12 : 0;
  request.Put(IFA_LOCAL, address.bytes().data() + skip, 16 - skip);
  request.Put(IFA_ADDRESS, address.bytes().data() + skip, 16 - skip);
  const char* verb = type == RTM_NEWADDR ? "adding address " : "removing address ";
  const absl::Status status =
      request.Send(NETLINK_ROUTE, absl::StrCat(verb, address.ToString(), "/", length, " of ", device));
  return status;
}

}  // namespace

absl::Status AddAddress(const std::string& device, const IpAddress& address, int length) {
  return Change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, device, address, length);
}

absl::Status DeleteAddress(const std::string& device, const IpAddress& address, int length) {
  return Change(RTM_DELADDR, 0, device, address, length);
}

}  // namespace lattice::netlink
