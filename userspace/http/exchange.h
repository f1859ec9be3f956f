// One request and its answer, between libmicrohttpd's callbacks and a handler. Private to this module.
// One thread: the loop's.
#ifndef USERSPACE_HTTP_EXCHANGE_H_
#define USERSPACE_HTTP_EXCHANGE_H_

#include <microhttpd.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "userspace/base/event_loop.h"
#include "userspace/http/message.h"
#include "userspace/http/stream.h"

namespace lattice::http {

class Suspension;

// What the suspended connections of one server share with it.
struct Suspended {
  EventLoop& loop;
  std::function<void()> kick;  // makes the loop run the library soon
  std::set<Suspension*> now;
  bool ending = false;  // the server: none may begin, for the library aborts when it is stopped with one
};

// A connection the library does not look at, so its end is watched here.
class Suspension {
 public:
  // `on_cut`: the client has left, or the server ends.
  Suspension(Suspended& all, MHD_Connection* connection, std::function<void()> on_cut);
  ~Suspension() { Unwatch(); }
  Suspension(const Suspension&) = delete;
  Suspension& operator=(const Suspension&) = delete;

  // False when it can't be watched, or the server ends; then it is not suspended.
  bool Begin();
  // The library goes on with it in its next run. Nothing if it is not suspended.
  void End();
  void Cut();

 private:
  // False when it was not suspended.
  bool Unwatch();

  Suspended& all_;
  MHD_Connection* const connection_;
  const std::function<void()> on_cut_;
  const int fd_;
};

// An answer that a handler gives later.
class LateAnswer {
 public:
  LateAnswer(Suspended& all, MHD_Connection* connection);

  bool Wait() { return suspension_.Begin(); }
  void Give(Response response);
  // The client has left: there is nobody to answer.
  bool cut() const { return cut_; }
  std::optional<Response> Take();

 private:
  bool cut_ = false;
  std::optional<Response> response_;
  Suspension suspension_;
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
  MHD_Result Send(Suspended& suspended, Response response);

  // Set while an answer is waited for.
  std::shared_ptr<LateAnswer> late;

 private:
  MHD_Connection* const connection_;
  Request request_;
  bool is_head_;
  bool too_large_ = false;
};

// What a streaming answer reads from; owned by the library's response. While the source has nothing, the
// connection is suspended.
class StreamBody {
 public:
  StreamBody(Suspended& suspended, MHD_Connection* connection, std::shared_ptr<StreamSource> source);
  ~StreamBody();
  StreamBody(const StreamBody&) = delete;
  StreamBody& operator=(const StreamBody&) = delete;

  // MHD_ContentReaderCallback.
  ssize_t Read(char* buffer, size_t size);

 private:
  Suspension suspension_;
  const std::shared_ptr<StreamSource> source_;
  std::string piece_;
  size_t taken_ = 0;  // of piece_
  bool ended_ = false;
  bool cut_ = false;
};

}  // namespace lattice::http

#endif  // USERSPACE_HTTP_EXCHANGE_H_
