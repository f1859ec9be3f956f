// A node's writer without its kernel part: the real audit file, Publisher and JetStream sink, in this process.
//
//   AuditWriter writer({.node = "node-1", .agent_id = "agent-1", .nats_urls = {server.nats_url()}});
//   ASSERT_TRUE(writer.Start().ok());
//   writer.Write(1000);
//   EXPECT_TRUE(writer.Drain());     // the stream has acknowledged all
//   writer.ids()                     // the eventIds of all that was written
//
// One thread, except written() and spool().
#ifndef TESTS_TESTING_AUDIT_WRITER_H_
#define TESTS_TESTING_AUDIT_WRITER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/testing/temp_dir.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/publisher.h"
#include "userspace/dp/nats_sink.h"
#include "userspace/flow/record.h"

namespace lattice::testing {

struct AuditWriterOptions {
  std::string node = "node-1";
  std::string boot = "boot-1";
  std::string agent_id = "agent-1";
  std::vector<std::string> nats_urls;
  std::string token_file;
};

class AuditWriter {
 public:
  explicit AuditWriter(AuditWriterOptions options) : options_(std::move(options)) {}
  ~AuditWriter() { Stop(absl::ZeroDuration()); }

  absl::Status Start();
  void Stop(absl::Duration drain = absl::Seconds(5));
  // Ends it and goes on under another boot, in the same file.
  absl::Status Reboot(const std::string& boot);

  // Records of flows that begin at `ts`, 1 us apart. `edit` may change each.
  void Write(
      uint64_t count, absl::Time ts = absl::Now(), const std::function<void(flow::FlowRecord&)>& edit = [](auto&) {});
  // Until the stream has acknowledged all of them.
  bool Drain(absl::Duration deadline = absl::Seconds(30)) const;

  uint64_t written() const { return written_; }
  int64_t spool() const { return publisher_->counters().spool_records; }
  const std::set<std::string>& ids() const { return ids_; }
  // Messages that the stream took as new, heads included, since Start(); 0 before the first connection.
  uint64_t acked() const;
  const audit::PublisherCounters& counters() const { return publisher_->counters(); }

 private:
  AuditWriterOptions options_;
  TempDir dir_;
  std::unique_ptr<audit::AuditFile> file_;
  std::unique_ptr<dp::NatsSink> sink_;
  std::unique_ptr<audit::Publisher> publisher_;
  std::set<std::string> ids_;
  std::atomic<uint64_t> written_{0};
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_AUDIT_WRITER_H_
