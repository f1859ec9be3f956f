#include "userspace/base/version.h"

#include "absl/strings/str_cat.h"

namespace lattice {

std::string Version() {
  return LATTICE_VERSION;
}

std::string Revision() {
  return LATTICE_REVISION;
}

std::string VersionLine() {
  return absl::StrCat(Version(), " (", Revision(), ")");
}

}  // namespace lattice
