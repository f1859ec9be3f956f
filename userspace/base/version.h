// Which build this is.
#ifndef USERSPACE_BASE_VERSION_H_
#define USERSPACE_BASE_VERSION_H_

#include <string>

namespace lattice {

std::string Version();      // "0.1.0"
std::string Revision();     // commit of the source when the build was configured, or "unknown"
std::string VersionLine();  // both, for --version

}  // namespace lattice

#endif  // USERSPACE_BASE_VERSION_H_
