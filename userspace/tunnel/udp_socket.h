// A UDP socket that moves many datagrams with a system call: recvmmsg and sendmmsg, and segmentation by the kernel
// (UDP_GRO, UDP_SEGMENT: Linux 5.0 and 4.18), which is worth more than all the rest. Both families on one socket.
//
// Nothing blocks and nothing is lost without a counter. One thread.
#ifndef USERSPACE_TUNNEL_UDP_SOCKET_H_
#define USERSPACE_TUNNEL_UDP_SOCKET_H_

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "userspace/base/endpoint.h"
#include "userspace/base/ip.h"
#include "userspace/base/unique_fd.h"

namespace lattice::tunnel {

// Outgoing from one peer, one after the other in one buffer: each of `segment_bytes` but the last.
struct Received {
  Endpoint peer;
  absl::Span<uint8_t> bytes;
  size_t segment_bytes = 0;
};

// The same, to one.
struct Outgoing {
  Endpoint peer;
  absl::Span<const uint8_t> bytes;
  size_t segment_bytes = 0;
};

class UdpSocket {
 public:
  struct Options {
    IpAddress address;  // ::, both families on all addresses
    uint16_t port = 0;  // 0: the kernel's choice
    // Asked of the kernel, which gives the unprivileged net.core.{r,w}mem_max at most.
    int buffer_bytes = 7 << 20;
    uint32_t mark = 0;    // SO_MARK; needs CAP_NET_ADMIN
    bool offload = true;  // GSO and GRO, where the kernel has them
  };
  struct Counters {
    uint64_t received = 0;  // datagrams
    uint64_t sent = 0;
    uint64_t receive_calls = 0;
    uint64_t send_calls = 0;
    uint64_t overflowed = 0;   // dropped by the kernel, for this process did not read in time (SO_RXQ_OVFL)
    uint64_t too_big = 0;      // not sent: EMSGSIZE, the path takes less
    uint64_t unreachable = 0;  // not sent: the kernel named another reason
  };
  // The most that one datagram of a group given to Send() may consist of (UDP_MAX_SEGMENTS is 64 before 6.9; the
  // length of a datagram is the other bound).
  static constexpr size_t kMaxSegments = 44;
  static constexpr size_t kMaxBytes = 65507 - 20;

  // AlreadyExists: the port is in use.
  static absl::StatusOr<std::unique_ptr<UdpSocket>> Open(const Options& options);

  absl::Status SetMark(uint32_t mark);  // SO_MARK of what is sent

  int fd() const { return fd_.get(); }
  uint16_t port() const { return port_; }
  bool sends_segments() const { return gso_; }
  bool receives_segments() const { return gro_; }
  const Counters& counters() const { return counters_; }

  // What has come, some hundred datagrams at most; empty when nothing waits. The bytes are the caller's to change,
  // until the next call. Errors a peer caused (ICMP) are none.
  absl::StatusOr<absl::Span<const Received>> Receive();

  // How many of `batch` are done: sent, or counted as not sendable. Fewer than all: the socket is full, go on at
  // EPOLLOUT. `too_big` (optional) gets the peer whose path took a datagram of this size no more.
  size_t Send(absl::Span<const Outgoing> batch, Endpoint* too_big = nullptr);

 private:
  static constexpr size_t kReceiveBuffers = 16;
  static constexpr size_t kSendBatch = 32;
  static constexpr size_t kBufferBytes = 65536;
  // A place in a batch: its group, and how far that is sent.
  struct Cursor {
    size_t group = 0;
    size_t offset = 0;
  };
  struct alignas(cmsghdr) Control {
    char bytes[64];
  };

  UdpSocket(UniqueFd fd, bool v6) : fd_(std::move(fd)), v6_(v6) {}
  absl::Status Configure(const Options& options);
  void SetUpReceive();
  void ReadControl(msghdr* message, Received* received);
  socklen_t ToSocketAddress(const Endpoint& peer, sockaddr_storage* address) const;
  size_t Prepare(absl::Span<const Outgoing> batch, Cursor at, bool singly);
  void GiveUp(int error, const Outgoing& group, Endpoint* too_big);

  UniqueFd fd_;
  const bool v6_;
  uint16_t port_ = 0;
  bool gso_ = false;
  bool gro_ = false;
  Counters counters_;
  uint32_t last_overflow_ = 0;
  // How much of the first group of the next batch is sent: the socket was full in the middle of it.
  size_t resume_ = 0;

  std::vector<uint8_t> buffers_;
  std::array<mmsghdr, kReceiveBuffers> in_{};
  std::array<iovec, kReceiveBuffers> in_iov_{};
  std::array<sockaddr_storage, kReceiveBuffers> in_names_{};
  std::array<Control, kReceiveBuffers> in_control_{};
  std::array<Received, kReceiveBuffers> received_{};

  std::array<mmsghdr, kSendBatch> out_{};
  std::array<iovec, kSendBatch> out_iov_{};
  std::array<sockaddr_storage, kSendBatch> out_names_{};
  std::array<Control, kSendBatch> out_control_{};
  std::array<Cursor, kSendBatch> out_after_{};  // the place behind each message
};

}  // namespace lattice::tunnel

#endif  // USERSPACE_TUNNEL_UDP_SOCKET_H_
