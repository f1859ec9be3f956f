#include "userspace/dp/admin.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/datapath/jiffies.h"
#include "userspace/dp/flow_views.h"
#include "userspace/dp/views.h"

namespace lattice::dp {
namespace {

constexpr size_t kDefaultLimit = 10'000;
// Of one follower; a reader slower than that misses records and is told how many.
constexpr size_t kFollowBufferBytes = 4 << 20;

int HttpStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kFailedPrecondition:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 413;
    case absl::StatusCode::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

http::Response Answer(const absl::StatusOr<std::string>& json) {
  if (json.ok()) return http::Response::Json(*json);
  return http::Response::Error(HttpStatus(json.status()), json.status().message());
}

absl::StatusOr<size_t> Limit(const http::Request& request) {
  const auto text = request.Param("limit");
  if (!text.has_value()) return kDefaultLimit;
  size_t limit = 0;
  if (!absl::SimpleAtoi(*text, &limit) || limit == 0) {
    return absl::InvalidArgumentError(absl::StrCat("limit=", *text, ": expected a number from 1"));
  }
  return limit;
}

// What errors call the policy in the body.
std::string PolicyName(const http::Request& request) {
  const auto name = request.Param("name");
  return name.has_value() && !name->empty() ? std::string(*name) : "applied policy";
}

}  // namespace

void Admin::Route(http::Server& server, const std::string& method, const std::string& path, http::Handler handler) {
  server.Handle(method, path, [this, handler = std::move(handler)](const http::Request& request) {
    const auto meant = request.Param("iface");
    if (!meant.has_value() || *meant == state_.options.iface()) return handler(request);
    return Answer(absl::InvalidArgumentError(
        absl::StrCat(state_.options.admin_socket, " belongs to ", state_.options.iface(), ", not to ", *meant)));
  });
}

void Admin::Serve(http::Server& server) {
  Route(server, "GET", "/v1/status",
        [this](const http::Request&) { return http::Response::Json(StatusJson(state_, metrics_.policies_refused())); });
  Route(server, "GET", "/v1/policy", [this](const http::Request&) { return Answer(PolicyJson(state_)); });
  Route(server, "GET", "/v1/doctor", [this](const http::Request&) { return http::Response::Json(DoctorJson(state_)); });
  Route(server, "GET", "/v1/flows", [this](const http::Request& request) { return Flows(request); });
  Route(server, "GET", "/v1/top", [this](const http::Request& request) { return Top(request); });
  Route(server, "POST", "/v1/policy/check", [this](const http::Request& request) { return CheckText(request); });
  Route(server, "POST", "/v1/policy/apply", [this](const http::Request& request) { return ApplyText(request); });
  Route(server, "POST", "/v1/detach", [this](const http::Request& request) {
    const auto removed = detach_(request.Param("force").has_value());
    if (!removed.ok()) return Answer(removed.status());
    return http::Response::Json(RemovedJson(*removed));
  });
}

absl::StatusOr<KernelTime> Admin::Now() const {
  LATTICE_ASSIGN_OR_RETURN(const uint64_t ns_per_jiffy, datapath::NsPerJiffy());
  return state_.recorder->last_sweep().At(static_cast<uint64_t>(RealClock().MonotonicNs()), ns_per_jiffy);
}

http::Response Admin::Flows(const http::Request& request) {
  const bool denied = request.Param("denied").has_value();
  if (request.Param("follow").has_value()) return StartFollowing(denied);
  const auto limit = Limit(request);
  if (!limit.ok()) return Answer(limit.status());
  const auto now = Now();
  if (!now.ok()) return Answer(now.status());
  return Answer(denied ? DeniedJson(*state_.datapath, *now, *limit) : FlowsJson(*state_.datapath, *now, *limit));
}

http::Response Admin::Top(const http::Request& request) {
  const auto by = ParseTopBy(request.Param("by").value_or("service"));
  if (!by.ok()) return Answer(by.status());
  const auto limit = Limit(request);
  if (!limit.ok()) return Answer(limit.status());
  const auto now = Now();
  if (!now.ok()) return Answer(now.status());
  return Answer(TopJson(*state_.datapath, *by, *now, *limit));
}

http::Response Admin::StartFollowing(bool denied_only) {
  Follower follower;
  follower.stream = std::make_shared<http::PushStream>(kFollowBufferBytes);
  follower.denied_only = denied_only;
  followers_.push_back(follower);
  UpdateFollowing();
  return http::Response::Stream(http::kJsonLines, follower.stream);
}

void Admin::UpdateFollowing() {
  followers_.erase(std::remove_if(followers_.begin(), followers_.end(),
                                  [](const Follower& follower) { return !follower.stream->open(); }),
                   followers_.end());
  state_.recorder->SetFollowing(!followers_.empty());
}

void Admin::Follow(const std::vector<FollowLine>& lines) {
  for (Follower& follower : followers_) {
    for (const FollowLine& line : lines) {
      if (follower.denied_only && !line.denied) continue;
      std::string text;
      if (follower.missed > 0) text = absl::StrCat("{\"missed\":", follower.missed, "}\n");
      absl::StrAppend(&text, line.json, "\n");
      if (follower.stream->Write(text)) {
        follower.missed = 0;
      } else {
        ++follower.missed;
      }
    }
  }
  UpdateFollowing();
}

http::Response Admin::CheckText(const http::Request& request) {
  const auto report = policy_.Check(request.body, PolicyName(request));
  if (!report.ok()) return Answer(report.status());
  return http::Response::Json(CheckJson(*report));
}

http::Response Admin::ApplyText(const http::Request& request) {
  std::vector<std::string> warnings;
  const auto receipt = policy_.ApplyText(request.body, PolicyName(request), &warnings);
  if (!receipt.ok()) return Answer(receipt.status());
  return http::Response::Json(ReceiptJson(*receipt, state_.policy.source, warnings));
}

}  // namespace lattice::dp
