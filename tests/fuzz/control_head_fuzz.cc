// Messages on lattice.audit.head from anybody: any text is a head within its bounds, or is refused. No signature made
// up by the fuzzer verifies.
#include <cstdint>

#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "userspace/control/audit/event_message.h"
#include "userspace/control/audit/head_message.h"

namespace lattice::control {

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto head = DecodeHead(text);
  if (!head.ok()) {
    CHECK(absl::IsInvalidArgument(head.status()) || absl::IsResourceExhausted(head.status())) << head.status();
    return 0;
  }
  CHECK(head->seq >= 0 && head->ts_ns >= 0);
  CHECK_LE(size, kMaxMessageBytes);
  CHECK(!head->signature_valid || !head->digest.empty());
  // Split in three it is a signature of something, never a crash.
  const size_t third = size / 3;
  VerifySignature(text.substr(0, third), text.substr(third, third), text.substr(2 * third));
  return 0;
}

}  // namespace lattice::control
