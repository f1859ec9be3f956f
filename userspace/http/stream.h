// Bodies that are produced while the client reads them.
//
// Everything here runs on the loop's thread. Another thread hands lines over by EventLoop::Post.
#ifndef USERSPACE_HTTP_STREAM_H_
#define USERSPACE_HTTP_STREAM_H_

#include <cstddef>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace lattice::http {

// Pulled by the server whenever the client can take more: use this for a long listing.
class StreamSource {
 public:
  enum class Next {
    kData,  // something was appended
    kWait,  // nothing now: the connection sleeps until Wake()
    kEnd,   // the body is complete
    kFail,  // it will never be: the connection is cut, so that the client sees that something is missing
  };
  virtual ~StreamSource() = default;

  // Appends the next piece, some KiB at best, to `*out` (empty at the call).
  virtual Next Read(std::string* out) = 0;
  // The response is over, by kEnd, by the client or by the server's end. Called once; no Read() follows.
  virtual void Finished() {}

 protected:
  // There may be something to read again. Harmless at any time, also before and after the response.
  void Wake();

 private:
  friend class StreamBody;      // the server's side of one answer
  std::function<void()> wake_;  // set by the server while a connection is on it
};

// Pushed into by whoever has lines: use this for `--follow`. Bounded: a client that does not read never costs
// more than `max_buffered_bytes`.
class PushStream : public StreamSource {
 public:
  explicit PushStream(size_t max_buffered_bytes = 1 << 20) : max_buffered_bytes_(max_buffered_bytes) {}

  // Takes `data` as a whole or, when the client is too slow or gone, not at all (false): count it, and tell the
  // reader when there is room again.
  bool Write(absl::string_view data);
  // The body ends after what was written.
  void Close();
  // False once the client has left or the body has ended: drop the stream then.
  bool open() const { return open_; }

  Next Read(std::string* out) override;
  void Finished() override { open_ = false; }

 private:
  size_t max_buffered_bytes_;
  std::string buffer_;
  bool open_ = true;
  bool closing_ = false;
};

}  // namespace lattice::http

#endif  // USERSPACE_HTTP_STREAM_H_
