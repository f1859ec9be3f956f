// What the parts of one stack share. One thread.
#ifndef USERSPACE_NETSTACK_CONTEXT_H_
#define USERSPACE_NETSTACK_CONTEXT_H_

#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "userspace/netstack/application.h"
#include "userspace/netstack/chunk_store.h"
#include "userspace/netstack/keyed_hash.h"
#include "userspace/netstack/linked_queue.h"
#include "userspace/netstack/packet_queue.h"
#include "userspace/netstack/path_mtu.h"
#include "userspace/netstack/tcp_connection.h"
#include "userspace/netstack/time_wait.h"
#include "userspace/netstack/timer_heap.h"
#include "userspace/netstack/types.h"

namespace lattice::netstack {

struct Context {
  explicit Context(Options o)
      : options(std::move(o)),
        pool(options.memory_budget),
        control(options.control_queue_bytes),
        paths(options.mtu, options.pmtu_lifetime_ns),
        time_wait(options.max_time_wait, options.time_wait_ns) {}

  const Options options;
  Counters counters;
  ChunkPool pool;
  PacketQueue control;  // whole packets: RST, answers to ICMP, datagrams
  PathMtu paths;
  TimeWaitTable time_wait;
  TimerHeap timers;
  KeyedHash hash;
  int64_t icmp_second = 0;  // errors sent in the second that began then
  int icmp_errors = 0;
  int64_t now = 0;  // of the Receive or Poll that runs, or ran last
  FlowJudge* judge = nullptr;

  absl::flat_hash_map<FlowKey, TcpConnection*> connections;  // those that packets may reach
  size_t objects = 0;                                        // TcpConnection objects, those that are over too
  LinkedQueue<TcpConnection, &TcpConnection::output_hook> output;
  LinkedQueue<TcpConnection, &TcpConnection::event_hook> events;
  LinkedQueue<TcpConnection, &TcpConnection::starved_hook> starved;  // wait for memory to write to
  LinkedQueue<TcpConnection, &TcpConnection::all_hook> all;
  LinkedQueue<TcpConnection, &TcpConnection::dead_hook> dead;

  // Queues a bare TCP segment. Options other than timestamps do not go this way, but for a SYN-ACK.
  void SendControl(const FlowKey& flow, uint32_t seq, uint32_t ack, uint8_t flags, uint16_t window,
                   const TcpOptions& tcp_options);
  FlowJudge::Verdict Judge(const NewFlow& flow) {
    return judge == nullptr ? FlowJudge::Verdict::kAllow : judge->Judge(flow);
  }
  // Answers `segment` of no connection with RST (RFC 9293 3.10.7.1).
  void Refuse(const FlowKey& flow, const TcpSegment& segment);
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_CONTEXT_H_
