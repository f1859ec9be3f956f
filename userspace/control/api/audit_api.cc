#include "userspace/control/api/audit_api.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/control/api/audit_views.h"
#include "userspace/control/api/envelope.h"
#include "userspace/control/api/flow_export.h"

namespace lattice::control {
namespace {

constexpr int64_t kMinuteNs = int64_t{60} * 1'000'000'000;
constexpr absl::Duration kOverviewRange = absl::Hours(1);
constexpr size_t kOverviewTop = 10;
constexpr char kFlowPath[] = "/api/v1/audit/flow";

FlowFormat FormatOf(const http::Request& request, const FlowParams& params) {
  if (params.format_given) return params.format;
  const std::string accept(request.Header("Accept").value_or(""));
  if (absl::StrContains(accept, http::kJsonLines)) return FlowFormat::kNdjson;
  if (absl::StrContains(accept, "text/csv")) return FlowFormat::kCsv;
  return FlowFormat::kJson;
}

absl::StatusOr<std::string> ListView(FlowStore& store, const FlowParams& params, absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(const FlowPage page, store.Query(params.query, deadline));
  LATTICE_ASSIGN_OR_RETURN(const Completeness completeness, store.ReadCompleteness(deadline));
  return FlowPageJson(page, completeness);
}

// The last hour where nothing is said.
FlowFilter WithRange(FlowFilter filter) {
  const int64_t now = absl::ToUnixNanos(RealClock().Now());
  // The minute that is going on is in it.
  if (!filter.to_ns.has_value()) filter.to_ns = (now / kMinuteNs + 1) * kMinuteNs;
  if (!filter.from_ns.has_value()) filter.from_ns = *filter.to_ns - absl::ToInt64Nanoseconds(kOverviewRange);
  return filter;
}

// How long each point is: the store divides the range into whole minutes.
int64_t BucketSeconds(const FlowFilter& filter, size_t buckets) {
  const int64_t minutes = std::max<int64_t>((*filter.to_ns - *filter.from_ns) / kMinuteNs, 1);
  const auto count = static_cast<int64_t>(buckets);
  return std::max<int64_t>((minutes + count - 1) / count, 1) * 60;
}

absl::StatusOr<std::string> TimelineView(FlowStore& store, const FlowParams& params, absl::Time deadline) {
  const FlowFilter filter = WithRange(params.query.filter);
  LATTICE_ASSIGN_OR_RETURN(const auto points, store.Timeline(filter, params.buckets, deadline));
  return TimelineJson(points, BucketSeconds(filter, params.buckets));
}

absl::StatusOr<std::string> TopView(FlowStore& store, const FlowParams& params, absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(const auto entries, store.Top(WithRange(params.query.filter), params.by, params.metric,
                                                         params.query.limit, deadline));
  return TopJson(entries);
}

absl::StatusOr<std::string> HintsView(FlowStore& store, const FlowParams& params, absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(const auto hints, store.Hints(WithRange(params.query.filter), params.query.limit, deadline));
  return HintsJson(hints);
}

absl::StatusOr<std::string> SourcesView(FlowStore& store, const FlowParams&, absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(const auto sources, store.Sources(deadline));
  return SourcesJson(sources);
}

absl::StatusOr<std::string> GapsView(FlowStore& store, const FlowParams& params, absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(const auto gaps, store.Gaps(params.node, params.boot, params.query.limit, deadline));
  return GapsJson(gaps);
}

absl::StatusOr<std::string> DigestsView(FlowStore& store, const FlowParams& params, absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(const auto digests, store.Digests(params.node, params.query.limit, deadline));
  return DigestsJson(digests);
}

absl::StatusOr<std::string> RejectsView(FlowStore& store, const FlowParams& params, absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(const auto rejects, store.Rejects(params.query.limit, deadline));
  return RejectsJson(rejects);
}

// Of the last whole minute.
absl::StatusOr<double> RateNow(FlowStore& store, absl::Time deadline) {
  const int64_t minute = absl::ToUnixNanos(RealClock().Now()) / kMinuteNs * kMinuteNs;
  LATTICE_ASSIGN_OR_RETURN(const auto points,
                           store.Timeline({.from_ns = minute - kMinuteNs, .to_ns = minute}, 1, deadline));
  uint64_t count = 0;
  for (const TimelinePoint& point : points) count += point.allowed + point.denied;
  return static_cast<double>(count) / 60;
}

absl::StatusOr<std::string> OverviewView(FlowStore& store, const FlowParams& params, absl::Time deadline) {
  const FlowFilter filter = WithRange(params.query.filter);
  Overview overview;
  LATTICE_ASSIGN_OR_RETURN(overview.timeline, store.Timeline(filter, params.buckets, deadline));
  overview.bucket_seconds = BucketSeconds(filter, params.buckets);
  LATTICE_ASSIGN_OR_RETURN(overview.per_second, RateNow(store, deadline));
  LATTICE_ASSIGN_OR_RETURN(overview.top_destinations,
                           store.Top(filter, TopBy::kDestination, TopMetric::kBytes, kOverviewTop, deadline));
  LATTICE_ASSIGN_OR_RETURN(overview.top_denied,
                           store.Top(filter, TopBy::kDestination, TopMetric::kDenied, kOverviewTop, deadline));
  LATTICE_ASSIGN_OR_RETURN(overview.agents, store.Agents(filter, deadline));
  LATTICE_ASSIGN_OR_RETURN(overview.completeness, store.ReadCompleteness(deadline));
  return OverviewJson(overview);
}

}  // namespace

AuditApi::AuditApi(EventLoop& loop, Workers& workers, FlowStore& store, AuditApiOptions options)
    : loop_(loop),
      workers_(workers),
      store_(store),
      options_(std::move(options)),
      tail_(loop, workers, store, options_.tail) {}

void AuditApi::Serve(http::Server& server, Admit admit) {
  admit_ = std::move(admit);
  const std::string flow = kFlowPath;
  AddList(server);
  AddStream(server);
  Add(server, flow + "/timeline", FlowCall::kTimeline, &TimelineView);
  Add(server, flow + "/top", FlowCall::kTop, &TopView);
  Add(server, flow + "/hints", FlowCall::kHints, &HintsView);
  Add(server, "/api/v1/audit/sources", FlowCall::kSources, &SourcesView);
  Add(server, "/api/v1/audit/gaps", FlowCall::kGaps, &GapsView);
  Add(server, "/api/v1/audit/digests", FlowCall::kDigests, &DigestsView);
  Add(server, "/api/v1/audit/rejects", FlowCall::kRejects, &RejectsView);
  Add(server, "/api/v1/overview", FlowCall::kOverview, &OverviewView);
}

void AuditApi::Answer(http::Responder responder, FlowParams params, const View& view) {
  const auto work = [this, view, responder, params = std::move(params)] {
    const absl::StatusOr<std::string> data = view(store_, params, absl::Now() + options_.query_deadline);
    responder(data.ok() ? Success(*data) : Failure(data.status()));
  };
  if (!workers_.Run(work)) responder(Failure(503, "too many requests wait already: try again in a moment"));
}

void AuditApi::Add(http::Server& server, const std::string& path, FlowCall call, View view) {
  server.HandleLater("GET", path, [this, call, view](const http::Request& request, http::Responder responder) {
    const absl::Status admitted = admit_(request);
    if (!admitted.ok()) return responder(Failure(admitted));
    absl::StatusOr<FlowParams> params = ParseFlowParams(call, request.query, absl::ToUnixNanos(RealClock().Now()));
    if (!params.ok()) return responder(Failure(params.status()));
    Answer(std::move(responder), *std::move(params), view);
  });
}

void AuditApi::AddList(http::Server& server) {
  server.HandleLater("GET", kFlowPath, [this](const http::Request& request, http::Responder responder) {
    const absl::Status admitted = admit_(request);
    if (!admitted.ok()) return responder(Failure(admitted));
    absl::StatusOr<FlowParams> params =
        ParseFlowParams(FlowCall::kList, request.query, absl::ToUnixNanos(RealClock().Now()));
    if (!params.ok()) return responder(Failure(params.status()));
    params->format = FormatOf(request, *params);
    if (params->format == FlowFormat::kJson) return Answer(std::move(responder), *std::move(params), &ListView);
    absl::StatusOr<http::Response> exported = Export(*std::move(params));
    responder(exported.ok() ? *std::move(exported) : Failure(exported.status()));
  });
}

absl::StatusOr<http::Response> AuditApi::Export(FlowParams params) {
  if (exports_ >= options_.max_exports) {
    return absl::ResourceExhaustedError(
        absl::StrCat(exports_, " exports are running already: try again when one has ended"));
  }
  ++exports_;
  const bool csv = params.format == FlowFormat::kCsv;
  auto body = std::make_shared<FlowExport>(loop_, workers_, store_, std::move(params), [this] { --exports_; });
  http::Response response = http::Response::Stream(csv ? "text/csv; charset=utf-8" : http::kJsonLines, std::move(body));
  response.headers.emplace_back("Cache-Control", "no-store");
  response.headers.emplace_back("Content-Disposition",
                                absl::StrCat("attachment; filename=flows.", csv ? "csv" : "ndjson"));
  return response;
}

void AuditApi::AddStream(http::Server& server) {
  server.Handle("GET", absl::StrCat(kFlowPath, "/stream"), [this](const http::Request& request) {
    if (const absl::Status admitted = admit_(request); !admitted.ok()) return Failure(admitted);
    const absl::StatusOr<FlowParams> params =
        ParseFlowParams(FlowCall::kStream, request.query, absl::ToUnixNanos(RealClock().Now()));
    if (!params.ok()) return Failure(params.status());
    absl::StatusOr<http::Response> opened =
        tail_.Open(params->query.filter, std::string(request.Header("Last-Event-ID").value_or("")));
    return opened.ok() ? *std::move(opened) : Failure(opened.status());
  });
}

}  // namespace lattice::control
