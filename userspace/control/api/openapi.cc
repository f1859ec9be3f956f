#include "userspace/control/api/openapi.h"

#include <glog/logging.h>

#include <nlohmann/json.hpp>

#include "userspace/control/api/openapi_text.h"

namespace lattice::control {
namespace {

std::string Merge() {
  using Json = nlohmann::ordered_json;
  Json document = Json::parse(kAuditOpenApi, nullptr, /*allow_exceptions=*/false);
  const Json registry = Json::parse(kRegistryOpenApi, nullptr, /*allow_exceptions=*/false);
  CHECK(document.is_object() && registry.is_object()) << "openapi.json is malformed";
  document.merge_patch(registry);  // the same name in both is one thing
  return document.dump(1) + "\n";
}

}  // namespace

const std::string& OpenApiText() {
  static const auto* const text = new std::string(Merge());
  return *text;
}

}  // namespace lattice::control
