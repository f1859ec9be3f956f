// Theory of operation. Entries lie side by side from the first unacknowledged byte to the last that was sent. Those
// sent once are also in the order of time; those sent again are the exception. So RACK, which calls lost what was
// sent some while before something that has arrived, walks from the first entry to the first one that was sent once
// and later than that: over the holes and the SACKed ranges between them, not over packets.
#include "userspace/netstack/scoreboard.h"

#include <algorithm>
#include <iterator>

namespace lattice::netstack {

Scoreboard::Entry Scoreboard::NewEntry(Sequence end, int64_t now, bool app_limited) {
  // A pipe that was empty starts a new interval: the pause is no part of the rate.
  if (in_flight_ == 0) first_sent_ns_ = delivered_ns_ = now;
  last_sent_ns_ = now;
  return {.end = end,
          .sent_ns = now,
          .delivered = delivered_,
          .delivered_ns = delivered_ns_,
          .first_sent_ns = first_sent_ns_,
          .app_limited = app_limited || app_limited_until_ != 0};
}

void Scoreboard::OnSend(Sequence start, Sequence end, int64_t now, bool app_limited) {
  entries_.emplace_hint(entries_.end(), start, NewEntry(end, now, app_limited));
  in_flight_ += end - start;
}

void Scoreboard::OnRetransmit(Sequence start, Sequence end, int64_t now, bool app_limited) {
  SplitAt(end);
  Iterator at = SplitAt(start);
  Entry entry = NewEntry(end, now, app_limited);
  entry.resent = true;
  while (at != entries_.end() && at->first < end) {
    SetFate(at->first, at->second, Fate::kSacked);  // leaves the other two counts
    sacked_ -= at->second.end - at->first;
    at = entries_.erase(at);
  }
  entries_.emplace(start, entry);
  in_flight_ += end - start;
}

Scoreboard::Iterator Scoreboard::SplitAt(Sequence sequence) {
  Iterator at = entries_.lower_bound(sequence);
  if (at == entries_.begin()) return at;
  Iterator before = std::prev(at);
  if (before->second.end <= sequence) return at;
  const Entry upper = before->second;
  before->second.end = sequence;
  return entries_.emplace(sequence, upper).first;
}

void Scoreboard::SetFate(Sequence start, Entry& entry, Fate fate) {
  const uint64_t bytes = entry.end - start;
  const auto count = [this](Fate f) -> uint64_t& {
    return f == Fate::kInFlight ? in_flight_ : f == Fate::kLost ? lost_ : sacked_;
  };
  count(entry.fate) -= bytes;
  count(fate) += bytes;
  entry.fate = fate;
  if (fate == Fate::kLost) lost_hint_ = std::min(lost_hint_, start);
}

// RFC 8985 6.2 steps 1 and 2, and the sample of the delivery rate.
void Scoreboard::Delivered(Sequence start, const Entry& entry, int64_t now, int64_t min_rtt_ns, int64_t echo_before_ns,
                           AckResult* result) {
  const uint64_t bytes = entry.end - start;
  result->acked += bytes;
  delivered_ += bytes;
  delivered_ns_ = now;
  const int64_t rtt = now - entry.sent_ns;
  if (!entry.resent) {
    if (entry.end < highest_before_) result->reordered = true;
    if (result->rtt_ns < 0 || rtt < result->rtt_ns) result->rtt_ns = rtt;
  }
  // The answer to a copy sent a moment ago is for the first one.
  const bool of_first_copy = entry.resent && (rtt < min_rtt_ns || entry.sent_ns >= echo_before_ns);
  if (!of_first_copy && (entry.sent_ns > rack_sent_ns_ || (entry.sent_ns == rack_sent_ns_ && entry.end > rack_end_))) {
    rack_sent_ns_ = entry.sent_ns;
    rack_end_ = entry.end;
    rack_rtt_ns_ = rtt;
  }
  if (!newest_.valid || entry.sent_ns > newest_.sent_ns ||
      (entry.sent_ns == newest_.sent_ns && entry.end > newest_.end)) {
    newest_ = {.valid = true,
               .app_limited = entry.app_limited,
               .prior_delivered = entry.delivered,
               .prior_ns = entry.delivered_ns,
               .send_ns = entry.sent_ns - entry.first_sent_ns,
               .sent_ns = entry.sent_ns,
               .end = entry.end};
    first_sent_ns_ = entry.sent_ns;
  }
}

void Scoreboard::MarkSacked(Range range, int64_t now, int64_t min_rtt_ns, AckResult* result) {
  // Most SACK blocks repeat what is known.
  Iterator known = entries_.upper_bound(range.start);
  if (known != entries_.begin() && std::prev(known)->second.fate == Fate::kSacked &&
      std::prev(known)->second.end >= range.end) {
    return;
  }
  SplitAt(range.end);
  Iterator at = SplitAt(range.start);
  while (at != entries_.end() && at->first < range.end) {
    if (at->second.fate != Fate::kSacked) {
      Delivered(at->first, at->second, now, min_rtt_ns, kNever, result);
      SetFate(at->first, at->second, Fate::kSacked);
    }
    // Melt with the one before.
    if (at != entries_.begin()) {
      Iterator before = std::prev(at);
      if (before->second.fate == Fate::kSacked && before->second.end == at->first) {
        before->second.end = at->second.end;
        at = entries_.erase(at);
        continue;
      }
    }
    ++at;
  }
  if (at != entries_.end() && at != entries_.begin() && at->second.fate == Fate::kSacked) {
    Iterator before = std::prev(at);
    if (before->second.fate == Fate::kSacked && before->second.end == at->first) {
      before->second.end = at->second.end;
      entries_.erase(at);
    }
  }
  highest_sacked_ = std::max(highest_sacked_, range.end);
}

void Scoreboard::FinishRate(int64_t now, AckResult* result) {
  if (app_limited_until_ != 0 && delivered_ >= app_limited_until_) app_limited_until_ = 0;
  if (!newest_.valid) return;
  result->rate_ns = std::max(newest_.send_ns, now - newest_.prior_ns);
  result->rate_bytes = delivered_ - newest_.prior_delivered;
  result->prior_delivered = newest_.prior_delivered;
  result->app_limited = newest_.app_limited;
  newest_.valid = false;
}

Scoreboard::AckResult Scoreboard::OnAck(Sequence una, absl::Span<const Range> sacks, int64_t now, int64_t min_rtt_ns,
                                        int64_t echo_before_ns) {
  AckResult result;
  // One ACK may report several ranges, the newest first: their order among themselves says nothing.
  highest_before_ = highest_sacked_;
  const Iterator end = SplitAt(una);
  for (Iterator at = entries_.begin(); at != end; ++at) {
    if (at->second.fate != Fate::kSacked) Delivered(at->first, at->second, now, min_rtt_ns, echo_before_ns, &result);
    SetFate(at->first, at->second, Fate::kSacked);
    sacked_ -= at->second.end - at->first;
  }
  entries_.erase(entries_.begin(), end);
  for (const Range& range : sacks) {
    if (range.end > una) MarkSacked({std::max(range.start, una), range.end}, now, min_rtt_ns, &result);
  }
  highest_sacked_ = std::max(highest_sacked_, una);
  FinishRate(now, &result);
  return result;
}

Scoreboard::LossResult Scoreboard::DetectLoss(int64_t now, int64_t window_ns) {
  LossResult result;
  for (auto& [start, entry] : entries_) {
    if (entry.fate == Fate::kInFlight &&
        (entry.sent_ns < rack_sent_ns_ || (entry.sent_ns == rack_sent_ns_ && entry.end < rack_end_))) {
      const int64_t due = entry.sent_ns + rack_rtt_ns_ + window_ns;
      if (due <= now) {
        result.lost += entry.end - start;
        SetFate(start, entry, Fate::kLost);
      } else {
        result.deadline = std::min(result.deadline, due);
      }
    } else if (!entry.resent && entry.fate == Fate::kInFlight && entry.sent_ns > rack_sent_ns_) {
      break;
    }
  }
  return result;
}

void Scoreboard::MarkAllLost() {
  if (entries_.empty()) return;
  const bool taken_back = entries_.begin()->second.fate == Fate::kSacked;
  for (auto& [start, entry] : entries_) {
    if (entry.fate == Fate::kInFlight || taken_back) SetFate(start, entry, Fate::kLost);
  }
}

uint64_t Scoreboard::MarkLost(Range range) {
  uint64_t lost = 0;
  SplitAt(range.end);
  for (Iterator at = SplitAt(range.start); at != entries_.end() && at->first < range.end; ++at) {
    if (at->second.fate != Fate::kInFlight) continue;
    lost += at->second.end - at->first;
    SetFate(at->first, at->second, Fate::kLost);
  }
  return lost;
}

void Scoreboard::MarkNoneLost() {
  for (auto& [start, entry] : entries_) {
    if (entry.fate == Fate::kLost) SetFate(start, entry, Fate::kInFlight);
  }
}

std::optional<Range> Scoreboard::FirstLost() {
  if (lost_ == 0) return std::nullopt;
  Iterator at = entries_.lower_bound(lost_hint_);
  while (at->second.fate != Fate::kLost) ++at;
  lost_hint_ = at->first;
  // Neighbours that were found lost at different times are one range to send.
  Sequence end = at->second.end;
  for (Iterator next = std::next(at); next != entries_.end() && next->second.fate == Fate::kLost; ++next) {
    end = next->second.end;
    if (end - at->first > 65536) break;
  }
  return Range{at->first, end};
}

}  // namespace lattice::netstack
