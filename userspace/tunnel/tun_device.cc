#include "userspace/tunnel/tun_device.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/tunnel/segmentation.h"

namespace lattice::tunnel {
namespace {

// linux/if_tun.h has them from 6.2.
constexpr unsigned kUso4 = 0x20;
constexpr unsigned kUso6 = 0x40;
constexpr size_t kBufferBytes = sizeof(VnetHeader) + 65535;

// What the kernel may hand out as one packet, as much of it as it knows.
bool EnableOffloads(int fd) {
  constexpr unsigned kTcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  return ioctl(fd, TUNSETOFFLOAD, kTcp | kUso4 | kUso6) == 0 || ioctl(fd, TUNSETOFFLOAD, kTcp) == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TunDevice>> TunDevice::Create(const std::string& name, bool offload) {
  // '%' has the kernel choose a number, and then nobody knows the name.
  if (name.empty() || name.size() >= IFNAMSIZ || name.find_first_of("%/: \t\n") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" can't be an interface: 1 to 15 characters without %, /, : and blanks"));
  }
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus(errno, "while opening /dev/net/tun (module tun)");
  ifreq request{};
  memcpy(request.ifr_name, name.data(), name.size());
  // Exclusive: not a second queue of somebody's device, nor one that was made to stay.
  request.ifr_flags = static_cast<int16_t>(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL);
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    if (errno == EBUSY) return absl::AlreadyExistsError(absl::StrCat("there is an interface ", name, " already"));
    if (errno == EPERM) return absl::PermissionDeniedError(absl::StrCat("making ", name, " needs CAP_NET_ADMIN"));
    return ErrnoStatus(errno, absl::StrCat("while making the TUN device ", name));
  }
  const int header_bytes = sizeof(VnetHeader);
  if (ioctl(fd.get(), TUNSETVNETHDRSZ, &header_bytes) != 0) return ErrnoStatus(errno, "while setting vnet headers");
  auto device = absl::WrapUnique(new TunDevice(std::move(fd), name));
  device->offloads_ = offload && EnableOffloads(device->fd());
  device->buffer_.resize(kBufferBytes);
  return device;
}

TunDevice::ReadResult TunDevice::Read(absl::FunctionRef<void(absl::Span<uint8_t>)> sink) {
  ++counters_.read_calls;
  const ssize_t bytes = read(fd_.get(), buffer_.data(), buffer_.size());
  if (bytes < 0) return errno == EAGAIN || errno == EINTR ? ReadResult::kEmpty : ReadResult::kGone;
  VnetHeader header;
  if (static_cast<size_t>(bytes) <= sizeof(header)) {
    ++counters_.malformed;
    return ReadResult::kPacket;
  }
  memcpy(&header, buffer_.data(), sizeof(header));
  const absl::Span<uint8_t> packet(buffer_.data() + sizeof(header), static_cast<size_t>(bytes) - sizeof(header));
  const bool good = ForEachSegment(header, packet, [&](absl::Span<uint8_t> segment) {
    ++counters_.read;
    sink(segment);
  });
  if (!good) ++counters_.malformed;
  return ReadResult::kPacket;
}

void TunDevice::WritePieces(const VnetHeader& header, absl::Span<const iovec> pieces) {
  std::array<iovec, Coalescer::kMaxPieces + 1> iov;
  iov[0] = {const_cast<VnetHeader*>(&header), sizeof(header)};
  std::copy(pieces.begin(), pieces.end(), iov.begin() + 1);
  ++counters_.write_calls;
  // The kernel queues or drops; it does not make a writer wait.
  if (writev(fd_.get(), iov.data(), static_cast<int>(pieces.size() + 1)) < 0) {
    counters_.refused += pieces.size();
  } else {
    counters_.written += pieces.size();
  }
}

void TunDevice::Write(absl::Span<uint8_t> packet) {
  const auto write = [this](const VnetHeader& header, absl::Span<const iovec> pieces) { WritePieces(header, pieces); };
  if (offloads_) return coalescer_.Add(packet, write);
  const iovec whole{packet.data(), packet.size()};
  write(VnetHeader{}, absl::MakeConstSpan(&whole, 1));
}

void TunDevice::Flush() {
  coalescer_.Flush([this](const VnetHeader& header, absl::Span<const iovec> pieces) { WritePieces(header, pieces); });
}

}  // namespace lattice::tunnel
