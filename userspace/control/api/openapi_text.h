// The bytes of the two documents; made by CMake from the .json files (scripts/cmake/EmbedText.cmake).
#ifndef USERSPACE_CONTROL_API_OPENAPI_TEXT_H_
#define USERSPACE_CONTROL_API_OPENAPI_TEXT_H_

namespace lattice::control {

extern const char kAuditOpenApi[];
extern const char kRegistryOpenApi[];

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_API_OPENAPI_TEXT_H_
