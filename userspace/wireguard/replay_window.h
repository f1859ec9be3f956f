// Which counters of a session were seen (paper 5.4.6, RFC 6479): the newest 8,192 to the bit, all before them
// refused. A ring of words, so that a step forward clears words and never shifts. One thread.
#ifndef USERSPACE_WIREGUARD_REPLAY_WINDOW_H_
#define USERSPACE_WIREGUARD_REPLAY_WINDOW_H_

#include <algorithm>
#include <array>
#include <cstdint>

namespace lattice::wireguard {

class ReplayWindow {
 public:
  static constexpr uint64_t kPackets = 8192;

  // True the first time, for a counter in or after the window. Only for packets that are authentic: each call counts.
  bool Accept(uint64_t counter) {
    if (counter >= next_) {
      // The words entered are those after the newest one's up to this one's, at most all.
      const uint64_t newest_word = next_ == 0 ? 0 : (next_ - 1) / kWordBits;
      const uint64_t steps = std::min(counter / kWordBits - newest_word, kWords);
      for (uint64_t i = 1; i <= steps; ++i) words_[(newest_word + i) % kWords] = 0;
      next_ = counter + 1;
    } else if (next_ - counter > kPackets) {
      return false;
    }
    uint64_t& word = words_[counter / kWordBits % kWords];
    const uint64_t bit = uint64_t{1} << counter % kWordBits;
    if ((word & bit) != 0) return false;
    word |= bit;
    return true;
  }

 private:
  static constexpr uint64_t kWordBits = 64;
  // One more than the window fills: the newest word is only partly used.
  static constexpr uint64_t kWords = kPackets / kWordBits + 1;

  std::array<uint64_t, kWords> words_{};
  uint64_t next_ = 0;  // after the newest counter accepted; counters end long before 2^64
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_REPLAY_WINDOW_H_
