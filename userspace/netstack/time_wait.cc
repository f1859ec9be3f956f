#include "userspace/netstack/time_wait.h"

#include <algorithm>

#include "absl/hash/hash.h"

namespace lattice::netstack {
namespace {
uint32_t Milliseconds(int64_t now) {
  return static_cast<uint32_t>(now / kMillisecond);
}
}  // namespace

uint32_t& TimeWaitTable::Bucket(const FlowKey& flow) {
  return buckets_[absl::Hash<FlowKey>()(flow) & (buckets_.size() - 1)];
}

void TimeWaitTable::Grow() {
  std::vector<Entry> old;
  old.reserve(count_);
  for (size_t i = 0; i < count_; ++i) {
    const Entry& entry = ring_[(head_ + i) & (ring_.size() - 1)];
    if (entry.live) old.push_back(entry);
  }
  const size_t places = std::max<size_t>(16, ring_.size() * 2);
  ring_.assign(places, {});
  buckets_.assign(places, 0);
  head_ = 0;
  count_ = old.size();
  for (size_t i = 0; i < old.size(); ++i) {
    ring_[i] = old[i];
    uint32_t& bucket = Bucket(old[i].flow);
    ring_[i].next = bucket;
    bucket = static_cast<uint32_t>(i + 1);
  }
}

void TimeWaitTable::Unlink(uint32_t index) {
  uint32_t* link = &Bucket(ring_[index].flow);
  while (*link != index + 1) link = &ring_[*link - 1].next;
  *link = ring_[index].next;
  ring_[index].live = false;
  --live_;
}

void TimeWaitTable::DropFront() {
  if (ring_[head_].live) Unlink(static_cast<uint32_t>(head_));
  head_ = (head_ + 1) & (ring_.size() - 1);
  --count_;
}

bool TimeWaitTable::Add(const Entry& entry, int64_t now) {
  Remove(entry.flow);
  const bool full = live_ >= max_entries_;
  while (live_ >= max_entries_) DropFront();
  if (count_ == ring_.size()) Grow();
  const size_t index = (head_ + count_++) & (ring_.size() - 1);
  ring_[index] = entry;
  ring_[index].live = true;
  ring_[index].until_ms = Milliseconds(now + duration_ns_);
  uint32_t& bucket = Bucket(entry.flow);
  ring_[index].next = bucket;
  bucket = static_cast<uint32_t>(index + 1);
  ++live_;
  return full;
}

TimeWaitTable::Entry* TimeWaitTable::Find(const FlowKey& flow) {
  if (live_ == 0) return nullptr;
  for (uint32_t at = Bucket(flow); at != 0; at = ring_[at - 1].next) {
    if (ring_[at - 1].flow == flow) return &ring_[at - 1];
  }
  return nullptr;
}

void TimeWaitTable::Remove(const FlowKey& flow) {
  if (Entry* entry = Find(flow); entry != nullptr) Unlink(static_cast<uint32_t>(entry - ring_.data()));
}

void TimeWaitTable::Restart(const FlowKey& flow, int64_t now) {
  const Entry* entry = Find(flow);
  if (entry == nullptr) return;
  const Entry copy = *entry;
  Add(copy, now);
}

void TimeWaitTable::Expire(int64_t now) {
  while (count_ > 0 && (!ring_[head_].live || static_cast<int32_t>(Milliseconds(now) - ring_[head_].until_ms) >= 0)) {
    DropFront();
  }
  if (count_ == 0 && !ring_.empty()) {
    std::vector<Entry>().swap(ring_);
    std::vector<uint32_t>().swap(buckets_);
    head_ = 0;
  }
}

int64_t TimeWaitTable::NextDeadline(int64_t now) const {
  if (count_ == 0) return kNever;
  const auto left = static_cast<int32_t>(ring_[head_].until_ms - Milliseconds(now));
  return now + std::max<int64_t>(left, 0) * kMillisecond + kMillisecond;
}

}  // namespace lattice::netstack
