// Theory of operation.
//
// A BPF ring buffer map is mapped in two parts (kernel/bpf/ringbuf.c): page 0 holds the
// consumer position and is ours to write; then, read-only, a page with the producer
// position and the data area, which the kernel maps twice in a row so that a record that
// wraps reads as one piece. Positions are bytes since creation; a position modulo the size
// is an offset. A record is an 8-byte header (length with two flag bits, page offset) and
// the payload, rounded up to 8 bytes.
//
// The kernel never writes behind the consumer position, so records between it and our own
// `peeked_` stay readable until Commit.
#include "userspace/datapath/ring.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

#include "absl/memory/memory.h"
#include "userspace/base/status.h"

namespace lattice::datapath {
namespace {

uint64_t LoadAcquire(const char* page) {
  return __atomic_load_n(reinterpret_cast<const uint64_t*>(page), __ATOMIC_ACQUIRE);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RingReader>> RingReader::Open(int map_fd) {
  bpf_map_info info = {};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(map_fd, &info, &size) != 0) return ErrnoStatus(errno, "asking about a ring buffer map");
  if (info.type != BPF_MAP_TYPE_RINGBUF) {
    return absl::FailedPreconditionError(absl::StrCat("map ", info.name, " is no ring buffer (type ", info.type, ")"));
  }
  auto ring = absl::WrapUnique(new RingReader);
  ring->map_.reset(fcntl(map_fd, F_DUPFD_CLOEXEC, 0));
  if (!ring->map_.ok()) return ErrnoStatus(errno, "duplicating a map descriptor");
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  ring->mask_ = info.max_entries - 1;
  ring->producer_bytes_ = page + 2 * size_t{info.max_entries};

  void* consumer = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, ring->map_.get(), 0);
  if (consumer == MAP_FAILED) return ErrnoStatus(errno, "mapping the consumer page of a ring buffer");
  ring->consumer_page_ = static_cast<char*>(consumer);
  void* producer =
      mmap(nullptr, ring->producer_bytes_, PROT_READ, MAP_SHARED, ring->map_.get(), static_cast<off_t>(page));
  if (producer == MAP_FAILED) return ErrnoStatus(errno, "mapping the data of a ring buffer");
  ring->producer_pages_ = static_cast<char*>(producer);
  ring->data_ = ring->producer_pages_ + page;
  ring->committed_ = LoadAcquire(ring->consumer_page_);
  ring->peeked_ = ring->committed_;
  return ring;
}

absl::StatusOr<std::unique_ptr<RingReader>> RingReader::OpenPinned(const std::string& path) {
  UniqueFd map(bpf_obj_get(path.c_str()));
  if (!map.ok()) return ErrnoStatus(errno, absl::StrCat("opening the pinned map ", path));
  return Open(map.get());
}

RingReader::~RingReader() {
  if (producer_pages_ != nullptr) munmap(producer_pages_, producer_bytes_);
  if (consumer_page_ != nullptr) munmap(consumer_page_, static_cast<size_t>(sysconf(_SC_PAGESIZE)));
}

size_t RingReader::Peek(absl::FunctionRef<bool(const lat_record&)> visit) {
  size_t taken = 0;
  const uint64_t end = LoadAcquire(producer_pages_);
  while (peeked_ < end) {
    const char* header = data_ + (peeked_ & mask_);
    const uint32_t length = __atomic_load_n(reinterpret_cast<const uint32_t*>(header), __ATOMIC_ACQUIRE);
    if ((length & BPF_RINGBUF_BUSY_BIT) != 0) break;
    const uint32_t payload = length & ~BPF_RINGBUF_DISCARD_BIT;
    if ((length & BPF_RINGBUF_DISCARD_BIT) == 0) {
      if (payload != sizeof(lat_record)) {
        ++malformed_;
      } else {
        if (!visit(*reinterpret_cast<const lat_record*>(header + BPF_RINGBUF_HDR_SZ))) break;
        ++taken;
      }
    }
    peeked_ += (uint64_t{payload} + BPF_RINGBUF_HDR_SZ + 7) & ~uint64_t{7};
  }
  return taken;
}

void RingReader::Commit() {
  if (committed_ == peeked_) return;
  committed_ = peeked_;
  // Sequentially consistent: the store must be visible before the next Peek reads a header. The
  // producer does the mirror image (commits its header, then reads our position to decide whether to
  // wake us); with a weaker order both could see the old value and the wake-up would be lost.
  __atomic_store_n(reinterpret_cast<uint64_t*>(consumer_page_), committed_, __ATOMIC_SEQ_CST);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

uint64_t RingReader::pending_bytes() const {
  return LoadAcquire(producer_pages_) - committed_;
}

}  // namespace lattice::datapath
