// The publisher over a real server: what the audit file holds arrives.
#include "userspace/dp/nats_sink.h"

#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "tests/testing/flow_records.h"
#include "tests/testing/nats_server.h"
#include "tests/testing/slow_proxy.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/wait_until.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/publisher.h"

namespace lattice::dp {
namespace {

// Through a network that needs several flush timeouts for one batch.
TEST(NatsSink, ASlowNetworkGetsEachRecordOnce) {
  auto server = testing::NatsServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  auto subscriber = testing::NatsSubscriber::Subscribe((*server)->url(), "lattice.audit.flow");
  ASSERT_TRUE(subscriber.ok()) << subscriber.status();
  auto proxy = testing::SlowProxy::Start((*server)->port(), 200'000);
  ASSERT_TRUE(proxy.ok()) << proxy.status();

  testing::TempDir dir;
  const std::string path = dir.File("audit.jsonl");
  auto audit = audit::AuditFile::Open(audit::RealFileSystem(), RealClock(), {.path = path, .node = "n", .boot = "b"});
  ASSERT_TRUE(audit.ok()) << audit.status();
  constexpr size_t kRecords = 1000;
  for (size_t i = 0; i < kRecords; ++i) {
    flow::FlowRecord record = testing::StartRecord(i);
    (*audit)->Add(record);
  }
  ASSERT_TRUE((*audit)->Commit().ok());

  NatsSink sink({.nats = {.urls = {absl::StrCat("nats://127.0.0.1:", (*proxy)->port())}}, .jetstream = false});
  auto publisher = audit::Publisher::Create(audit::RealFileSystem(), RealClock(), sink,
                                            {.audit_path = path, .flush_timeout = absl::Milliseconds(300)});
  ASSERT_TRUE(publisher.ok()) << publisher.status();
  (*publisher)->Start();
  EXPECT_TRUE(testing::WaitUntil([&] { return (*publisher)->counters().published == kRecords; }, absl::Seconds(60)));
  (*publisher)->Stop(absl::ZeroDuration());
  EXPECT_EQ((*publisher)->counters().failed, 0u);
  std::map<std::string, int> times;
  while (auto message = (*subscriber)->Next(absl::Milliseconds(500))) ++times[message->msg_id];
  EXPECT_EQ(times.size(), kRecords);
  for (const auto& [id, count] : times) EXPECT_EQ(count, 1) << id;
}

}  // namespace
}  // namespace lattice::dp
