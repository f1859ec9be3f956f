#include "tests/testing/audit_writer.h"

#include <utility>

#include "glog/logging.h"
#include "tests/testing/flow_records.h"
#include "tests/testing/wait_until.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"

namespace lattice::testing {

absl::Status AuditWriter::Start() {
  const std::string path = dir_.File("audit.jsonl");
  audit::AuditFileOptions file;
  file.path = path;
  file.node = options_.node;
  file.boot = options_.boot;
  file.agent_id = options_.agent_id;
  file.publishing = true;
  LATTICE_ASSIGN_OR_RETURN(file_, audit::AuditFile::Open(audit::RealFileSystem(), RealClock(), file));
  dp::NatsSinkOptions sink;
  sink.nats.urls = options_.nats_urls;
  sink.nats.reconnect_wait = absl::Milliseconds(200);
  sink.stream.agent_token_file = options_.token_file;
  sink_ = std::make_unique<dp::NatsSink>(std::move(sink));
  audit::PublisherOptions publisher;
  publisher.audit_path = path;
  publisher.max_backoff = absl::Milliseconds(500);
  publisher.heads.node = options_.node;
  publisher.heads.agent_id = options_.agent_id;
  LATTICE_ASSIGN_OR_RETURN(publisher_,
                           audit::Publisher::Create(audit::RealFileSystem(), RealClock(), *sink_, publisher));
  publisher_->Start();
  return absl::OkStatus();
}

void AuditWriter::Stop(absl::Duration drain) {
  if (publisher_ != nullptr) publisher_->Stop(drain);
  publisher_ = nullptr;
  sink_ = nullptr;
  file_ = nullptr;
}

absl::Status AuditWriter::Reboot(const std::string& boot) {
  Stop(absl::ZeroDuration());
  options_.boot = boot;
  return Start();
}

void AuditWriter::Write(uint64_t count, absl::Time ts, const std::function<void(flow::FlowRecord&)>& edit) {
  constexpr uint64_t kBatch = 500;
  for (uint64_t i = 0; i < count; ++i) {
    flow::FlowRecord record = StartRecord(written_ + i);
    record.agent_id = options_.agent_id;
    record.ts = record.start = ts + absl::Microseconds(static_cast<int64_t>(i));
    edit(record);
    file_->Add(record);
    ids_.insert(flow::EventId(record.node, record.boot, record.seq));
    if ((i + 1) % kBatch != 0 && i + 1 != count) continue;
    const uint64_t records = file_->batch_records();
    CHECK(file_->Commit().ok());
    publisher_->Written(records, file_->newest());
  }
  written_ += count;
}

bool AuditWriter::Drain(absl::Duration deadline) const {
  return WaitUntil([this] { return spool() == 0; }, deadline);
}

uint64_t AuditWriter::acked() const {
  const nats::JetStreamCounters* const counters = sink_->jetstream_counters();
  return counters == nullptr ? 0 : counters->acked - counters->duplicates;
}

}  // namespace lattice::testing
