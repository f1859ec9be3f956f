// What agents send and what they are sent: any text is a value within its bounds, or InvalidArgument.
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "userspace/control/registry/identity.h"
#include "userspace/control/registry/netmap.h"
#include "userspace/control/registry/signal_message.h"
#include "userspace/policy/policy_file.h"

namespace lattice::control {
namespace {

void CheckEnrollment(const absl::StatusOr<Enrollment>& enrollment) {
  if (!enrollment.ok()) {
    CHECK(absl::IsInvalidArgument(enrollment.status())) << enrollment.status();
    return;
  }
  CHECK(enrollment->port >= 1 && enrollment->port <= 65535);
  CHECK(enrollment->keepalive_seconds >= 0 && enrollment->keepalive_seconds <= 65535);
  CHECK_LE(enrollment->name.size(), 256u);
}

void CheckNetMap(absl::string_view text) {
  std::vector<std::string> warnings;
  const auto config = ParseNetMap(text, &warnings);
  if (!config.ok()) {
    CHECK(absl::IsInvalidArgument(config.status())) << config.status();
    return;
  }
  for (const PeerConfig& peer : config->peers) {
    CHECK(CheckPublicKey(peer.public_key).ok());
    CHECK(peer.endpoint.empty() || CheckEndpoint(peer.endpoint).ok());
    CHECK(!peer.allowed_ips.empty());
  }
  CHECK(config->address.empty() || IpAddress::Parse(config->address).ok());
  CHECK(policy::ParsePolicyFile(absl::StrJoin(config->rules, "\n"), "rule").ok());
}

void CheckNames(absl::string_view text) {
  if (CheckName("name", text).ok()) {
    CHECK(text.find_first_of(absl::string_view("/ *>\0\n", 6)) == absl::string_view::npos) << text;
  }
  if (CheckEndpoint(text).ok()) CHECK(text.find_first_of(" \n/$`;") == absl::string_view::npos) << text;
  if (CheckPublicKey(text).ok()) CHECK_EQ(text.size(), 44u);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  CheckEnrollment(ParseRegister(text));
  CheckEnrollment(ParseRedeem(text));
  for (const absl::Status& status : {ParseNetMapRequest(text).status(), ParseHeartbeat(text).status()}) {
    CHECK(status.ok() || absl::IsInvalidArgument(status)) << status;
  }
  CheckNetMap(text);
  CheckNames(text);
  return 0;
}

}  // namespace lattice::control
