// The JetStream stream that the audit records wait in, and the durable consumer that all replicas of latticed share.
// See pull_consumer.h for reading. Any thread.
#ifndef USERSPACE_NATS_STREAM_H_
#define USERSPACE_NATS_STREAM_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace lattice::nats {

// File storage; messages can be neither deleted nor purged by clients, only the limits end them.
struct StreamConfig {
  std::string name;                   // "LATTICE_AUDIT"
  std::vector<std::string> subjects;  // "lattice.audit.>"
  int replicas = 1;
  absl::Duration max_age = absl::ZeroDuration();  // 0: no limit
  int64_t max_bytes = 0;                          // 0: no limit
  absl::Duration duplicates = absl::Minutes(2);   // the same Nats-Msg-Id within this is stored once
};

struct ConsumerConfig {
  std::string durable;  // "latticed"
  absl::Duration ack_wait = absl::Seconds(30);
  int64_t max_ack_pending = 8'000;  // given out and not acknowledged, over all replicas
};

struct StreamState {
  uint64_t messages = 0;
  uint64_t bytes = 0;
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;
  uint64_t consumer_pending = 0;      // not yet given to any replica
  uint64_t consumer_ack_pending = 0;  // given out
};

}  // namespace lattice::nats

#endif  // USERSPACE_NATS_STREAM_H_
