// The lines of a configuration that wg(8) would send.
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "userspace/tunnel/uapi.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  // Refused, or understood: whatever it says is in bounds then, which the sanitizers watch.
  (void)lattice::tunnel::ParseUapiChange(text).ok();
  return 0;
}
