// Records from the audit file into a JetStream stream with file storage, each acknowledged: what a node that was cut
// off needs to catch up. One nats-server on this machine; publisher, server and disk share its processors.
#include <filesystem>
#include <string>

#include <glog/logging.h>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tests/testing/audit_stream.h"
#include "tests/testing/flow_records.h"
#include "tests/testing/nats_server.h"
#include "tests/testing/temp_dir.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/publisher.h"
#include "userspace/dp/nats_sink.h"

namespace lattice {
namespace {

constexpr uint64_t kRecords = 500'000;
constexpr uint64_t kBatch = 4'096;
constexpr double kBar = 40;  // thousand a second
constexpr double kAim = 75;

void WriteRecords(const std::string& path) {
  auto audit = audit::AuditFile::Open(audit::RealFileSystem(), RealClock(), {.path = path, .node = "n", .boot = "b"});
  CHECK(audit.ok()) << audit.status();
  for (uint64_t i = 0; i < kRecords; ++i) {
    flow::FlowRecord record = testing::StartRecord(i);
    (*audit)->Add(record);
    if (i % kBatch == 0) CHECK((*audit)->Commit().ok());
  }
  CHECK((*audit)->Close().ok());
}

int Main() {
  auto server = testing::NatsServer::Start({.jetstream = true});
  CHECK(server.ok()) << server.status();
  auto stream = testing::AuditStream::Connect((*server)->url());
  CHECK(stream.ok()) << stream.status();
  CHECK((*stream)->Make().ok());
  testing::TempDir dir;
  WriteRecords(dir.File("audit.jsonl"));

  dp::NatsSink sink({.nats = {.urls = {(*server)->url()}}});
  audit::PublisherOptions options;
  options.audit_path = dir.File("audit.jsonl");
  auto publisher = audit::Publisher::Create(audit::RealFileSystem(), RealClock(), sink, options);
  CHECK(publisher.ok()) << publisher.status();
  while (!sink.connected()) absl::SleepFor(absl::Milliseconds(1));
  const absl::Time start = absl::Now();
  (*publisher)->Start();
  while ((*publisher)->counters().published < kRecords) absl::SleepFor(absl::Milliseconds(1));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  CHECK_EQ((*publisher)->counters().failed, 0u);
  CHECK_EQ((*stream)->Count(), static_cast<int64_t>(kRecords));
  const double thousands = kRecords / seconds / 1e3;
  absl::PrintF("audit file to JetStream, acknowledged (thousand records a second), %.0f, %.0f, %.0f, %s\n", thousands,
               kBar, kAim, thousands >= kBar ? "met" : "short");
  absl::PrintF("# %u records in %.2f s, window full %u times\n", static_cast<unsigned>(kRecords), seconds,
               static_cast<unsigned>(sink.jetstream_counters()->window_full));
  return thousands >= kBar ? 0 : 1;
}

}  // namespace
}  // namespace lattice

int main(int, char** argv) {
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);
  return lattice::Main();
}
