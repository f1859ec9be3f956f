// What every part of the stack and its users speak of: endpoints, flows, options, counters, reasons.
#ifndef USERSPACE_NETSTACK_TYPES_H_
#define USERSPACE_NETSTACK_TYPES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "userspace/base/endpoint.h"
#include "userspace/base/ip.h"
#include "userspace/netstack/headers.h"

namespace lattice::netstack {

constexpr int64_t kMicrosecond = 1'000, kMillisecond = 1'000'000, kSecond = 1'000'000'000;

struct FlowKey {
  IpAddress local, remote;
  uint16_t local_port = 0, remote_port = 0;

  bool operator==(const FlowKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const FlowKey& key) {
    return H::combine(std::move(h), key.local.bytes(), key.remote.bytes(), key.local_port, key.remote_port);
  }
};
static_assert(sizeof(FlowKey) == 36, "the tables count on it");

enum class TcpState : uint8_t {
  kSynSent,
  kSynReceived,
  kEstablished,
  kFinWait1,
  kFinWait2,
  kClosing,
  kCloseWait,
  kLastAck,
  kClosed,  // also TIME_WAIT, which is an entry of TimeWaitTable
};

// Why a connection is over.
enum class CloseReason : uint8_t {
  kNone,         // it is not
  kFinished,     // both sides sent all they had
  kRefused,      // RST to our SYN
  kReset,        // RST later
  kTimeout,      // no answer, to a SYN, to data, or to keepalive probes
  kUnreachable,  // ICMP to our SYN
  kProhibited,   // ICMP to our SYN: a filter on the way
  kTooBig,       // not even the smallest packet gets through
  kAborted,      // by Abort(), or Close() with data unread
  kMemory,       // shed to keep the budget
};
const char* CloseReasonName(CloseReason reason);

enum class Congestion : uint8_t { kBbr, kCubic };

struct Options {
  // Ours; packets for others are dropped.
  std::vector<IpAddress> addresses;
  size_t mtu = 1420;  // at least 1280

  // Data of all connections and their reassembly, in bytes.
  size_t memory_budget = size_t{64} << 20;
  // Bounds that windows and send buffers grow to by use, and where they start.
  size_t max_receive_window = size_t{16} << 20;
  size_t initial_receive_window = 128 * 1024;
  size_t max_send_buffer = size_t{16} << 20;
  size_t initial_send_buffer = 128 * 1024;

  size_t max_connections = 65536;
  size_t max_half_open = 1024;              // of all listeners; beyond: SYN cookies
  size_t max_time_wait = 16384;             // beyond: the oldest goes
  size_t control_queue_bytes = 256 * 1024;  // RST, SYN cookies, ICMP and UDP on their way out
  size_t udp_queue_bytes = 256 * 1024;      // received and unread, for each socket
  uint16_t first_ephemeral_port = 32768, last_ephemeral_port = 60999;

  Congestion congestion = Congestion::kBbr;
  int64_t delayed_ack_ns = 40 * kMillisecond;
  int64_t min_rto_ns = 200 * kMillisecond;
  int64_t connect_timeout_ns = 127 * kSecond;
  int64_t user_timeout_ns = 180 * kSecond;  // data unacknowledged, or probes of a zero window unanswered
  int64_t time_wait_ns = 60 * kSecond;
  int64_t fin_wait_ns = 60 * kSecond;  // for the peer's FIN after Close()
  int64_t pmtu_lifetime_ns = 600 * kSecond;
};

struct ConnectOptions {
  bool nagle = false;
  int64_t keepalive_ns = 0;  // idle time before the first probe; 0: none
  void* user = nullptr;
};

struct Counters {
  std::array<uint64_t, static_cast<size_t>(Drop::kCount)> dropped{};
  uint64_t packets_in = 0, packets_out = 0, bytes_in = 0, bytes_out = 0;
  uint64_t connections_opened = 0, connections_accepted = 0, connections_failed = 0;
  uint64_t segments_retransmitted = 0, fast_recoveries = 0, timeouts = 0, tail_probes = 0, spurious_timeouts = 0;
  uint64_t challenge_acks = 0, resets_in = 0, resets_out = 0, zero_window_probes = 0, keepalive_probes = 0;
  uint64_t syn_cookies_sent = 0, syn_cookies_accepted = 0, syn_cookies_refused = 0;
  uint64_t time_wait_recycled = 0, out_of_order = 0, duplicates = 0;
  uint64_t pmtu_lowered = 0, black_holes = 0, echo_replies = 0;

  void Count(Drop drop) { ++dropped[static_cast<size_t>(drop)]; }
  uint64_t Of(Drop drop) const { return dropped[static_cast<size_t>(drop)]; }
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_TYPES_H_
