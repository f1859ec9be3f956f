// A connection of the library with what was made on it. Private to this module.
//
// It ends in this order: the connection is closed, which waits for the library's reading thread; only then the
// subscriptions go. For libnats 3.4.1 that thread looks a subscription up, lets go of the lock and uses it, so that one
// that is destroyed while messages come for it is used after it was freed.
#ifndef USERSPACE_NATS_LINK_H_
#define USERSPACE_NATS_LINK_H_

#include <nats/nats.h>

#include <vector>

namespace lattice::nats {

struct Link {
  Link() = default;
  ~Link() {
    natsConnection_Close(connection);
    for (natsSubscription* subscription : subscriptions) natsSubscription_Destroy(subscription);
    jsCtx_Destroy(js);
    natsConnection_Destroy(connection);
  }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  natsConnection* connection = nullptr;
  jsCtx* js = nullptr;  // null: none was made
  std::vector<natsSubscription*> subscriptions;
};

}  // namespace lattice::nats

#endif  // USERSPACE_NATS_LINK_H_
