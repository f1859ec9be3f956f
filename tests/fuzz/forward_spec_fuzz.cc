// Values of --forward: any text is refused with a message that names it, or is a spec that reads as it prints.
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "userspace/sandbox/forward_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto spec = lattice::sandbox::ParseForward(text);
  if (!spec.ok()) {
    CHECK(absl::StartsWith(spec.status().message(), "--forward=")) << spec.status();
    return 0;
  }
  CHECK_NE(spec->port, 0);
  CHECK(spec->unix_path.empty() != (spec->host.empty() && spec->host_port == 0));
  const auto again = lattice::sandbox::ParseForward(spec->ToString());
  CHECK(again.ok() && *again == *spec) << spec->ToString();
  return 0;
}
