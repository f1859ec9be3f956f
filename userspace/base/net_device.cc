#include "userspace/base/net_device.h"

#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "absl/strings/str_format.h"
#include "userspace/base/status.h"
#include "userspace/base/unique_fd.h"

// Debian 12's glibc has older headers than its kernels.
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71  // kernel 5.14
#endif

namespace lattice {
namespace {

absl::StatusOr<UniqueFd> QuerySocket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.ok()) return ErrnoStatus(errno, "opening a socket to ask for network devices");
  return fd;
}

}  // namespace

absl::StatusOr<NetDevice> LookupNetDevice(const std::string& name) {
  if (name.empty() || name.size() >= IFNAMSIZ || name.find_first_of("/ :%") != std::string::npos || name == "." ||
      name == "..") {
    return absl::InvalidArgumentError(absl::StrFormat("\"%s\" can't be the name of an interface", name));
  }
  LATTICE_ASSIGN_OR_RETURN(UniqueFd fd, QuerySocket());
  ifreq request = {};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  NetDevice device;
  const auto ask = [&](unsigned long what) { return ioctl(fd.get(), what, &request) == 0; };
  bool ok = ask(SIOCGIFINDEX);
  device.ifindex = request.ifr_ifindex;
  ok = ok && ask(SIOCGIFFLAGS);
  device.up = (request.ifr_flags & IFF_UP) != 0;
  ok = ok && ask(SIOCGIFMTU);
  device.mtu = request.ifr_mtu;
  ok = ok && ask(SIOCGIFHWADDR);
  device.type = request.ifr_hwaddr.sa_family;
  if (ok) return device;
  if (errno == ENODEV) return absl::NotFoundError(absl::StrFormat("no interface named %s", name));
  return ErrnoStatus(errno, absl::StrFormat("asking for interface %s", name));
}

absl::StatusOr<uint32_t> L2HeaderBytes(uint16_t type) {
  switch (type) {
    case ARPHRD_NONE:  // tun, wireguard
    case ARPHRD_RAWIP:
    case ARPHRD_PPP:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT:
    case ARPHRD_IPGRE:
      return 0;
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
      return 14;
    default:
      return absl::InvalidArgumentError(
          absl::StrFormat("interfaces of hardware type %d can't be parsed (layer 3 and Ethernet ones can)", type));
  }
}

absl::StatusOr<NetNamespace> CurrentNetNamespace() {
  NetNamespace result;
  struct stat st;
  if (stat("/proc/thread-self/ns/net", &st) != 0) return ErrnoStatus(errno, "reading /proc/thread-self/ns/net");
  result.inode = st.st_ino;
  LATTICE_ASSIGN_OR_RETURN(UniqueFd fd, QuerySocket());
  socklen_t size = sizeof(result.cookie);
  if (getsockopt(fd.get(), SOL_SOCKET, SO_NETNS_COOKIE, &result.cookie, &size) != 0) {
    return ErrnoStatus(errno, "asking for the network namespace's cookie (SO_NETNS_COOKIE, kernel 5.14)");
  }
  return result;
}

// The kernel has no call for it, and /proc/1/ns/net is closed to a daemon with few capabilities. A wrong
// guess gives files a longer name, the same one for everybody in the namespace.
absl::StatusOr<bool> InInitialNetNamespace() {
  constexpr uint64_t kInitInode = 0xEFFFFFF9;  // NET_NS_INIT_INO, kernel 6.18
  constexpr uint64_t kInitCookie = 1;          // the first that is given out, before 6.18
  LATTICE_ASSIGN_OR_RETURN(const NetNamespace netns, CurrentNetNamespace());
  return netns.inode == kInitInode || netns.cookie == kInitCookie;
}

}  // namespace lattice
