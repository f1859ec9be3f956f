// The question whether the stream still has a message, by its number and id. A writer asks latticed: the server's own
// answer would be the whole message, and the permission to ask for it one for the messages of all.
//
//   lattice.signals.peer.holds   "4711 node-1/boot-1/17"  ->  "same", "other" or "none"
//
// The answer tells nothing that who asks does not know already. Private to this module.
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
