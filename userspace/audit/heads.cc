#include "userspace/audit/heads.h"

#include <glog/logging.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "userspace/audit/digest.h"
#include "userspace/audit/segment.h"
#include "userspace/base/status.h"

namespace lattice::audit {
namespace {

// Of one batch; a folder may hold thousands that were never sent.
constexpr size_t kMostDigests = 64;

std::string NameOf(absl::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));  // npos + 1 is 0
}

nlohmann::ordered_json HeadJson(const HeadOptions& options, absl::string_view boot, uint64_t seq, absl::string_view h,
                                absl::Time ts) {
  nlohmann::ordered_json json;
  json["v"] = 1;
  json["agentId"] = options.agent_id;
  json["node"] = options.node;
  json["boot"] = std::string(boot);
  json["seq"] = seq;
  json["h"] = std::string(h);
  json["ts"] = absl::FormatTime("%Y-%m-%d%ET%H:%M:%E9SZ", ts, absl::UTCTimeZone());
  return json;
}

// Bad UTF-8 in a name is replaced: dump() would throw otherwise.
std::string Text(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

std::string HeadsPath(absl::string_view audit_path) {
  return absl::StrCat(audit_path, ".heads");
}

Heads::Heads(FileSystem& fs, const Clock& clock, HeadOptions options)
    : fs_(fs), clock_(clock), options_(std::move(options)) {}

void Heads::Moved(const Head& head) {
  absl::MutexLock lock(&mutex_);
  head_ = head;
}

absl::Status Heads::HandOver(MessageSink& sink, bool stopping) {
  if (options_.node.empty()) return absl::OkStatus();
  const int64_t now_ns = clock_.MonotonicNs();
  const bool due = !looked_ns_.has_value() || absl::Nanoseconds(now_ns - *looked_ns_) >= options_.interval;
  if (!due && !stopping) return absl::OkStatus();
  looked_ns_ = now_ns;
  LATTICE_RETURN_IF_ERROR(HandOverDigests(sink));
  return HandOverHead(sink);
}

absl::Status Heads::HandOverHead(MessageSink& sink) {
  Head head;
  {
    absl::MutexLock lock(&mutex_);
    head = head_;
  }
  const std::string id = absl::StrCat("head/", options_.node, "/", head.boot, "/", head.seq);
  if (head.seq == 0 || id == sent_head_) return absl::OkStatus();
  const std::string message = Text(HeadJson(options_, head.boot, head.seq, head.h, head.ts));
  LATTICE_RETURN_IF_ERROR(sink.Publish(kHeadSubject, message, id));
  pending_head_ = id;
  ++handed_over_;
  return absl::OkStatus();
}

absl::Status Heads::HandOverDigests(MessageSink& sink) {
  LoadSent();
  const absl::StatusOr<std::vector<std::string>> names = fs_.List(FolderOf(options_.audit_path));
  if (!names.ok()) {
    LOG(ERROR) << "digests are not published: " << names.status().message();
    return absl::OkStatus();
  }
  const std::set<std::string> there(names->begin(), names->end());
  if (std::erase_if(sent_, [&](const std::string& name) { return there.count(name) == 0; }) > 0) store_due_ = true;
  const std::string prefix = absl::StrCat(absl::StripSuffix(NameOf(options_.audit_path), ".jsonl"), "-");
  for (const std::string& name : there) {
    if (!absl::StartsWith(name, prefix) || !absl::EndsWith(name, ".digest") || sent_.count(name) > 0) continue;
    if (pending_digests_.size() == kMostDigests) {
      looked_ns_.reset();  // the rest with the next batch
      break;
    }
    LATTICE_RETURN_IF_ERROR(HandOverDigest(sink, name));
  }
  return absl::OkStatus();
}

absl::Status Heads::HandOverDigest(MessageSink& sink, const std::string& name) {
  const std::string path = absl::StrCat(FolderOf(options_.audit_path), "/", name);
  const absl::StatusOr<std::string> text = fs_.ReadWhole(path);
  const absl::StatusOr<SegmentDigest> digest = text.ok() ? DecodeDigest(*text) : text.status();
  // "a-b-….digest" may be of another audit file; what can't be read is for `lattice audit verify`.
  if (!digest.ok() || NameOf(DigestPath(options_.audit_path, digest->boot, digest->first_seq)) != name) {
    LOG_IF(ERROR, !digest.ok()) << path << " is not published: " << digest.status().message();
    if (!absl::IsNotFound(digest.status())) sent_.insert(name);
    return absl::OkStatus();
  }
  nlohmann::ordered_json json = HeadJson(options_, digest->boot, digest->last_seq, digest->head, digest->closed);
  json["digest"] = *text;
  // Without a signature it goes all the same: the control plane shows that it has none.
  const absl::StatusOr<std::string> signature = fs_.ReadWhole(SignaturePath(path));
  json["signature"] = signature.ok() ? std::string(absl::StripAsciiWhitespace(*signature)) : "";
  json["publicKey"] = absl::Base64Escape(options_.public_key);
  const absl::Status published = sink.Publish(
      kHeadSubject, Text(json), absl::StrCat("digest/", options_.node, "/", digest->boot, "/", digest->first_seq));
  if (absl::IsInvalidArgument(published)) {
    LOG(ERROR) << path << " is refused for good: " << published.message();
    sent_.insert(name);
    return absl::OkStatus();
  }
  LATTICE_RETURN_IF_ERROR(published);
  pending_digests_.push_back(name);
  ++handed_over_;
  return absl::OkStatus();
}

void Heads::Flushed() {
  handed_over_ = 0;
  if (!pending_head_.empty()) sent_head_ = std::exchange(pending_head_, "");
  if (!pending_digests_.empty()) store_due_ = true;
  for (std::string& name : std::exchange(pending_digests_, {})) sent_.insert(std::move(name));
  if (std::exchange(store_due_, false)) StoreSent();
}

void Heads::Failed() {
  const bool pending = handed_over_ > 0 || !pending_digests_.empty();
  handed_over_ = 0;
  pending_head_.clear();
  pending_digests_.clear();
  if (pending) looked_ns_.reset();
}

void Heads::SendAgain() {
  sent_.clear();
  sent_head_.clear();
  loaded_ = store_due_ = true;
  looked_ns_.reset();
}

void Heads::LoadSent() {
  if (std::exchange(loaded_, true)) return;
  const absl::StatusOr<std::string> text = fs_.ReadWhole(HeadsPath(options_.audit_path));
  // Not to be read: all are sent again, which does no harm.
  if (!text.ok()) return;
  for (const absl::string_view name : absl::StrSplit(*text, '\n', absl::SkipEmpty())) sent_.emplace(name);
}

void Heads::StoreSent() {
  const std::string text = sent_.empty() ? "" : absl::StrCat(absl::StrJoin(sent_, "\n"), "\n");
  if (const absl::Status stored = fs_.WriteAtomically(HeadsPath(options_.audit_path), text, 0640); !stored.ok()) {
    LOG(WARNING) << "a restart will publish the digests again: " << stored.message();
  }
}

}  // namespace lattice::audit
