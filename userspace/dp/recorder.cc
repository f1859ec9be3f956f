// Theory of operation
//
// The two rings and a timer wake the thread. Each turn takes a batch of records from both
// rings (peeked, not given back), encodes it into the audit file's batch, writes it with one
// write, and only then gives the rings' space back and stores the next number in the info map. A
// crash between the steps makes the next daemon read the same batch again, which it recognises by the tail of
// the file (AuditFile::AlreadyWritten).
//
// When the file takes no more (disk full), the batch stays in memory, the rings fill up and the
// kernel keeps what is due in its tables: nothing is taken or swept until a retry succeeds.
#include "userspace/dp/recorder.h"

#include <glog/logging.h>
#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/time/clock.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"

namespace lattice::dp {
namespace {

// Of each ring. Two of them stay under AuditFileOptions::recover_records.
constexpr size_t kBatchRecords = 4096;
// Batches between two looks at timers and commands.
constexpr int kBatchesPerTurn = 32;
constexpr absl::Duration kSweepPeriod = absl::Seconds(1);
// Of one sweep, so that commands and timers have their turn; the next one goes on.
constexpr absl::Duration kSweepTime = absl::Seconds(5);
// A stop ends when a pass over the rings finds fewer: under traffic they are never empty for long.
constexpr size_t kQuietRecords = 64;

}  // namespace

absl::StatusOr<std::unique_ptr<Recorder>> Recorder::Create(datapath::Datapath& datapath,
                                                           std::unique_ptr<audit::AuditFile> audit,
                                                           RecorderOptions options) {
  auto recorder = absl::WrapUnique(new Recorder(datapath, std::move(audit), std::move(options)));
  LATTICE_RETURN_IF_ERROR(recorder->Prepare());
  return recorder;
}

Recorder::Recorder(datapath::Datapath& datapath, std::unique_ptr<audit::AuditFile> audit, RecorderOptions options)
    : datapath_(datapath),
      audit_(std::move(audit)),
      options_(std::move(options)),
      cgroups_(Cgroup2Root(), RealClock()),
      context_(NewContext()),
      ledger_(options_.ledger_path) {
  context_.rule_name = [this](uint32_t slot) -> absl::string_view {
    rule_name_ = datapath_.RuleName(slot + 1, current_->generation);
    return rule_name_;
  };
  context_.cgroup_path = [this](uint64_t id) { return cgroups_.Path(id); };
}

absl::Status Recorder::Prepare() {
  LATTICE_ASSIGN_OR_RETURN(loop_, EventLoop::Create());
  LATTICE_ASSIGN_OR_RETURN(flow_ring_, datapath::RingReader::Open(datapath_.flow_ring_fd()));
  LATTICE_ASSIGN_OR_RETURN(denied_ring_, datapath::RingReader::Open(datapath_.denied_ring_fd()));
  if (const absl::Status loaded = ledger_.Load(datapath_.adopted(), RealClock().Now()); !loaded.ok()) {
    LOG(ERROR) << "losses since the pins were made are told again: " << loaded.message();
  }
  LATTICE_RETURN_IF_ERROR(Listen(true));
  loop_->AddTimer(kSweepPeriod, [this] { Turn(); });
  return absl::OkStatus();
}

Recorder::~Recorder() {
  if (thread_.joinable()) {
    loop_->Stop();
    thread_.join();
  }
}

void Recorder::Start() {
  counters_.alive_ns = RealClock().MonotonicNs();
  thread_ = std::thread([this] {
    if (const absl::Status ended = loop_->Run(); !ended.ok()) {
      LOG(ERROR) << "the recorder ended, no flow is recorded any more: restart latticed-dp: " << ended.message();
    }
  });
}

flow::Context Recorder::NewContext() const {
  flow::Context context;
  context.wall_minus_monotonic_ns = flow::MeasureClockOffset(RealClock());
  context.agent_id = options_.agent_id;
  context.iface = options_.iface;
  context.mode = options_.mode;
  return context;
}

absl::Status Recorder::Listen(bool on) {
  for (const auto& ring : {flow_ring_.get(), denied_ring_.get()}) {
    if (on) {
      LATTICE_RETURN_IF_ERROR(loop_->AddFd(ring->fd(), EPOLLIN, [this](uint32_t) { Drain(); }));
    } else {
      loop_->RemoveFd(ring->fd());
    }
  }
  return absl::OkStatus();
}

// Takes what the rings hold, at most kBatchesPerTurn batches. True: they were empty.
bool Recorder::Drain() {
  for (int batch = 0; batch < kBatchesPerTurn; ++batch) {
    if (blocked_) return false;
    const size_t taken = Take(*flow_ring_) + Take(*denied_ring_);
    counters_.drained += taken;
    counters_.ring_malformed = flow_ring_->malformed() + denied_ring_->malformed();
    if (!Write()) return false;
    if (taken == 0) {
      if (std::exchange(recovering_, false)) audit_->ForgetRecovered();
      return true;
    }
  }
  return false;
}

size_t Recorder::Take(datapath::RingReader& ring) {
  context_.wall_minus_monotonic_ns = flow::MeasureClockOffset(RealClock());
  const bool following = following_;
  size_t taken = 0;
  return ring.Peek([&](const lat_record& kernel) {
    if (taken == kBatchRecords) return false;
    ++taken;
    if (recovering_ && audit_->AlreadyWritten(kernel)) return true;
    current_ = &kernel;
    flow::FlowRecord record = flow::FromKernel(kernel, context_);
    audit_->Add(record);
    if (following) Follow(record);
    return true;
  });
}

void Recorder::Follow(const flow::FlowRecord& record) {
  FollowLine line;
  line.denied = record.event == flow::Event::kDenied;
  encoder_.AppendLine(record, line.json);
  lines_.push_back(std::move(line));
}

// The batch into the file, then the rings' space back to the kernel.
bool Recorder::Write() {
  // Blocked, the batch may be written and only its sync be missing.
  if (audit_->batch_records() > 0 || blocked_) {
    if (const absl::Status written = audit_->Commit(); !written.ok()) {
      Block(written);
      return false;
    }
    datapath_.set_next_seq(audit_->next_seq());
  }
  flow_ring_->Commit();
  denied_ring_->Commit();
  AfterWrite();
  return true;
}

void Recorder::CountWritten() {
  const uint64_t written = audit_->counters().written;
  if (written != told_written_) options_.on_written(written - std::exchange(told_written_, written), audit_->newest());
}

void Recorder::AfterWrite() {
  CountWritten();
  if (!lines_.empty()) options_.on_lines(std::exchange(lines_, {}));
  MarkTold();
}

// As soon as the news survives this process: told from the ledger too, it would come twice.
void Recorder::MarkTold() {
  if (!losses_added_ || !audit_->losses_safe()) return;
  losses_added_ = false;
  if (const absl::Status told = ledger_.Told(); !told.ok()) {
    LOG(WARNING) << "a restart will tell this loss again: " << told.message();
  }
}

void Recorder::Block(const absl::Status& status) {
  MarkTold();
  if (!std::exchange(blocked_, true)) {
    LOG(ERROR) << "the audit file takes no more; records stay in the kernel until it does: " << status.message();
    // Level-triggered: full rings would wake us without end.
    (void)Listen(false);  // removing can't fail
  }
  loop_->AddOnce(audit_->retry_delay(), [this] { Retry(); });
}

void Recorder::Retry() {
  if (!Write()) return;
  blocked_ = false;
  LOG(INFO) << "the audit file is written again";
  if (const absl::Status listening = Listen(true); !listening.ok()) {
    LOG(ERROR) << "cannot wait for records, taking them once a second: " << listening.message();
  }
  Drain();
}

void Recorder::Turn() {
  counters_.alive_ns = RealClock().MonotonicNs();
  if (blocked_) return;
  Sweep(datapath::SweepKind::kDue, absl::Now() + kSweepTime);
  TellLosses();
  if (blocked_) return;
  if (const absl::Status tick = audit_->Tick(); !tick.ok()) LOG(WARNING) << "audit file: " << tick.message();
  CountWritten();
}

// Everything that is due into the rings and from there into the file. False: not all of it.
bool Recorder::Sweep(datapath::SweepKind kind, absl::Time deadline) {
  while (!blocked_ && absl::Now() < deadline) {
    counters_.alive_ns = RealClock().MonotonicNs();
    const auto sweep = datapath_.Sweep(kind);
    if (!sweep.ok()) {
      ++counters_.sweep_failures;
      if (const auto suppressed = sweep_log_.Admit(RealClock().MonotonicNs())) {
        LOG(WARNING) << "sweeping the flow tables: " << sweep.status().message() << " (" << *suppressed
                     << " more since the last line)";
      }
      return false;
    }
    {
      absl::MutexLock lock(&mutex_);
      last_sweep_ = {sweep->now_ns, sweep->now_jiffies};
    }
    Drain();
    if (!sweep->more) return !blocked_;
  }
  return false;
}

KernelTime Recorder::last_sweep() const {
  absl::MutexLock lock(&mutex_);
  return last_sweep_;
}

void Recorder::TellLosses() {
  if (losses_added_) return;  // those before are not in the file yet
  const auto events = datapath_.ReadEvents();
  if (!events.ok()) return;  // the scrape reports it
  const flow::Context context = NewContext();
  const auto losses = ledger_.Compare((*events)[LAT_COUNT_DENIED_TABLE_FULL], (*events)[LAT_COUNT_UNTRACKED_PACKETS],
                                      RealClock().Now());
  for (const LossLedger::Loss& loss : losses) {
    flow::FlowRecord record = flow::LossRecord(context, RealClock(), loss.stage, loss.count, loss.from, loss.to);
    audit_->Add(record);
    losses_added_ = true;
    LOG(WARNING) << "not recorded one by one: " << loss.count << " at stage " << loss.stage;
  }
  if (!losses.empty()) Write();
}

void Recorder::Add(flow::FlowRecord record) {
  loop_->Post([this, record = std::move(record)]() mutable {
    audit_->Add(record);
    if (following_) Follow(record);
    if (!blocked_) Write();
  });
}

void Recorder::AddLoss(const audit::Loss& loss) {
  loop_->Post([this, loss] {
    audit_->AddLoss(loss);
    if (!blocked_) Write();
  });
}

void Recorder::Reopen() {
  loop_->Post([this] {
    if (const absl::Status reopened = audit_->Reopen(); !reopened.ok()) {
      LOG(ERROR) << "reopening the audit file: " << reopened.message();
    }
    CountWritten();
  });
}

absl::Status Recorder::Stop(absl::Duration deadline, bool end_all) {
  if (!thread_.joinable()) return absl::OkStatus();
  loop_->Post([this, until = absl::Now() + deadline, end_all] { Finish(until, end_all); });
  thread_.join();
  return finish_status_;
}

// For an end after which the kernel keeps nothing: what is still in batch, rings and tables is lost, and so counted.
void Recorder::CountRest() {
  const absl::Time from = absl::Now();
  uint64_t rest = 0;
  bool more = true;
  while (more && absl::Now() - from < kSweepTime) {
    const auto sweep = datapath_.Sweep(datapath::SweepKind::kEndAll);
    size_t taken = 0;
    for (datapath::RingReader* const ring : {flow_ring_.get(), denied_ring_.get()}) {
      taken += ring->Peek([](const lat_record&) { return true; });
      ring->Commit();  // what was peeked before is in the batch
    }
    rest += taken;
    more = sweep.ok() && (sweep->more || taken > 0);
  }
  if (rest > 0) audit_->AddLoss({.stage = flow::kStageDisk, .count = rest, .from = from});
  audit_->GiveUp();
}

void Recorder::Finish(absl::Time deadline, bool end_all) {
  while (blocked_ && absl::Now() < deadline) {
    absl::SleepFor(std::min(audit_->retry_delay(), absl::Milliseconds(200)));
    Retry();
  }
  const bool swept = Sweep(end_all ? datapath::SweepKind::kEndAll : datapath::SweepKind::kFlushDenied, deadline);
  uint64_t before = 0;
  do {
    before = counters_.drained;
    Drain();
  } while (!blocked_ && counters_.drained - before >= kQuietRecords && absl::Now() < deadline);
  const bool lost = end_all && (blocked_ || !swept);
  if (lost) CountRest();
  finish_status_ = audit_->Close();
  if (finish_status_.ok()) {
    datapath_.set_next_seq(audit_->next_seq());
    AfterWrite();
  }
  if (lost) finish_status_.Update(absl::ResourceExhaustedError("it took no more until the end"));
  loop_->Stop();
}

}  // namespace lattice::dp
