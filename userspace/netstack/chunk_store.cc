#include "userspace/netstack/chunk_store.h"

#include <algorithm>
#include <cstring>

namespace lattice::netstack {
namespace {
constexpr size_t kSpareChunks = 64;
}

ChunkPool::~ChunkPool() {
  for (uint8_t* chunk : spare_) delete[] chunk;
}

uint8_t* ChunkPool::Take() {
  if (free_bytes() < kChunkBytes) return nullptr;
  used_bytes_ += kChunkBytes;
  if (spare_.empty()) return new uint8_t[kChunkBytes];
  uint8_t* chunk = spare_.back();
  spare_.pop_back();
  return chunk;
}

void ChunkPool::Give(uint8_t* chunk) {
  used_bytes_ -= kChunkBytes;
  if (spare_.size() < kSpareChunks) {
    spare_.push_back(chunk);
  } else {
    delete[] chunk;
  }
}

uint8_t* ChunkStore::ChunkAt(Sequence sequence) {
  const uint64_t number = sequence / kChunkBytes;
  if (chunks_.empty()) {
    first_ = number;
    head_ = 0;
  }
  // An out-of-order segment may come before those that fill the chunks below it.
  if (number < first_) {
    const size_t missing = first_ - number;
    if (missing > head_) chunks_.insert(chunks_.begin(), missing - head_, nullptr), head_ = missing;
    head_ -= missing;
    first_ = number;
  }
  const size_t index = head_ + (number - first_);
  if (index >= chunks_.size()) chunks_.resize(index + 1, nullptr);
  if (chunks_[index] == nullptr) chunks_[index] = pool_.Take();
  return chunks_[index];
}

bool ChunkStore::Write(Sequence from, absl::Span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const size_t offset = from % kChunkBytes;
    const size_t length = std::min(bytes.size(), kChunkBytes - offset);
    uint8_t* chunk = ChunkAt(from);
    if (chunk == nullptr) return false;
    std::memcpy(chunk + offset, bytes.data(), length);
    from += length;
    bytes.remove_prefix(length);
  }
  return true;
}

size_t ChunkStore::Writable(Sequence from, Sequence to, absl::Span<iovec> out) {
  size_t count = 0;
  while (from < to && count < out.size()) {
    const size_t offset = from % kChunkBytes;
    const size_t length = std::min<size_t>(to - from, kChunkBytes - offset);
    uint8_t* chunk = ChunkAt(from);
    if (chunk == nullptr) break;
    out[count++] = {chunk + offset, length};
    from += length;
  }
  return count;
}

size_t ChunkStore::Readable(Sequence from, Sequence to, absl::Span<iovec> out) const {
  size_t count = 0;
  while (from < to && count < out.size()) {
    const size_t offset = from % kChunkBytes;
    const size_t length = std::min<size_t>(to - from, kChunkBytes - offset);
    out[count++] = {chunks_[head_ + (from / kChunkBytes - first_)] + offset, length};
    from += length;
  }
  return count;
}

void ChunkStore::ReleaseBelow(Sequence sequence) {
  const uint64_t number = sequence / kChunkBytes;
  for (; first_ < number && head_ < chunks_.size(); ++first_, ++head_) {
    if (chunks_[head_] != nullptr) pool_.Give(chunks_[head_]);
    chunks_[head_] = nullptr;
  }
  if (head_ == chunks_.size()) return Clear();
  // The list is cut when half of it is behind us: each entry is moved once for each it outlives.
  if (head_ > 16 && head_ > chunks_.size() / 2) {
    chunks_.erase(chunks_.begin(), chunks_.begin() + static_cast<ptrdiff_t>(head_));
    head_ = 0;
  }
}

void ChunkStore::ReleaseFrom(Sequence sequence) {
  const uint64_t keep = (sequence + kChunkBytes - 1) / kChunkBytes;  // chunks with a lower number stay
  while (chunks_.size() > head_ && first_ + (chunks_.size() - head_) > keep) {
    if (chunks_.back() != nullptr) pool_.Give(chunks_.back());
    chunks_.pop_back();
  }
  if (head_ == chunks_.size()) Clear();
}

void ChunkStore::Clear() {
  for (size_t i = head_; i < chunks_.size(); ++i) {
    if (chunks_[i] != nullptr) pool_.Give(chunks_[i]);
  }
  std::vector<uint8_t*>().swap(chunks_);
  head_ = 0;
}

}  // namespace lattice::netstack
