// From the rules that cover a prefix to a class row of the word table: what TCP, UDP,
// ICMP and other protocols get, by port. Equal port trees are written once. One thread.
#ifndef USERSPACE_POLICY_CLASS_TABLE_H_
#define USERSPACE_POLICY_CLASS_TABLE_H_

#include <lattice/policy.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "userspace/policy/rule.h"
#include "userspace/policy/word_table.h"

namespace lattice::policy {

class ClassTable {
 public:
  // `table` must outlive this.
  explicit ClassTable(WordTable& table) : table_(table) {}

  // What a rule asks of a packet apart from its address, as a small number. Rules with
  // one shape decide alike wherever their prefix is.
  uint32_t ShapeOf(const Rule& rule);

  // Whether two neighbouring rules of these shapes can change places in a list without
  // any packet getting another verdict or another rule.
  bool Commute(uint32_t shape, uint32_t other) const;

  // One rule that covers the prefix; `rule` are bits 29-0 of the decision that names it.
  struct Term {
    uint32_t shape;
    uint32_t rule;
  };
  // Word index of a new row for `terms`, which are in list order.
  uint32_t AddRow(absl::Span<const Term> terms, bool default_allow);

  size_t rows() const { return rows_; }
  size_t range_nodes() const { return nodes_.size(); }

 private:
  struct KeyRange {
    uint32_t first;
    uint32_t end;  // exclusive
  };
  // Seen by class: which keys (ports, or protocol numbers of LAT_PROTO_OTHER) match.
  struct Shape {
    bool deny = false;
    std::array<bool, LAT_PROTO_CLASSES> classes{};
    bool has_ports = false;
    std::vector<KeyRange> ports;  // all keys if has_ports is false
    KeyRange others{};
  };
  struct Interval {
    uint32_t first;
    uint32_t ref;
  };

  static Shape MakeShape(const Rule& rule);
  absl::Span<const KeyRange> RangesOf(const Shape& shape, int proto_class) const;
  uint32_t PortlessDecision(absl::Span<const Term> terms, int proto_class, uint32_t fallback) const;
  std::vector<Interval> Intervals(absl::Span<const Term> terms, int proto_class, uint32_t fallback) const;
  uint32_t AddRangeTree(std::vector<Interval> intervals);
  uint32_t RangeNode(absl::Span<const Interval> children);

  WordTable& table_;
  std::vector<Shape> shapes_;
  absl::flat_hash_map<uint64_t, uint32_t> simple_shape_ids_;  // at most one port range
  absl::flat_hash_map<std::string, uint32_t> other_shape_ids_;
  absl::flat_hash_map<std::array<uint32_t, LAT_UNIT_WORDS>, uint32_t> nodes_;  // content -> ref
  size_t rows_ = 0;
};

}  // namespace lattice::policy

#endif  // USERSPACE_POLICY_CLASS_TABLE_H_
