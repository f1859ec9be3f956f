// Reads a whole BPF hash map in batches. Header only, because the types of the entries are
// the caller's.
#ifndef USERSPACE_DATAPATH_TABLE_SCAN_H_
#define USERSPACE_DATAPATH_TABLE_SCAN_H_

#include <bpf/bpf.h>

#include <cerrno>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "userspace/datapath/kernel_object.h"

namespace lattice::datapath {

// Calls `visit` for each entry until it returns false. Entries that come or go meanwhile may be
// missed; an entry is seen twice only if it was deleted and made again. Any thread.
template <typename Key, typename Value>
absl::Status ScanHash(int map, absl::FunctionRef<bool(const Key&, const Value&)> visit) {
  // A batch holds whole buckets, so it must have room for the fullest one.
  uint32_t room = 4096;
  std::vector<Key> keys(room);
  std::vector<Value> values(room);
  uint32_t position = 0;
  bool begun = false;
  while (true) {
    uint32_t count = room;
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    const int result =
        bpf_map_lookup_batch(map, begun ? &position : nullptr, &position, keys.data(), values.data(), &count, &options);
    const int error = result == 0 ? 0 : errno;
    if (error == ENOSPC) {
      room *= 2;
      keys.resize(room);
      values.resize(room);
      continue;
    }
    if (error != 0 && error != ENOENT) return BpfError(error, "reading a BPF table");
    for (uint32_t i = 0; i < count; ++i) {
      if (!visit(keys[i], values[i])) return absl::OkStatus();
    }
    if (error == ENOENT) return absl::OkStatus();  // that was the last batch
    begun = true;
  }
}

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_TABLE_SCAN_H_
