#include "userspace/control/web/assets.h"

namespace lattice::control {

const Asset* FindAsset(absl::string_view path, bool accepts_gzip) {
  const Asset* found = nullptr;
  for (const Asset& asset : Assets()) {
    if (asset.path != path || (asset.gzip && !accepts_gzip)) continue;
    if (found == nullptr || asset.gzip) found = &asset;
  }
  return found;
}

const Asset* FindPage(absl::string_view path, bool accepts_gzip) {
  const absl::string_view last = path.substr(path.rfind('/') + 1);
  const bool file = last.find('.') != absl::string_view::npos;
  return FindAsset(file ? path : "/index.html", accepts_gzip);
}

}  // namespace lattice::control
