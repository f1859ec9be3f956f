#include "userspace/sandbox/flow_log.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

namespace lattice::sandbox {
namespace {

// Of egress the remote's, of ingress ours: policy::Judge().
uint16_t JudgedPort(const FlowFacts& facts) {
  return facts.direction == LAT_EGRESS ? facts.remote.port : facts.local.port;
}

// A denied attempt has none yet, but it is ours all the same.
IpAddress LocalOf(const FlowFacts& facts, const std::vector<IpAddress>& ours) {
  if (facts.local.address != IpAddress() || ours.empty()) return facts.local.address;
  const IpAddress& remote = facts.remote.address;
  for (const IpAddress& address : ours) {
    if (remote == IpAddress() || address.is_v4() == remote.is_v4()) return address;
  }
  return ours.front();
}

void SetTotals(flow::FlowRecord& record, const FlowTotals& totals) {
  record.bytes_out = totals.bytes_out;
  record.bytes_in = totals.bytes_in;
  record.packets_out = record.wire_packets_out = totals.packets_out;
  record.packets_in = record.wire_packets_in = totals.packets_in;
}

}  // namespace

FlowLog::FlowLog(EventLoop& loop, const Clock& clock, const EgressFilter& filter, RecordWriter& writer, Options options)
    : loop_(loop), clock_(clock), filter_(filter), writer_(writer), options_(std::move(options)) {
  context_.agent_id = options_.agent_id;
  context_.iface = options_.iface;
  context_.mode = LAT_MODE_ENFORCE;
}

FlowLog::~FlowLog() {
  for (auto& [id, flow] : flows_) Finish(*flow, flow::EndReason::kShutdown, flow::Reason::kNone);
  const int64_t now_ns = clock_.MonotonicNs();
  for (auto& [key, attempts] : denied_) TellDenied(*attempts, now_ns);
  TellUntold();
  loop_.RemoveTimer(timer_);
}

flow::FlowRecord FlowLog::Record(flow::Event event, const FlowFacts& facts, const Verdict& verdict, uint32_t generation,
                                 int64_t start_ns, int64_t now_ns) const {
  const int64_t wall_minus_monotonic_ns = flow::MeasureClockOffset(clock_);
  const bool egress = facts.direction == LAT_EGRESS;
  const IpAddress local = LocalOf(facts, options_.addresses);
  flow::FlowRecord record;
  record.event = event;
  record.ts = absl::FromUnixNanos(now_ns + wall_minus_monotonic_ns);
  record.monotonic_ns = static_cast<uint64_t>(now_ns);
  record.agent_id = context_.agent_id;
  record.trace_id = facts.trace_id;
  record.iface = context_.iface;
  record.mode = context_.mode;
  record.direction = facts.direction;
  record.verdict = event == flow::Event::kDenied ? LAT_DENY : LAT_ALLOW;
  record.reason = verdict.reason;
  record.rule = verdict.rule;
  record.src = egress ? local : facts.remote.address;
  record.dst = egress ? facts.remote.address : local;
  record.src_port = egress ? facts.local.port : facts.remote.port;
  record.dst_port = egress ? facts.remote.port : facts.local.port;
  record.protocol = facts.protocol;
  record.start = absl::FromUnixNanos(start_ns + wall_minus_monotonic_ns);
  record.start_monotonic_ns = static_cast<uint64_t>(start_ns);
  record.duration_ms = static_cast<uint64_t>(now_ns - start_ns) / 1'000'000;
  record.host = facts.host;
  record.pid = facts.pid;
  record.comm = facts.comm;
  record.policy_generation = generation;
  return record;
}

flow::FlowRecord FlowLog::RecordOf(const Flow& flow, flow::Event event, int64_t now_ns) const {
  return Record(event, flow.facts, flow.verdict, flow.generation, flow.start_ns, now_ns);
}

FlowLog::FlowId FlowLog::Start(const FlowFacts& facts, const Verdict& verdict, LiveFlow& owner) {
  const int64_t now_ns = clock_.MonotonicNs();
  auto flow = std::make_unique<Flow>();
  flow->id = ++last_id_;
  flow->facts = facts;
  flow->verdict = verdict;
  flow->generation = filter_.generation();
  flow->start_ns = now_ns;
  flow->owner = &owner;
  writer_.Add(RecordOf(*flow, flow::Event::kStart, now_ns));
  ++counters_.started;
  if (options_.update_every > absl::ZeroDuration()) {
    flow->update_ns = now_ns + absl::ToInt64Nanoseconds(options_.update_every);
    updates_.Push(*flow);
    WakeAt(flow->update_ns);
  }
  flows_.emplace(last_id_, std::move(flow));
  return last_id_;
}

// Its end record; the flow itself is the caller's to erase.
void FlowLog::Finish(Flow& flow, flow::EndReason end_reason, flow::Reason reason) {
  const FlowTotals totals = flow.owner->totals();
  flow::FlowRecord record = RecordOf(flow, flow::Event::kEnd, clock_.MonotonicNs());
  SetTotals(record, totals);
  record.end_reason = end_reason;
  if (end_reason == flow::EndReason::kFailed) record.reason = reason;
  writer_.Add(std::move(record));
  updates_.Remove(flow);
  ++counters_.ended;
  counters_.failed += end_reason == flow::EndReason::kFailed ? 1 : 0;
  counters_.bytes_out += totals.bytes_out;
  counters_.bytes_in += totals.bytes_in;
}

void FlowLog::End(FlowId id, flow::EndReason end_reason, flow::Reason reason) {
  const auto found = flows_.find(id);
  CHECK(found != flows_.end()) << "a flow ends twice";
  Finish(*found->second, end_reason, reason);
  flows_.erase(found);
}

void FlowLog::Failed(const FlowFacts& facts, const Verdict& verdict, flow::Reason reason) {
  const int64_t now_ns = clock_.MonotonicNs();
  const uint32_t generation = filter_.generation();
  writer_.Add(Record(flow::Event::kStart, facts, verdict, generation, now_ns, now_ns));
  flow::FlowRecord end = Record(flow::Event::kEnd, facts, verdict, generation, now_ns, now_ns);
  end.end_reason = flow::EndReason::kFailed;
  end.reason = reason;
  writer_.Add(std::move(end));
  ++counters_.started;
  ++counters_.ended;
  ++counters_.failed;
}

void FlowLog::Denied(const FlowFacts& facts, const Verdict& verdict) {
  const int64_t now_ns = clock_.MonotonicNs();
  ++counters_.denied;
  DeniedKey key{facts.direction, facts.protocol, facts.remote.address.bytes(), JudgedPort(facts), verdict.reason,
                facts.host,      facts.trace_id};
  auto found = denied_.find(key);
  const bool first = found == denied_.end();
  if (first && denied_.size() >= options_.max_denied) {
    if (untold_++ == 0) {
      untold_from_ = clock_.Now();
      untold_due_ns_ = now_ns + absl::ToInt64Nanoseconds(options_.denied_every);
      WakeAt(untold_due_ns_);
    }
    return;
  }
  if (first) {
    auto attempts = std::make_unique<DeniedAttempts>();
    attempts->key = key;
    attempts->facts = facts;
    attempts->first_ns = now_ns;
    found = denied_.emplace(std::move(key), std::move(attempts)).first;
  }
  DeniedAttempts& attempts = *found->second;
  attempts.verdict = verdict;
  attempts.generation = filter_.generation();
  attempts.newest_ns = now_ns;
  ++attempts.untold;
  if (first) TellDenied(attempts, now_ns);
}

// The attempts since the record before, if there are any.
void FlowLog::TellDenied(DeniedAttempts& attempts, int64_t now_ns) {
  denied_due_.Remove(attempts);
  attempts.due_ns = now_ns + absl::ToInt64Nanoseconds(options_.denied_every);
  denied_due_.Push(attempts);
  WakeAt(attempts.due_ns);
  if (attempts.untold == 0) return;
  flow::FlowRecord record =
      Record(flow::Event::kDenied, attempts.facts, attempts.verdict, attempts.generation, attempts.first_ns, now_ns);
  record.duration_ms = static_cast<uint64_t>(attempts.newest_ns - attempts.first_ns) / 1'000'000;
  const bool egress = attempts.facts.direction == LAT_EGRESS;
  (egress ? record.packets_out : record.packets_in) = attempts.untold;
  (egress ? record.wire_packets_out : record.wire_packets_in) = attempts.untold;
  attempts.untold = 0;
  writer_.Add(std::move(record));
}

// Attempts that found the table full.
void FlowLog::TellUntold() {
  if (untold_ == 0) return;
  writer_.Add(flow::LossRecord(context_, clock_, flow::kStageDeniedTable, std::exchange(untold_, 0), untold_from_,
                               clock_.Now()));
}

void FlowLog::PolicyChanged() {
  writer_.Add(flow::PolicyRecord(context_, clock_, filter_.generation(), filter_.hash()));
  std::vector<FlowId> ids;
  for (const auto& [id, flow] : flows_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  for (const FlowId id : ids) {
    const auto found = flows_.find(id);
    if (found == flows_.end()) continue;  // ended by an owner that was told before
    Flow& flow = *found->second;
    const FlowFacts& facts = flow.facts;
    Verdict verdict = filter_.JudgeLive(facts.direction, facts.remote.address, facts.protocol, JudgedPort(facts));
    if (verdict.allow) {
      flow.verdict = std::move(verdict);
      flow.generation = filter_.generation();
      continue;
    }
    LiveFlow& owner = *flow.owner;
    Finish(flow, flow::EndReason::kRevoked, flow::Reason::kNone);
    flows_.erase(found);
    ++counters_.revoked;
    owner.Revoke();
  }
}

// Nothing where nothing moved, as the kernel's.
void FlowLog::Update(Flow& flow, int64_t now_ns) {
  updates_.Remove(flow);
  flow.update_ns = now_ns + absl::ToInt64Nanoseconds(options_.update_every);
  updates_.Push(flow);
  const FlowTotals totals = flow.owner->totals();
  const uint64_t bytes = totals.bytes_out + totals.bytes_in;
  if (std::exchange(flow.told_bytes, bytes) == bytes) return;
  flow::FlowRecord record = RecordOf(flow, flow::Event::kUpdate, now_ns);
  SetTotals(record, totals);
  writer_.Add(std::move(record));
}

void FlowLog::RunDue() {
  loop_.RemoveTimer(timer_);
  wake_ns_ = INT64_MAX;
  const int64_t now_ns = clock_.MonotonicNs();
  while (!updates_.empty() && updates_.front()->update_ns <= now_ns) Update(*updates_.front(), now_ns);
  while (!denied_due_.empty() && denied_due_.front()->due_ns <= now_ns) {
    DeniedAttempts& attempts = *denied_due_.front();
    if (attempts.untold > 0) {
      TellDenied(attempts, now_ns);
    } else {
      denied_due_.Remove(attempts);
      denied_.erase(DeniedKey(attempts.key));
    }
  }
  if (untold_due_ns_ <= now_ns) TellUntold();
  if (!updates_.empty()) WakeAt(updates_.front()->update_ns);
  if (!denied_due_.empty()) WakeAt(denied_due_.front()->due_ns);
  if (untold_ > 0) WakeAt(untold_due_ns_);
}

void FlowLog::WakeAt(int64_t due_ns) {
  if (due_ns >= wake_ns_) return;
  loop_.RemoveTimer(timer_);
  wake_ns_ = due_ns;
  timer_ = loop_.AddOnce(absl::Nanoseconds(due_ns - clock_.MonotonicNs()), [this] { RunDue(); });
}

}  // namespace lattice::sandbox
