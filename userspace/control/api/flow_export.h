// A long listing as the body of an answer: page by page from the store, as fast as the client reads.
//
// At most one page is in memory. An error of the store cuts the connection, so that the client sees that it does not
// have all. The loop's thread, the pages on a worker's.
#ifndef USERSPACE_CONTROL_API_FLOW_EXPORT_H_
#define USERSPACE_CONTROL_API_FLOW_EXPORT_H_

#include <functional>
#include <memory>
#include <string>

#include "userspace/base/event_loop.h"
#include "userspace/control/api/flow_params.h"
#include "userspace/control/api/workers.h"
#include "userspace/control/audit/flow_store.h"
#include "userspace/http/stream.h"

namespace lattice::control {

class FlowExport : public http::StreamSource, public std::enable_shared_from_this<FlowExport> {
 public:
  // Everything must outlive the loop. `on_end` is called once, on the loop's thread.
  FlowExport(EventLoop& loop, Workers& workers, FlowStore& store, FlowParams params, std::function<void()> on_end);

  Next Read(std::string* out) override;
  void Finished() override;

 private:
  void FetchNext();
  void Fetched(absl::StatusOr<FlowPage> page, std::string text);

  EventLoop& loop_;
  Workers& workers_;
  FlowStore& store_;
  FlowParams params_;
  uint64_t left_;  // rows
  std::function<void()> on_end_;
  std::string ready_;
  bool fetching_ = false;
  bool complete_ = false;
  bool failed_ = false;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_API_FLOW_EXPORT_H_
