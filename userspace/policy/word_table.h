// The growing word table of include/lattice/policy.h: hands out units, halves of
// them and leaves, so that none of their users has to know about the others. One thread.
#ifndef USERSPACE_POLICY_WORD_TABLE_H_
#define USERSPACE_POLICY_WORD_TABLE_H_

#include <lattice/policy.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace lattice::policy {

class WordTable {
 public:
  WordTable() { AddUnits(1); }  // the header

  uint32_t& operator[](size_t index) { return words_[index]; }
  size_t size() const { return words_.size(); }
  std::vector<uint32_t>& words() { return words_; }

  // Gives back everything from word `size` on.
  void CutBack(size_t size) {
    words_.resize(size);
    half_ = 0;
    leaf_next_ = leaf_end_ = 0;
  }

  // What is taken of the kernel: whole blocks.
  static size_t BytesOf(size_t words) { return (words + LAT_BLOCK_WORDS - 1) / LAT_BLOCK_WORDS * LAT_BLOCK_BYTES; }
  size_t bytes() const { return BytesOf(size()); }

  // Places (word index / 8) of new zero words: of whole units, one unit, half a unit.
  // Halves given out one after the other share a unit.
  uint32_t AddUnits(size_t count) {
    const size_t place = words_.size() / LAT_PLACE_WORDS;
    words_.resize(words_.size() + count * LAT_UNIT_WORDS);
    return static_cast<uint32_t>(place);
  }
  uint32_t AddUnit() { return AddUnits(1); }
  uint32_t AddHalf() {
    if (half_ != 0) return std::exchange(half_, 0);
    const uint32_t place = AddUnits(1);
    half_ = place + 1;
    return place;
  }

  // Word index of `count` new words for a leaf; leaves lie close together.
  uint32_t AddLeaf(size_t count) {
    constexpr size_t kChunkUnits = 16;
    if (leaf_end_ - leaf_next_ < count) {
      const size_t units = std::max(kChunkUnits, (count + LAT_UNIT_WORDS - 1) / LAT_UNIT_WORDS);
      leaf_next_ = size_t{AddUnits(units)} * LAT_PLACE_WORDS;
      leaf_end_ = leaf_next_ + units * LAT_UNIT_WORDS;
    }
    const size_t leaf = leaf_next_;
    leaf_next_ += count;
    return static_cast<uint32_t>(leaf);
  }

 private:
  std::vector<uint32_t> words_;
  uint32_t half_ = 0;  // place of a free half; 0: none
  size_t leaf_next_ = 0;
  size_t leaf_end_ = 0;
};

}  // namespace lattice::policy

#endif  // USERSPACE_POLICY_WORD_TABLE_H_
