// Theory of operation. The window grows by use, as far as the budget goes: when the application has read a window's
// worth in less than two and a half round trips, the window and not the application was the limit, and it doubles.
// A slow reader or a slow sender leaves it where it is.
#include "userspace/netstack/receiver.h"

#include <algorithm>

namespace lattice::netstack {
namespace {
// Holes that one connection may make us remember; what would make more is dropped and comes again.
constexpr size_t kMaxRanges = 1024;
}  // namespace

Receiver::Receiver(ChunkPool& pool, Limits limits)
    : pool_(pool), store_(pool), gaps_(kMaxRanges), limits_(limits), limit_(limits.initial_window) {}

uint8_t Receiver::ScaleFor(size_t max_window) {
  uint8_t scale = 0;
  while (scale < 14 && (size_t{65535} << scale) < max_window) ++scale;
  return scale;
}

void Receiver::Start(Sequence next, uint32_t offered, uint8_t scale) {
  read_ = next_ = next;
  right_ = next + offered;
  scale_ = scale;
  limits_.max_window = std::min(limits_.max_window, size_t{65535} << scale);
  limit_ = std::min(limit_, limits_.max_window);
}

void Receiver::Advance(Sequence to) {
  next_ = gaps_.PopFront(to);
  if (fin_.has_value() && next_ == *fin_) ++next_;
}

Receiver::Result Receiver::OnData(Sequence start, absl::Span<const uint8_t> bytes) {
  const Sequence end = start + bytes.size();
  if (end <= next_ || (start > next_ && gaps_.Covers({start, end}))) {
    duplicate_ = {start, end};
    return Result::kDuplicate;
  }
  if (start < next_) {
    duplicate_ = {start, next_};
    bytes.remove_prefix(static_cast<size_t>(next_ - start));
    start = next_;
  }
  const bool in_order = start == next_;
  if (!in_order && !pool_.spare_for_gaps()) return Result::kNoMemory;
  if (!store_.Write(start, bytes)) return Result::kNoMemory;
  if (in_order) {
    Advance(end);
    return Result::kInOrder;
  }
  if (!gaps_.Add({start, end})) return Result::kNoMemory;
  // Newest first, each range once.
  const Range changed = gaps_.Find(start);
  size_t from = 0;
  while (from + 1 < recent_.size() && !(recent_[from] >= changed.start && recent_[from] < changed.end)) ++from;
  std::move_backward(recent_.begin(), recent_.begin() + static_cast<ptrdiff_t>(from),
                     recent_.begin() + static_cast<ptrdiff_t>(from) + 1);
  recent_[0] = start;
  return Result::kOutOfOrder;
}

void Receiver::OnFin(Sequence end) {
  if (fin_.has_value() || end < next_) return;
  fin_ = end;
  if (next_ == end) Advance(end);
}

Sequence Receiver::WantedEdge(uint32_t mss) const {
  // Half of what is left of the budget is for one connection; what others hold unread shrinks it.
  const size_t limit = std::min(limit_, std::max<size_t>(pool_.free_bytes() / 2, 2 * mss));
  return std::max(right_, read_ + limit);
}

uint16_t Receiver::Announce(uint32_t mss) {
  const Sequence wanted = WantedEdge(mss);
  if (wanted - right_ >= std::min<uint64_t>(limit_ / 2, mss)) right_ = wanted;
  const uint64_t window = right_ > next_ ? right_ - next_ : 0;
  return static_cast<uint16_t>(std::min<uint64_t>(window >> scale_, 65535));
}

void Receiver::Tune(size_t bytes, int64_t now, int64_t rtt_ns) {
  tune_bytes_ += bytes;
  if (tune_start_ == 0) tune_start_ = now;
  if (tune_bytes_ < limit_) return;
  if (2 * (now - tune_start_) < 5 * std::max(rtt_ns, int64_t{1'000'000})) {
    limit_ = std::min(2 * limit_, limits_.max_window);
  }
  tune_bytes_ = 0;
  tune_start_ = now;
}

bool Receiver::Consume(size_t bytes, int64_t now, int64_t rtt_ns, uint32_t mss) {
  bytes = std::min(bytes, available());
  read_ += bytes;
  if (available() == 0 && gaps_.empty()) {
    store_.Clear();
  } else {
    store_.ReleaseBelow(read_);
  }
  Tune(bytes, now, rtt_ns);
  if (fin_received()) return false;
  const uint64_t offered = right_ > next_ ? right_ - next_ : 0;
  const uint64_t wanted = WantedEdge(mss) - next_;
  return wanted >= offered + std::min<uint64_t>(limit_ / 2, 2 * mss) && offered < limit_ / 2;
}

void Receiver::Clear() {
  read_ = data_end();
  store_.Clear();
}

size_t Receiver::SackBlocks(absl::Span<SackBlock> out) {
  size_t count = 0;
  if (duplicate_.has_value() && !out.empty()) {
    out[count++] = {Wire(duplicate_->start), Wire(duplicate_->end)};
    duplicate_.reset();
  }
  const size_t first = count;
  for (const Sequence recent : recent_) {
    if (count == out.size()) break;
    const Range range = gaps_.Find(recent);
    if (range.start == range.end) continue;
    const SackBlock block{Wire(range.start), Wire(range.end)};
    const bool twice =
        std::any_of(out.begin() + static_cast<ptrdiff_t>(first), out.begin() + static_cast<ptrdiff_t>(count),
                    [&](const SackBlock& b) { return b.start == block.start; });
    if (!twice) out[count++] = block;
  }
  return count;
}

}  // namespace lattice::netstack
