#include "userspace/tunnel/udp_socket.h"

#include <glog/logging.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cstring>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/socket_address.h"
#include "userspace/base/status.h"

namespace lattice::tunnel {
namespace {

template <typename T>
bool SetOption(int fd, int level, int name, T value) {
  return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

template <typename T>
void PutControl(msghdr* message, int level, int type, T value) {
  cmsghdr* const control = CMSG_FIRSTHDR(message);
  control->cmsg_level = level;
  control->cmsg_type = type;
  control->cmsg_len = CMSG_LEN(sizeof(T));
  memcpy(CMSG_DATA(control), &value, sizeof(T));
}

}  // namespace

absl::StatusOr<std::unique_ptr<UdpSocket>> UdpSocket::Open(const Options& options) {
  bool v6 = !options.address.is_v4();
  UniqueFd fd(socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP));
  // A kernel without IPv6 has no such sockets: "all addresses" are those of IPv4 there.
  if (!fd.ok() && errno == EAFNOSUPPORT && options.address == IpAddress()) {
    v6 = false;
    fd.reset(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP));
  }
  if (!fd.ok()) return ErrnoStatus(errno, "while opening a UDP socket");
  auto udp = absl::WrapUnique(new UdpSocket(std::move(fd), v6));
  LATTICE_RETURN_IF_ERROR(udp->Configure(options));
  udp->SetUpReceive();
  return udp;
}

absl::Status UdpSocket::Configure(const Options& options) {
  const int fd = fd_.get();
  if (v6_ && !SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)) return ErrnoStatus(errno, "while opening to both families");
  // The forced form needs CAP_NET_ADMIN and passes rmem_max; what is given by the other is what can be had.
  for (const auto& [forced, plain] : {std::pair(SO_RCVBUFFORCE, SO_RCVBUF), std::pair(SO_SNDBUFFORCE, SO_SNDBUF)}) {
    if (!SetOption(fd, SOL_SOCKET, forced, options.buffer_bytes))
      SetOption(fd, SOL_SOCKET, plain, options.buffer_bytes);
  }
  if (options.mark != 0) LATTICE_RETURN_IF_ERROR(SetMark(options.mark));
  // What is too long for the path is cut up on the way, as with the kernel's WireGuard: slower, but it arrives, also
  // where ICMP does not.
  SetOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
  if (v6_) SetOption(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
  SetOption(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
  if (options.offload) {
    gro_ = SetOption(fd, IPPROTO_UDP, UDP_GRO, 1);
    // 0 is the default; a kernel that does not know the option can not segment.
    gso_ = SetOption(fd, IPPROTO_UDP, UDP_SEGMENT, 0);
  }
  sockaddr_storage address;
  socklen_t length = ToSocketAddress({options.address, options.port}, &address);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    if (errno == EADDRINUSE) {
      return absl::AlreadyExistsError(absl::StrCat(
          "UDP port ", options.port, " is in use: take another listen port, or ", "end who has it (ss -lunp tells)"));
    }
    return ErrnoStatus(errno, absl::StrCat("while binding UDP ", Endpoint{options.address, options.port}.ToString()));
  }
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return ErrnoStatus(errno, "while asking for the UDP port");
  }
  port_ = FromSocketAddress(address).value_or(Endpoint()).port;
  return absl::OkStatus();
}

socklen_t UdpSocket::ToSocketAddress(const Endpoint& peer, sockaddr_storage* address) const {
  if (v6_) {
    sockaddr_in6 v6{.sin6_family = AF_INET6, .sin6_port = htons(peer.port), .sin6_scope_id = peer.scope};
    memcpy(&v6.sin6_addr, peer.address.bytes().data(), sizeof(v6.sin6_addr));
    memcpy(address, &v6, sizeof(v6));
    return sizeof(v6);
  }
  sockaddr_in v4{.sin_family = AF_INET, .sin_port = htons(peer.port)};
  if (peer.address.is_v4()) v4.sin_addr.s_addr = htonl(peer.address.v4_host_order());
  memcpy(address, &v4, sizeof(v4));
  return sizeof(v4);
}

absl::Status UdpSocket::SetMark(uint32_t mark) {
  if (SetOption(fd_.get(), SOL_SOCKET, SO_MARK, mark)) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("while marking the UDP socket with ", mark));
}

void UdpSocket::SetUpReceive() {
  buffers_.resize(kReceiveBuffers * kBufferBytes);
  for (size_t i = 0; i < kReceiveBuffers; ++i) {
    in_iov_[i] = {&buffers_[i * kBufferBytes], kBufferBytes};
    in_[i].msg_hdr.msg_iov = &in_iov_[i];
    in_[i].msg_hdr.msg_iovlen = 1;
    in_[i].msg_hdr.msg_name = &in_names_[i];
    in_[i].msg_hdr.msg_control = &in_control_[i];
  }
}

void UdpSocket::ReadControl(msghdr* message, Received* received) {
  for (cmsghdr* control = CMSG_FIRSTHDR(message); control != nullptr; control = CMSG_NXTHDR(message, control)) {
    if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO) {
      int segment_bytes = 0;
      memcpy(&segment_bytes, CMSG_DATA(control), sizeof(segment_bytes));
      if (segment_bytes > 0) received->segment_bytes = static_cast<size_t>(segment_bytes);
    } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_RXQ_OVFL) {
      uint32_t total = 0;  // since the socket was made, modulo 2^32
      memcpy(&total, CMSG_DATA(control), sizeof(total));
      counters_.overflowed += total - last_overflow_;
      last_overflow_ = total;
    }
  }
}

absl::StatusOr<absl::Span<const Received>> UdpSocket::Receive() {
  for (size_t i = 0; i < kReceiveBuffers; ++i) {
    in_[i].msg_hdr.msg_namelen = sizeof(in_names_[i]);
    in_[i].msg_hdr.msg_controllen = sizeof(in_control_[i]);
  }
  ++counters_.receive_calls;
  const int count = recvmmsg(fd_.get(), in_.data(), kReceiveBuffers, MSG_DONTWAIT, nullptr);
  if (count < 0) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED) return absl::Span<const Received>();
    return ErrnoStatus(errno, "while receiving from the UDP socket");
  }
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    const size_t bytes = in_[i].msg_len;
    received_[i] = {FromSocketAddress(in_names_[i]).value_or(Endpoint()),
                    absl::MakeSpan(&buffers_[i * kBufferBytes], bytes), bytes};
    ReadControl(&in_[i].msg_hdr, &received_[i]);
    const size_t each = std::max<size_t>(received_[i].segment_bytes, 1);
    counters_.received += std::max<size_t>((bytes + each - 1) / each, 1);
  }
  return absl::MakeConstSpan(received_.data(), static_cast<size_t>(count));
}

// Fills out_ from `at` on; how many messages. `singly`: each datagram its own message.
size_t UdpSocket::Prepare(absl::Span<const Outgoing> batch, Cursor at, bool singly) {
  size_t count = 0;
  while (count < kSendBatch && at.group < batch.size()) {
    const Outgoing& group = batch[at.group];
    const size_t left = group.bytes.size() - at.offset;
    const size_t bytes = singly && group.segment_bytes > 0 ? std::min(left, group.segment_bytes) : left;
    out_iov_[count] = {const_cast<uint8_t*>(group.bytes.data()) + at.offset, bytes};
    msghdr& message = out_[count].msg_hdr;
    message = {.msg_name = &out_names_[count],
               .msg_namelen = ToSocketAddress(group.peer, &out_names_[count]),
               .msg_iov = &out_iov_[count],
               .msg_iovlen = 1};
    if (bytes > group.segment_bytes && group.segment_bytes > 0) {
      message.msg_control = &out_control_[count];
      message.msg_controllen = CMSG_SPACE(sizeof(uint16_t));
      PutControl(&message, IPPROTO_UDP, UDP_SEGMENT, static_cast<uint16_t>(group.segment_bytes));
    }
    at.offset += bytes;
    if (at.offset == group.bytes.size()) at = {at.group + 1, 0};
    out_after_[count++] = at;
  }
  return count;
}

void UdpSocket::GiveUp(int error, const Outgoing& group, Endpoint* too_big) {
  if (error == EMSGSIZE) {
    ++counters_.too_big;
    if (too_big != nullptr) *too_big = group.peer;
    return;
  }
  ++counters_.unreachable;
  VLOG(1) << "UDP to " << group.peer.ToString() << ": " << strerror(error);
}

size_t UdpSocket::Send(absl::Span<const Outgoing> batch, Endpoint* too_big) {
  Cursor at{0, std::exchange(resume_, 0)};
  // The group that the kernel would not segment: it is tried singly before segmentation is blamed.
  size_t refused = batch.size();
  while (at.group < batch.size()) {
    const bool singly = !gso_ || refused == at.group;
    const size_t count = Prepare(batch, at, singly);
    ++counters_.send_calls;
    int done = sendmmsg(fd_.get(), out_.data(), static_cast<unsigned>(count), MSG_DONTWAIT);
    const int error = errno;
    if (done > 0) {
      for (int i = 0; i < done; ++i) {
        const size_t segment = std::max<size_t>(batch[i == 0 ? at.group : out_after_[i - 1].group].segment_bytes, 1);
        counters_.sent += std::max<size_t>((out_iov_[i].iov_len + segment - 1) / segment, 1);
      }
    } else if (error == EINTR) {
      continue;
    } else if (error == EAGAIN || error == ENOBUFS) {
      resume_ = at.offset;
      return at.group;
    } else if (!singly && out_[0].msg_hdr.msg_controllen > 0 && error != ENETUNREACH) {
      // EIO: a device that can't make checksums. EINVAL, EMSGSIZE: a segment is longer than the path takes.
      if (error == EIO) gso_ = false;
      refused = at.group;
      continue;
    } else {
      GiveUp(error, batch[at.group], too_big);
      done = 1;
    }
    at = out_after_[done - 1];
  }
  return batch.size();
}

}  // namespace lattice::tunnel
