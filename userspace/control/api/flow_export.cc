#include "userspace/control/api/flow_export.h"

#include <glog/logging.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "userspace/control/audit/event_json.h"

namespace lattice::control {
namespace {

constexpr size_t kPageRows = 1000;
constexpr absl::Duration kPageDeadline = absl::Seconds(30);

std::string PageText(const FlowPage& page, FlowFormat format) {
  std::string text;
  for (const FlowEvent& event : page.events) {
    if (format == FlowFormat::kCsv) {
      AppendEventCsv(event, text);
    } else {
      AppendEventJson(event, text);
      text += '\n';
    }
  }
  return text;
}

}  // namespace

FlowExport::FlowExport(EventLoop& loop, Workers& workers, FlowStore& store, FlowParams params,
                       std::function<void()> on_end)
    : loop_(loop),
      workers_(workers),
      store_(store),
      params_(std::move(params)),
      left_(params_.limit_given ? params_.query.limit : std::numeric_limits<uint64_t>::max()),
      on_end_(std::move(on_end)) {
  if (params_.format == FlowFormat::kCsv) ready_ = CsvHeader();
}

http::StreamSource::Next FlowExport::Read(std::string* out) {
  if (failed_) return Next::kFail;
  *out = std::exchange(ready_, {});
  // The next page is fetched while the client reads this one.
  if (!complete_ && !fetching_) FetchNext();
  if (!out->empty()) return Next::kData;
  return complete_ ? Next::kEnd : Next::kWait;
}

void FlowExport::Finished() {
  complete_ = true;
  if (on_end_ != nullptr) std::exchange(on_end_, nullptr)();
}

void FlowExport::FetchNext() {
  params_.query.limit = static_cast<size_t>(std::min<uint64_t>(left_, kPageRows));
  const auto fetch = [self = shared_from_this(), query = params_.query] {
    absl::StatusOr<FlowPage> page = self->store_.Query(query, absl::Now() + kPageDeadline);
    std::string text = page.ok() ? PageText(*page, self->params_.format) : "";
    self->loop_.Post([self, page = std::move(page), text = std::move(text)]() mutable {
      self->Fetched(std::move(page), std::move(text));
    });
  };
  fetching_ = workers_.Run(fetch);
  failed_ = !fetching_;
}

void FlowExport::Fetched(absl::StatusOr<FlowPage> page, std::string text) {
  fetching_ = false;
  if (!page.ok()) {
    LOG(WARNING) << "an export is cut: " << page.status().message();
    failed_ = true;
  } else {
    ready_ += text;
    left_ -= page->events.size();
    complete_ = complete_ || !page->next.has_value() || left_ == 0;
    params_.query.after = page->next;
  }
  Wake();
}

}  // namespace lattice::control
