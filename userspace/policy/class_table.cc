// Theory of operation. A class is a list of terms; for one protocol class, each term
// covers some ranges of keys. The verdict of a key is the first deny term in list order
// that covers it, else the first allow term, else the default. So the key line is cut
// at every range edge, and the terms paint the pieces in that order of precedence, each
// only what is still blank: after sorting, work is linear in terms plus pieces however
// much they overlap. The painted line becomes a tree of range nodes, ten ways each.
#include "userspace/policy/class_table.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "glog/logging.h"

namespace lattice::policy {
namespace {

constexpr uint32_t kKeyEnd = 0x10000;
constexpr int kFanOut = 10;

uint32_t DecisionOf(bool deny, uint32_t rule) {
  return deny ? rule : rule | LAT_DECISION_ALLOW;
}

int ClassOf(const Rule& rule) {
  if (rule.protocol == IPPROTO_TCP) return LAT_PROTO_TCP;
  if (rule.protocol == IPPROTO_UDP) return LAT_PROTO_UDP;
  return rule.protocol == IcmpProtocol(rule.prefix) ? LAT_PROTO_ICMP : LAT_PROTO_OTHER;
}

// The pieces 0..count-1 of a line and which of them are still blank.
class Blank {
 public:
  explicit Blank(size_t count) : next_(count + 1) { std::iota(next_.begin(), next_.end(), size_t{0}); }

  // The first blank piece from `i` on; `count` if there is none.
  size_t From(size_t i) {
    while (next_[i] != i) {
      next_[i] = next_[next_[i]];
      i = next_[i];
    }
    return i;
  }
  void Take(size_t i) { next_[i] = i + 1; }

 private:
  std::vector<size_t> next_;
};

}  // namespace

ClassTable::Shape ClassTable::MakeShape(const Rule& rule) {
  Shape shape{.deny = rule.deny, .has_ports = !rule.ports.empty()};
  for (const PortRange& range : rule.ports) shape.ports.push_back({range.first, uint32_t{range.last} + 1});
  if (!shape.has_ports) shape.ports.push_back({0, kKeyEnd});
  switch (rule.protocols) {
    case ProtocolMatch::kAny:
      shape.classes.fill(true);
      shape.others = {0, kKeyEnd};
      break;
    case ProtocolMatch::kTcpUdp:
      shape.classes[LAT_PROTO_TCP] = shape.classes[LAT_PROTO_UDP] = true;
      break;
    case ProtocolMatch::kOne:
      shape.classes[ClassOf(rule)] = true;
      shape.others = {rule.protocol, rule.protocol + 1u};
      break;
  }
  return shape;
}

uint32_t ClassTable::ShapeOf(const Rule& rule) {
  const bool icmp = rule.protocol == IcmpProtocol(rule.prefix);
  // Bits: 63 deny, 62 ICMP of the family, 61-60 match, 59-52 protocol, 32 one range, 31-0 that range.
  uint64_t key = uint64_t{rule.deny} << 63 | uint64_t{icmp} << 62 | static_cast<uint64_t>(rule.protocols) << 60 |
                 uint64_t{rule.protocol} << 52;
  const auto new_id = static_cast<uint32_t>(shapes_.size());
  uint32_t id = new_id;
  if (rule.ports.size() <= 1) {
    if (rule.ports.size() == 1) key |= uint64_t{1} << 32 | uint64_t{rule.ports[0].first} << 16 | rule.ports[0].last;
    id = simple_shape_ids_.try_emplace(key, new_id).first->second;
  } else {
    std::string long_key(reinterpret_cast<const char*>(&key), sizeof(key));
    long_key.append(reinterpret_cast<const char*>(rule.ports.data()), rule.ports.size() * sizeof(PortRange));
    id = other_shape_ids_.try_emplace(std::move(long_key), new_id).first->second;
  }
  if (id == new_id) shapes_.push_back(MakeShape(rule));
  return id;
}

bool ClassTable::Commute(uint32_t shape, uint32_t other) const {
  const Shape& a = shapes_[shape];
  const Shape& b = shapes_[other];
  if (a.deny != b.deny) return true;
  if (a.classes[LAT_PROTO_ICMP] && b.classes[LAT_PROTO_ICMP]) return false;
  if (a.classes[LAT_PROTO_OTHER] && b.classes[LAT_PROTO_OTHER] && a.others.first < b.others.end &&
      b.others.first < a.others.end) {
    return false;
  }
  const bool meet =
      (a.classes[LAT_PROTO_TCP] && b.classes[LAT_PROTO_TCP]) || (a.classes[LAT_PROTO_UDP] && b.classes[LAT_PROTO_UDP]);
  if (!meet) return true;
  if (a.deny) return false;  // both match packets without ports
  for (const KeyRange& in_a : a.ports) {
    for (const KeyRange& in_b : b.ports) {
      if (in_a.first < in_b.end && in_b.first < in_a.end) return false;
    }
  }
  return true;
}

absl::Span<const ClassTable::KeyRange> ClassTable::RangesOf(const Shape& shape, int proto_class) const {
  if (!shape.classes[proto_class]) return {};
  if (proto_class == LAT_PROTO_OTHER) return absl::MakeConstSpan(&shape.others, 1);
  return shape.ports;
}

uint32_t ClassTable::PortlessDecision(absl::Span<const Term> terms, int proto_class, uint32_t fallback) const {
  for (const Term& term : terms) {
    const Shape& shape = shapes_[term.shape];
    if (shape.deny && shape.classes[proto_class]) return DecisionOf(true, term.rule);
  }
  for (const Term& term : terms) {
    const Shape& shape = shapes_[term.shape];
    if (!shape.deny && shape.classes[proto_class] && !shape.has_ports) return DecisionOf(false, term.rule);
  }
  return fallback;
}

std::vector<ClassTable::Interval> ClassTable::Intervals(absl::Span<const Term> terms, int proto_class,
                                                        uint32_t fallback) const {
  std::vector<uint32_t> edges = {0};
  for (const Term& term : terms) {
    for (const KeyRange& range : RangesOf(shapes_[term.shape], proto_class)) {
      if (range.first != 0) edges.push_back(range.first);
      if (range.end < kKeyEnd) edges.push_back(range.end);
    }
  }
  std::sort(edges.begin(), edges.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());

  const auto piece_of = [&edges](uint32_t key) -> size_t {
    return std::lower_bound(edges.begin(), edges.end(), key) - edges.begin();
  };
  std::vector<uint32_t> decisions(edges.size(), fallback);
  Blank blank(edges.size());
  for (const bool deny : {true, false}) {
    for (const Term& term : terms) {
      if (blank.From(0) == edges.size()) break;
      const Shape& shape = shapes_[term.shape];
      if (shape.deny != deny) continue;
      for (const KeyRange& range : RangesOf(shape, proto_class)) {
        const size_t end = piece_of(range.end);
        for (size_t i = blank.From(piece_of(range.first)); i < end; i = blank.From(i)) {
          decisions[i] = DecisionOf(deny, term.rule);
          blank.Take(i);
        }
      }
    }
  }

  std::vector<Interval> intervals;
  for (size_t i = 0; i < edges.size(); ++i) {
    if (i == 0 || decisions[i] != intervals.back().ref) intervals.push_back({edges[i], decisions[i]});
  }
  return intervals;
}

uint32_t ClassTable::RangeNode(absl::Span<const Interval> children) {
  CHECK_LE(children.size(), size_t{kFanOut});
  lat_range_node node{};
  for (int i = 0; i < kFanOut; ++i) {
    const bool used = static_cast<size_t>(i) < children.size();
    node.child[i] = used ? children[i].ref : children.back().ref;
    if (i == 0) continue;
    const uint64_t edge = used ? children[i].first : LAT_RANGE_UNUSED;
    node.edges[(i - 1) / 3] |= edge << LAT_RANGE_LANE * ((i - 1) % 3);
  }
  std::array<uint32_t, LAT_UNIT_WORDS> words;
  std::memcpy(words.data(), &node, sizeof(node));
  const auto [entry, is_new] = nodes_.try_emplace(words, 0);
  if (is_new) {
    const uint32_t place = table_.AddUnit();
    std::copy(words.begin(), words.end(), &table_[size_t{place} * LAT_PLACE_WORDS]);
    entry->second = LAT_NODE | place;
  }
  return entry->second;
}

uint32_t ClassTable::AddRangeTree(std::vector<Interval> intervals) {
  int height = 0;
  while (intervals.size() > 1) {
    std::vector<Interval> parents;
    for (size_t i = 0; i < intervals.size(); i += kFanOut) {
      const auto children = absl::MakeConstSpan(intervals).subspan(i, kFanOut);
      parents.push_back({children[0].first, children.size() == 1 ? children[0].ref : RangeNode(children)});
    }
    intervals = std::move(parents);
    ++height;
  }
  CHECK_LE(height, LAT_MAX_PORT_STEPS);
  return intervals[0].ref;
}

uint32_t ClassTable::AddRow(absl::Span<const Term> terms, bool default_allow) {
  const uint32_t fallback = DecisionOf(!default_allow, 0);
  const uint32_t row = table_.AddHalf() * LAT_PLACE_WORDS;
  ++rows_;
  for (int proto_class = 0; proto_class < LAT_PROTO_CLASSES; ++proto_class) {
    const uint32_t ref = AddRangeTree(Intervals(terms, proto_class, fallback));
    table_[row + proto_class] = ref;
    // Only TCP and UDP have ports that can be missing.
    const bool ported = proto_class == LAT_PROTO_TCP || proto_class == LAT_PROTO_UDP;
    table_[row + LAT_PROTO_CLASSES + proto_class] = ported ? PortlessDecision(terms, proto_class, fallback) : ref;
  }
  return row;
}

}  // namespace lattice::policy
