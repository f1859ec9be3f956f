#include "userspace/control/api/live_tail.h"

#include <glog/logging.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/control/audit/event_json.h"
#include "userspace/http/stream.h"

namespace lattice::control {
namespace {

constexpr absl::Duration kReadDeadline = absl::Seconds(5);
// Comments fill the client's buffer before the first record, and end the wait of those that wait for headers.
constexpr absl::string_view kHello = ": lattice live tail\nretry: 2000\n\n";
constexpr absl::string_view kHeartbeat = ": alive\n\n";
constexpr absl::string_view kCut = "event: cut\ndata: you were too slow; connect again to go on where you were\n\n";

std::string EventText(const FlowEvent& event) {
  std::string text = "id: ";
  // A line end would end the field.
  for (const char c : event.event_id) text += c == '\n' || c == '\r' || c == '\0' ? ' ' : c;
  text += "\ndata: ";
  AppendEventJson(event, text);
  return text + "\n\n";
}

}  // namespace

class LiveTail::Client : public http::StreamSource {
 public:
  Client(uint64_t its_number, FlowFilter its_filter, std::string resume_after, std::string begin)
      : number(its_number), filter(std::move(its_filter)), resume(std::move(resume_after)), position(std::move(begin)) {
    Push(kHello);
  }

  Next Read(std::string* out) override {
    *out = std::exchange(buffer_, {});
    taken_ns_ = RealClock().MonotonicNs();
    if (!out->empty()) return Next::kData;
    return closing_ ? Next::kEnd : Next::kWait;
  }
  void Finished() override { gone_ = true; }

  void Push(absl::string_view text) {
    if (buffer_.empty()) taken_ns_ = RealClock().MonotonicNs();
    absl::StrAppend(&buffer_, text);
    pushed_ns_ = RealClock().MonotonicNs();
    Wake();
  }
  void Cut() {
    Push(kCut);
    closing_ = true;
  }

  bool gone() const { return gone_ || closing_; }
  bool empty() const { return buffer_.empty(); }
  absl::Duration stalled(int64_t now_ns) const {
    return buffer_.empty() ? absl::ZeroDuration() : absl::Nanoseconds(now_ns - taken_ns_);
  }
  absl::Duration quiet(int64_t now_ns) const { return absl::Nanoseconds(now_ns - pushed_ns_); }

  const uint64_t number;
  const FlowFilter filter;
  std::string resume;    // eventId to look up first; then empty
  std::string position;  // id of the last row
  bool reading = false;

 private:
  std::string buffer_;  // not yet taken by the connection
  int64_t taken_ns_ = 0;
  int64_t pushed_ns_ = 0;
  bool closing_ = false;
  bool gone_ = false;
};

LiveTail::LiveTail(EventLoop& loop, Workers& workers, FlowStore& store, LiveTailOptions options)
    : loop_(loop),
      workers_(workers),
      store_(store),
      options_(options),
      timer_(loop.AddTimer(options.poll, [this] { Turn(); })) {}

LiveTail::~LiveTail() {
  loop_.RemoveTimer(timer_);
}

absl::StatusOr<http::Response> LiveTail::Open(const FlowFilter& filter, const std::string& last_event_id) {
  if (clients_.size() >= options_.max_clients) {
    return absl::ResourceExhaustedError(absl::StrCat("there are ", clients_.size(), " live tails already: close one"));
  }
  const auto client =
      std::make_shared<Client>(next_++, filter, last_event_id, RowIdAt(RealClock().Now() - options_.settle));
  clients_[client->number] = client;
  http::Response response = http::Response::Stream("text/event-stream", client);
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

void LiveTail::Turn() {
  const int64_t now_ns = RealClock().MonotonicNs();
  std::vector<std::shared_ptr<Client>> clients;
  for (const auto& [number, client] : clients_) clients.push_back(client);
  for (const auto& client : clients) {
    if (!client->gone() && client->stalled(now_ns) > options_.patience) {
      ++cut_;
      LOG(WARNING) << "a live tail is cut: its client takes nothing";
      client->Cut();
    }
    if (client->gone()) {
      clients_.erase(client->number);
    } else if (client->empty() && !client->reading) {
      if (client->quiet(now_ns) > options_.heartbeat) client->Push(kHeartbeat);
      Read(client);
    }
  }
}

void LiveTail::Read(const std::shared_ptr<Client>& client) {
  const auto read = [this, client, resume = client->resume, after = client->position] {
    const absl::Time deadline = absl::Now() + kReadDeadline;
    std::string position = after;
    if (!resume.empty()) {
      const auto last = store_.ByEventId(resume, deadline);
      if (last.ok() && last->has_value()) position = (*last)->id;
    }
    auto rows =
        store_.Arrived(client->filter, position, RowIdAt(RealClock().Now() - options_.settle), options_.rows, deadline);
    loop_.Post([this, client, rows = std::move(rows)] {
      client->reading = false;
      if (!rows.ok()) {
        VLOG(1) << "live tail: " << rows.status();  // tried again at the next turn
        return;
      }
      client->resume.clear();
      if (rows->empty()) return;
      client->position = rows->back().id;
      std::string text;
      for (const FlowEvent& event : *rows) text += EventText(event);
      client->Push(text);
      // The connection has taken that at once, or Turn() goes on when it has.
      if (rows->size() == options_.rows && client->empty() && !client->gone()) Read(client);
    });
  };
  client->reading = workers_.Run(read);
}

}  // namespace lattice::control
