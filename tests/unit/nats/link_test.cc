// The library reads messages into subscriptions on a thread of its own; a link's end must not pull them from under it.
#include "userspace/nats/link.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/testing/nats_client.h"
#include "tests/testing/nats_server.h"

namespace lattice::nats {
namespace {

using ::lattice::testing::ConnectNatsClient;
using ::lattice::testing::NatsServer;

constexpr int64_t kLongMs = 20'000;

// AddressSanitizer tells of a subscription that went too early.
TEST(NatsLink, EndsWhileMessagesCome) {
  const auto server = NatsServer::Start({});
  ASSERT_TRUE(server.ok()) << server.status();
  std::atomic<bool> done{false};
  std::thread writer([&] {
    Link link;
    EXPECT_EQ(ConnectNatsClient((*server)->url(), "", &link.connection), NATS_OK);
    while (!done && natsConnection_PublishString(link.connection, "subject", "x") == NATS_OK) continue;
    EXPECT_TRUE(done);
  });
  for (int round = 0; round < 100; ++round) {
    Link link;
    ASSERT_EQ(ConnectNatsClient((*server)->url(), "", &link.connection), NATS_OK);
    for (int i = 0; i < 4; ++i) {
      natsSubscription* subscription = nullptr;
      ASSERT_EQ(natsConnection_SubscribeSync(&subscription, link.connection, "subject"), NATS_OK);
      link.subscriptions.push_back(subscription);
      // The default is an error once so many wait that this thread did not get to run for a while.
      ASSERT_EQ(natsSubscription_SetPendingLimits(subscription, -1, -1), NATS_OK);
    }
    for (natsSubscription* subscription : link.subscriptions) {
      natsMsg* message = nullptr;
      EXPECT_EQ(natsSubscription_NextMsg(&message, subscription, kLongMs), NATS_OK);
      natsMsg_Destroy(message);
    }
  }
  done = true;
  writer.join();
}

}  // namespace
}  // namespace lattice::nats
