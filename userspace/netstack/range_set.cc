#include "userspace/netstack/range_set.h"

#include <algorithm>

namespace lattice::netstack {

bool RangeSet::Add(Range range) {
  // All ranges of [first, last) touch or overlap the new one, which swallows them.
  const auto first = std::lower_bound(ranges_.begin(), ranges_.end(), range.start,
                                      [](const Range& r, Sequence start) { return r.end < start; });
  const auto last =
      std::upper_bound(first, ranges_.end(), range.end, [](Sequence end, const Range& r) { return end < r.start; });
  if (first == last) {
    if (ranges_.size() >= max_ranges_) return false;
    ranges_.insert(first, range);
    return true;
  }
  first->start = std::min(first->start, range.start);
  first->end = std::max((last - 1)->end, range.end);
  ranges_.erase(first + 1, last);
  return true;
}

Sequence RangeSet::PopFront(Sequence sequence) {
  auto last = ranges_.begin();
  while (last != ranges_.end() && last->start <= sequence) {
    sequence = std::max(sequence, last->end);
    ++last;
  }
  ranges_.erase(ranges_.begin(), last);
  if (ranges_.empty()) std::vector<Range>().swap(ranges_);
  return sequence;
}

Range RangeSet::Find(Sequence sequence) const {
  const auto at =
      std::upper_bound(ranges_.begin(), ranges_.end(), sequence, [](Sequence s, const Range& r) { return s < r.end; });
  if (at == ranges_.end() || at->start > sequence) return {sequence, sequence};
  return *at;
}

bool RangeSet::Covers(Range range) const {
  return Find(range.start).end >= range.end;
}

}  // namespace lattice::netstack
