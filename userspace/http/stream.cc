#include "userspace/http/stream.h"

namespace lattice::http {

void StreamSource::Wake() {
  // A copy: the callback may end the response, which takes wake_ away.
  if (const auto wake = wake_) wake();
}

bool PushStream::Write(absl::string_view data) {
  if (!open_ || closing_ || buffer_.size() + data.size() > max_buffered_bytes_) return false;
  buffer_.append(data.data(), data.size());
  Wake();
  return true;
}

void PushStream::Close() {
  closing_ = true;
  Wake();
}

StreamSource::Next PushStream::Read(std::string* out) {
  if (closing_) {
    out->swap(buffer_);
    return Next::kEnd;
  }
  if (buffer_.empty()) return Next::kWait;
  out->swap(buffer_);
  return Next::kData;
}

}  // namespace lattice::http
