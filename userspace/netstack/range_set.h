// A set of sequence numbers as sorted ranges that do not touch: what arrived out of order. One thread.
#ifndef USERSPACE_NETSTACK_RANGE_SET_H_
#define USERSPACE_NETSTACK_RANGE_SET_H_

#include <cstddef>
#include <vector>

#include "userspace/netstack/sequence.h"

namespace lattice::netstack {

struct Range {
  Sequence start, end;  // end is exclusive
  bool operator==(const Range&) const = default;
};

class RangeSet {
 public:
  explicit RangeSet(size_t max_ranges) : max_ranges_(max_ranges) {}

  // False, and nothing changed, if one more range would be one too many.
  bool Add(Range range);
  // Takes out what lies below `sequence` or touches it; returns the end of that, at least `sequence`.
  Sequence PopFront(Sequence sequence);
  // The range that holds `sequence`, or an empty one.
  Range Find(Sequence sequence) const;
  bool Covers(Range range) const;
  bool empty() const { return ranges_.empty(); }
  const std::vector<Range>& ranges() const { return ranges_; }

 private:
  const size_t max_ranges_;
  std::vector<Range> ranges_;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_RANGE_SET_H_
