// wg-quick files: any text is refused with a message that names the place, or is a configuration whose parts are
// within their bounds.
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "userspace/wireguard/wg_quick.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = lattice::wireguard::ParseWgQuick(text);
  if (!config.ok()) {
    const absl::string_view message = config.status().message();
    CHECK(absl::StartsWith(message, "line ") || absl::StartsWith(message, "no [") || absl::StartsWith(message, "the ["))
        << message;
    CHECK(!absl::StrContains(message, '\n')) << message;
    return 0;
  }
  CHECK(!config->private_key.is_zero());
  CHECK(!config->mtu.has_value() || (*config->mtu >= 576 && *config->mtu <= 65535));
  for (const auto& address : config->addresses) CHECK_LE(address.length, address.address.is_v4() ? 32 : 128);
  for (const auto& peer : config->peers) {
    if (peer.endpoint.has_value()) CHECK(!peer.endpoint->host.empty() && peer.endpoint->port != 0);
  }
  return 0;
}
