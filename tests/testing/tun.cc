#include "tests/testing/tun.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "userspace/base/status.h"

namespace lattice::testing {

absl::StatusOr<std::unique_ptr<TunDevice>> TunDevice::Create(const NetNamespace& ns, const std::string& name,
                                                             const std::vector<std::string>& addresses) {
  UniqueFd fd;
  int error = 0;
  // The device is made in the namespace of the thread that opens the file.
  ns.Run([&] {
    fd.reset(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    ifreq request{};
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
    if (!fd.ok() || ::ioctl(fd.get(), TUNSETIFF, &request) != 0) error = errno;
  });
  if (error != 0) return ErrnoStatus(error, absl::StrCat("TUN device ", name));
  std::string lines;
  for (const std::string& address : addresses) {
    absl::StrAppend(&lines, "addr add ", address, " dev ", name, absl::StrContains(address, ':') ? " nodad\n" : "\n");
  }
  LATTICE_RETURN_IF_ERROR(ns.Ip(absl::StrCat(lines, "link set ", name, " mtu 1420 up")));
  return absl::WrapUnique(new TunDevice(std::move(fd)));
}

std::optional<std::string> TunDevice::Read(absl::Duration timeout) {
  pollfd ready{fd_.get(), POLLIN, 0};
  if (::poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) <= 0) return std::nullopt;
  std::string packet(65536, '\0');
  const ssize_t n = ::read(fd_.get(), packet.data(), packet.size());
  if (n < 0) return std::nullopt;
  packet.resize(static_cast<size_t>(n));
  return packet;
}

absl::Status TunDevice::Write(absl::string_view packet) {
  if (::write(fd_.get(), packet.data(), packet.size()) != static_cast<ssize_t>(packet.size())) {
    return ErrnoStatus(errno, "write to the TUN device");
  }
  return absl::OkStatus();
}

TunCounter::TunCounter(TunDevice& device, std::function<bool(absl::string_view)> wanted)
    : thread_([this, &device, wanted = std::move(wanted)] {
        while (!stop_) {
          const std::optional<std::string> packet = device.Read(absl::Milliseconds(20));
          if (packet.has_value() && wanted(*packet)) ++count_;
        }
      }) {}

TunCounter::~TunCounter() {
  stop_ = true;
  thread_.join();
}

bool IsFor(absl::string_view packet, absl::string_view destination, uint16_t port) {
  if (packet.size() < 24 || packet[0] != 0x45) return false;
  in_addr address;
  CHECK_EQ(::inet_pton(AF_INET, std::string(destination).c_str(), &address), 1) << destination;
  if (std::memcmp(packet.data() + 16, &address, 4) != 0) return false;
  uint16_t to;
  std::memcpy(&to, packet.data() + 22, 2);
  return port == 0 || ntohs(to) == port;
}

}  // namespace lattice::testing
