// The numbers of one boot of a node: which have come, which are missing, which a loss event names.
//
// [first, last] is what the store knows of; every number in it has come or lies in a hole. Of a node that was seen
// before, numbers begin at 1: what is missing in front is a hole. Of one that is new to the store they begin at the
// first that comes, or each database that is younger than its nodes would report all of their past as missing.
//
// Sans-I/O; the caller loads the holes that [lowest touched, highest touched] meets. Values, no threads.
#ifndef USERSPACE_CONTROL_AUDIT_STORE_GAPS_H_
#define USERSPACE_CONTROL_AUDIT_STORE_GAPS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace lattice::control {

struct Hole {
  int64_t last = 0;
  int64_t found_ns = 0;
  std::string explained_by;  // eventId of the loss event; empty: nobody does

  bool operator==(const Hole&) const = default;
};
using Holes = std::map<int64_t, Hole>;  // by their first number; disjoint

// The largest number that counts. A larger one is forged: adding up such holes would leave 64 bits.
inline constexpr int64_t kMaxSeq = int64_t{1} << 48;

class SourceNumbers {
 public:
  // A boot without numbers yet.
  explicit SourceNumbers(bool node_is_known) : node_is_known_(node_is_known) {}
  // As it was stored.
  SourceNumbers(int64_t first, int64_t last, uint64_t missing, uint64_t lost)
      : first_(first), last_(last), missing_(missing), lost_(lost) {}

  void Load(Holes holes) { loaded_ = holes_ = std::move(holes); }

  // The numbers first..last have come, each for the first time.
  void Arrive(int64_t first, int64_t last, int64_t now_ns);
  // Loss event `event_id` says that `count` records are lost, among them the numbers first..last (0: it names none).
  // Those that have come after all are not counted.
  void Lose(int64_t first, int64_t last, int64_t count, const std::string& event_id, int64_t now_ns);

  bool empty() const { return last_ == 0; }
  int64_t first() const { return first_; }
  int64_t last() const { return last_; }
  uint64_t missing() const { return missing_; }  // numbers in holes that nothing explains
  uint64_t lost() const { return lost_; }

  // What to write: holes that are no longer there (by their first number), and new or changed ones.
  std::vector<int64_t> Removed() const;
  Holes Added() const;

 private:
  void Open(int64_t first, int64_t last, int64_t now_ns);
  // Takes in first..last, opening holes between it and what is known; the parts outside of what was known go to
  // `outside` (at most two).
  void Extend(int64_t first, int64_t last, int64_t now_ns, std::vector<std::pair<int64_t, int64_t>>* outside);
  // Calls `change` for each part of a hole within first..last, and takes it out of its hole.
  template <typename Change>
  void Cut(int64_t first, int64_t last, Change change);

  int64_t first_ = 0;
  int64_t last_ = 0;  // 0: none yet
  uint64_t missing_ = 0;
  uint64_t lost_ = 0;
  bool node_is_known_ = true;
  Holes loaded_;
  Holes holes_;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_STORE_GAPS_H_
