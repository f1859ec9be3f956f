#include "userspace/control/audit/store_gaps.h"

#include <algorithm>
#include <utility>

namespace lattice::control {

void SourceNumbers::Open(int64_t first, int64_t last, int64_t now_ns) {
  if (first > last) return;
  holes_[first] = {.last = last, .found_ns = now_ns};
  missing_ += static_cast<uint64_t>(last - first + 1);
}

void SourceNumbers::Extend(int64_t first, int64_t last, int64_t now_ns,
                           std::vector<std::pair<int64_t, int64_t>>* outside) {
  if (empty()) {
    first_ = node_is_known_ ? 1 : first;
    Open(first_, first - 1, now_ns);
    last_ = last;
    outside->emplace_back(first, last);
    return;
  }
  const int64_t known_first = first_, known_last = last_;
  if (first < known_first) {
    const int64_t end = std::min(last, known_first - 1);
    outside->emplace_back(first, end);
    Open(end + 1, known_first - 1, now_ns);
    first_ = first;
  }
  if (last > known_last) {
    const int64_t begin = std::max(first, known_last + 1);
    outside->emplace_back(begin, last);
    Open(known_last + 1, begin - 1, now_ns);
    last_ = last;
  }
}

template <typename Change>
void SourceNumbers::Cut(int64_t first, int64_t last, Change change) {
  auto at = holes_.upper_bound(first);
  if (at != holes_.begin() && std::prev(at)->second.last >= first) --at;
  while (at != holes_.end() && at->first <= last) {
    const int64_t hole_first = at->first;
    const Hole hole = at->second;
    at = holes_.erase(at);
    const int64_t cut_first = std::max(first, hole_first), cut_last = std::min(last, hole.last);
    if (hole_first < cut_first) holes_[hole_first] = {cut_first - 1, hole.found_ns, hole.explained_by};
    if (hole.last > cut_last) holes_[cut_last + 1] = hole;
    change(cut_first, cut_last, hole);
  }
}

void SourceNumbers::Arrive(int64_t first, int64_t last, int64_t now_ns) {
  std::vector<std::pair<int64_t, int64_t>> outside;
  const bool had_numbers = !empty();
  Extend(first, last, now_ns, &outside);
  if (!had_numbers) return;
  Cut(first, last, [this](int64_t cut_first, int64_t cut_last, const Hole& hole) {
    const auto count = static_cast<uint64_t>(cut_last - cut_first + 1);
    uint64_t& counter = hole.explained_by.empty() ? missing_ : lost_;
    counter -= std::min(counter, count);
  });
}

void SourceNumbers::Lose(int64_t first, int64_t last, int64_t count, const std::string& event_id, int64_t now_ns) {
  const int64_t told = std::clamp<int64_t>(count, 0, kMaxSeq);
  if (first <= 0 || last < first || last > kMaxSeq) {
    lost_ += static_cast<uint64_t>(told);
    return;
  }
  std::vector<std::pair<int64_t, int64_t>> explained;
  Extend(first, last, now_ns, &explained);
  std::vector<std::pair<int64_t, Hole>> kept;
  Cut(first, last, [&](int64_t cut_first, int64_t cut_last, const Hole& hole) {
    if (!hole.explained_by.empty()) {
      kept.emplace_back(cut_first, Hole{cut_last, hole.found_ns, hole.explained_by});
      return;
    }
    missing_ -= std::min(missing_, static_cast<uint64_t>(cut_last - cut_first + 1));
    kept.emplace_back(cut_first, Hole{cut_last, hole.found_ns, event_id});
    explained.emplace_back(cut_first, cut_last);
  });
  int64_t named = 0;
  for (const auto& [part_first, part_last] : explained) {
    named += part_last - part_first + 1;
    holes_[part_first] = {part_last, now_ns, event_id};
  }
  for (auto& [part_first, hole] : kept) holes_[part_first] = std::move(hole);
  lost_ += static_cast<uint64_t>(std::max(named, told - (last - first + 1 - named)));
}

std::vector<int64_t> SourceNumbers::Removed() const {
  std::vector<int64_t> removed;
  for (const auto& [first, hole] : loaded_) {
    if (!holes_.contains(first)) removed.push_back(first);
  }
  return removed;
}

Holes SourceNumbers::Added() const {
  Holes added;
  for (const auto& [first, hole] : holes_) {
    const auto before = loaded_.find(first);
    if (before == loaded_.end() || !(before->second == hole)) added.emplace(first, hole);
  }
  return added;
}

}  // namespace lattice::control
