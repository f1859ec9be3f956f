// What a writer has to know of the stream, asked of latticed. The server's own answers would take permissions to read
// the messages of all ($JS.API.STREAM.MSG.GET), and to ask its API at all: nats-server 2.9 dies of a request there
// whose reply subject has a wildcard, so whoever may ask can end it.
//
//   lattice.signals.peer.stream  ""                       ->  "CREATED FIRST LAST": nanoseconds since 1970, message
//   numbers lattice.signals.peer.holds   "4711 node-1/boot-1/17"  ->  "same", "other" or "none"
//
// The answers tell nothing of what others wrote. Private to this module.
#ifndef USERSPACE_NATS_HOLDS_H_
#define USERSPACE_NATS_HOLDS_H_

#include <nats/nats.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace lattice::nats {

inline constexpr char kHoldsSubject[] = "lattice.signals.peer.holds";

inline constexpr char kStreamSubject[] = "lattice.signals.peer.stream";

struct StreamExtent {
  int64_t created_ns = 0;
  uint64_t first = 0;
  uint64_t last = 0;
};

// Asks latticed. NotFound: nobody answers such questions here.
absl::StatusOr<StreamExtent> AskStreamExtent(natsConnection* connection, absl::Duration timeout);
// latticed's side.
absl::StatusOr<std::string> AnswerStreamExtent(natsConnection* connection, const std::string& stream,
                                               absl::Duration timeout);

enum class Held { kSame, kOther, kNone };

// Asks latticed. NotFound: nobody answers such questions here.
absl::StatusOr<Held> AskHolds(natsConnection* connection, uint64_t sequence, absl::string_view msg_id,
                              absl::Duration timeout);
// Looks into the stream itself.
absl::StatusOr<Held> LookHolds(jsCtx* context, const std::string& stream, uint64_t sequence, absl::string_view msg_id);
// latticed's side: the answer to a question.
absl::StatusOr<std::string> AnswerHolds(natsConnection* connection, const std::string& stream,
                                        absl::string_view question, absl::Duration timeout);

}  // namespace lattice::nats

#endif  // USERSPACE_NATS_HOLDS_H_
