// One request and its answer, between libmicrohttpd's callbacks and a handler. Private to this module.
// One thread: the loop's.
#ifndef USERSPACE_HTTP_EXCHANGE_H_
#define USERSPACE_HTTP_EXCHANGE_H_

#include <microhttpd.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "userspace/base/event_loop.h"
#include "userspace/http/message.h"
#include "userspace/http/stream.h"

namespace lattice::http {

class StreamBody;

// What the streams of one server share with it.
struct Streams {
  EventLoop& loop;
  std::function<void()> kick;  // makes the loop run the library soon
  std::set<StreamBody*> suspended;
};

class Exchange {
 public:
  Exchange(MHD_Connection* connection, const char* path, const char* method);

  Request& request() { return request_; }
  bool is_head() const { return is_head_; }

  // The length the client announces is over `limit`.
  bool AnnouncesMoreThan(size_t limit) const;
  // A piece of the body. What is over `limit` is dropped and makes too_large().
  void Append(absl::string_view piece, size_t limit);
  bool too_large() const { return too_large_; }

  // Hands the answer to the library.
  MHD_Result Send(Streams& streams, Response response);

 private:
  MHD_Connection* const connection_;
  Request request_;
  bool is_head_;
  bool too_large_ = false;
};

// What a streaming answer reads from; owned by the library's response. While the source has nothing, the
// connection is suspended: the library does not look at it, so its end is watched here.
class StreamBody {
 public:
  StreamBody(Streams& streams, MHD_Connection* connection, std::shared_ptr<StreamSource> source);
  ~StreamBody();
  StreamBody(const StreamBody&) = delete;
  StreamBody& operator=(const StreamBody&) = delete;

  // MHD_ContentReaderCallback.
  ssize_t Read(char* buffer, size_t size);
  // The connection is closed by the library's next run.
  void Cut();

 private:
  void Suspend();
  void Resume();
  // False when it was not suspended.
  bool Unwatch();

  Streams& streams_;
  MHD_Connection* const connection_;
  const std::shared_ptr<StreamSource> source_;
  const int fd_;
  std::string piece_;
  size_t taken_ = 0;  // of piece_
  bool ended_ = false;
  bool cut_ = false;
};

}  // namespace lattice::http

#endif  // USERSPACE_HTTP_EXCHANGE_H_
