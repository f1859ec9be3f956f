// The OpenAPI document of latticed's HTTP API: openapi.json beside this and the registry's, as one.
#ifndef USERSPACE_CONTROL_API_OPENAPI_H_
#define USERSPACE_CONTROL_API_OPENAPI_H_

#include <string>

namespace lattice::control {

const std::string& OpenApiText();

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_API_OPENAPI_H_
