// Bytes of a stream by their sequence number, in chunks that exist only while they hold something. One thread.
//
// All stores of a stack draw from one ChunkPool with a hard limit. A store without data holds no memory.
#ifndef USERSPACE_NETSTACK_CHUNK_STORE_H_
#define USERSPACE_NETSTACK_CHUNK_STORE_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "userspace/netstack/sequence.h"

namespace lattice::netstack {

constexpr size_t kChunkBytes = 16 * 1024;

class ChunkPool {
 public:
  explicit ChunkPool(size_t budget_bytes) : budget_bytes_(budget_bytes) {}
  ~ChunkPool();
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;

  uint8_t* Take();  // nullptr: the budget is spent
  void Give(uint8_t* chunk);
  size_t used_bytes() const { return used_bytes_; }
  size_t free_bytes() const { return budget_bytes_ - used_bytes_; }
  // What is scarce goes first to data that came in order, which the application takes away; then to data out of
  // order, which waits for more; last to what the application wants to send.
  bool spare_for_gaps() const { return free_bytes() >= budget_bytes_ / 8; }
  bool spare_for_sending() const { return free_bytes() >= budget_bytes_ / 4; }

 private:
  const size_t budget_bytes_;
  size_t used_bytes_ = 0;
  std::vector<uint8_t*> spare_;  // a few, so that a busy connection does not ask the allocator for each chunk
};

class ChunkStore {
 public:
  // `pool` must outlive this.
  explicit ChunkStore(ChunkPool& pool) : pool_(pool) {}
  ~ChunkStore() { Clear(); }
  ChunkStore(const ChunkStore&) = delete;
  ChunkStore& operator=(const ChunkStore&) = delete;

  // Copies `bytes` to their place. False, with nothing promised about the place, if the pool is empty.
  // `from` must not be below what was released.
  bool Write(Sequence from, absl::Span<const uint8_t> bytes);
  // Writable memory for [from, to), as far as `out` and the pool reach. Returns the number of entries.
  size_t Writable(Sequence from, Sequence to, absl::Span<iovec> out);
  // What was written at [from, to). Returns the number of entries; all of it fits if out is large enough.
  size_t Readable(Sequence from, Sequence to, absl::Span<iovec> out) const;
  void ReleaseBelow(Sequence sequence);
  // Frees chunks that lie wholly at or above it.
  void ReleaseFrom(Sequence sequence);
  void Clear();
  bool empty() const { return chunks_.empty(); }

 private:
  uint8_t* ChunkAt(Sequence sequence);  // made if missing; nullptr: the pool is empty

  ChunkPool& pool_;
  std::vector<uint8_t*> chunks_;  // nullptr: a hole
  size_t head_ = 0;               // chunks_[head_] is the first that counts
  uint64_t first_ = 0;            // its number: sequence / kChunkBytes
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_CHUNK_STORE_H_
