#include "userspace/control/api/audit_views.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "userspace/control/api/flow_params.h"
#include "userspace/control/audit/event_json.h"

namespace lattice::control {
namespace {

using Json = nlohmann::ordered_json;

std::string Text(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

template <typename T, typename F>
Json Array(const std::vector<T>& items, const F& view) {
  Json array = Json::array();
  for (const T& item : items) array.push_back(view(item));
  return array;
}

template <typename T, typename F>
std::string List(const std::vector<T>& items, const F& view) {
  return Text({{"list", Array(items, view)}});
}

Json CompletenessView(const Completeness& c) {
  return {{"watermark", TimeText(c.watermark_ns)}, {"gaps", c.gaps}, {"lost", c.lost}};
}

Json PointView(const TimelinePoint& p) {
  return {{"ts", TimeText(p.minute_ns)}, {"allowed", p.allowed}, {"denied", p.denied}, {"bytes", p.bytes}};
}

Json TimelineView(const std::vector<TimelinePoint>& points, int64_t bucket_seconds) {
  return {{"points", Array(points, PointView)}, {"bucketSeconds", bucket_seconds}};
}

Json TopView(const TopEntry& e) {
  return {{"key", e.key}, {"bytes", e.bytes}, {"flows", e.flows}, {"denied", e.denied}};
}

Json HintView(const Hint& h) {
  return {{"agentId", h.agent_id}, {"dstIp", h.dst_ip},  {"dstPort", h.dst_port},  {"protocol", h.protocol},
          {"host", h.host},        {"reason", h.reason}, {"attempts", h.attempts}, {"last", TimeText(h.last_ns)},
          {"rule", h.rule}};
}

Json HeadView(const AuditHead& h) {
  return {{"seq", h.seq}, {"h", h.h}, {"ts", TimeText(h.ts_ns)}};
}

Json SourceView(const Source& s) {
  return {{"node", s.node},
          {"boot", s.boot},
          {"agentId", s.agent_id},
          {"firstSeq", s.first_seq},
          {"lastSeq", s.last_seq},
          {"lastTs", TimeText(s.last_ts_ns)},
          {"lastSeen", TimeText(s.last_seen_ns)},
          {"stored", s.stored},
          {"missing", s.missing},
          {"lost", s.lost},
          {"head", s.head.has_value() ? HeadView(*s.head) : Json(nullptr)}};
}

Json GapView(const Gap& g) {
  return {{"node", g.node},
          {"boot", g.boot},
          {"firstSeq", g.first_seq},
          {"lastSeq", g.last_seq},
          {"found", TimeText(g.found_ns)},
          {"explainedBy", g.explained_by}};
}

Json DigestView(const AuditHead& h) {
  return {{"node", h.node},
          {"boot", h.boot},
          {"agentId", h.agent_id},
          {"seq", h.seq},
          {"h", h.h},
          {"ts", TimeText(h.ts_ns)},
          {"digest", h.digest},
          {"signature", h.signature},
          {"publicKey", h.public_key},
          {"signatureValid", h.signature_valid}};
}

Json RejectView(const Reject& r) {
  return {{"reason", r.reason},   {"detail", r.detail},        {"subject", r.subject},
          {"payload", r.payload}, {"streamSeq", r.stream_seq}, {"ts", TimeText(r.stream_time_ns)}};
}

Json AgentView(const AgentSummary& a) {
  return {{"name", a.agent_id},
          {"lastSeen", TimeText(a.last_seen_ns)},
          {"flows", a.flows},
          {"denied", a.denied},
          {"bytes", a.bytes}};
}

}  // namespace

// Up to a thousand events: not by way of a tree.
std::string FlowPageJson(const FlowPage& page, const Completeness& completeness) {
  std::string out = "{\"list\":[";
  for (const FlowEvent& event : page.events) {
    if (out.back() != '[') out += ',';
    AppendEventJson(event, out);
  }
  out += "],\"nextCursor\":";
  AppendJsonText(page.next.has_value() ? EncodeCursorText(*page.next) : "", out);
  const std::string rest = Text(CompletenessView(completeness));
  absl::StrAppend(&out, ",", absl::string_view(rest).substr(1));
  return out;
}

std::string TimelineJson(const std::vector<TimelinePoint>& points, int64_t bucket_seconds) {
  return Text(TimelineView(points, bucket_seconds));
}
std::string TopJson(const std::vector<TopEntry>& entries) {
  return List(entries, TopView);
}
std::string HintsJson(const std::vector<Hint>& hints) {
  return List(hints, HintView);
}
std::string SourcesJson(const std::vector<Source>& sources) {
  return List(sources, SourceView);
}
std::string GapsJson(const std::vector<Gap>& gaps) {
  return List(gaps, GapView);
}
std::string DigestsJson(const std::vector<AuditHead>& digests) {
  return List(digests, DigestView);
}
std::string RejectsJson(const std::vector<Reject>& rejects) {
  return List(rejects, RejectView);
}

std::string OverviewJson(const Overview& o) {
  return Text({{"timeline", TimelineView(o.timeline, o.bucket_seconds)},
               {"rate", {{"perSecond", o.per_second}}},
               {"topDestinations", Array(o.top_destinations, TopView)},
               {"topDenied", Array(o.top_denied, TopView)},
               {"agents", Array(o.agents, AgentView)},
               {"completeness", CompletenessView(o.completeness)}});
}

}  // namespace lattice::control
