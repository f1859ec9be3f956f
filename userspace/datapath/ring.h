// Reads lat_record from a pinned BPF ring buffer in two steps: look at a batch, then
// commit. Only Commit moves the position the kernel knows, so what was looked at and
// not committed is read again by the next reader (the daemon after a crash):
// at-least-once. libbpf's own consumer commits record by record, hence this one.
//
//   size_t n = ring.Peek([&](const lat_record& r) { return batch.Add(r); });
//   if (Write(batch).ok()) ring.Commit(); else ring.Rewind();
//
// One reader per ring, one thread. Wait with epoll on fd() (level-triggered) only after
// Peek returned 0: the kernel wakes a reader that has committed all it was given.
#ifndef USERSPACE_DATAPATH_RING_H_
#define USERSPACE_DATAPATH_RING_H_

#include <lattice/abi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "userspace/base/unique_fd.h"

namespace lattice::datapath {

class RingReader {
 public:
  // `map_fd` is duplicated. FailedPrecondition: not a ring buffer.
  static absl::StatusOr<std::unique_ptr<RingReader>> Open(int map_fd);
  static absl::StatusOr<std::unique_ptr<RingReader>> OpenPinned(const std::string& path);
  ~RingReader();
  RingReader(const RingReader&) = delete;
  RingReader& operator=(const RingReader&) = delete;

  // Shows the complete records after the last one peeked, oldest first, until `visit` returns
  // false (that record was not taken and comes again), the ring is empty, or a record is still
  // being written. Returns how many were taken.
  size_t Peek(absl::FunctionRef<bool(const lat_record&)> visit);

  // Gives the space of all that was peeked back to the kernel.
  void Commit();
  // Forgets what was peeked since the last Commit: the next Peek shows it again.
  void Rewind() { peeked_ = committed_; }

  int fd() const { return map_.get(); }
  size_t capacity_bytes() const { return mask_ + 1; }
  // Bytes written and not committed, records still being written included.
  uint64_t pending_bytes() const;
  // Records of another size than lat_record, skipped since Open: always 0 unless someone else writes here.
  uint64_t malformed() const { return malformed_; }

 private:
  RingReader() = default;

  UniqueFd map_;
  char* consumer_page_ = nullptr;   // read-write: the consumer position
  char* producer_pages_ = nullptr;  // read-only: the producer position, then the data twice in a row
  size_t producer_bytes_ = 0;
  const char* data_ = nullptr;
  uint64_t mask_ = 0;
  uint64_t committed_ = 0;
  uint64_t peeked_ = 0;
  uint64_t malformed_ = 0;
};

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_RING_H_
