#include "userspace/http/exchange.h"

#include <netdb.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace lattice::http {
namespace {

constexpr size_t kStreamBlockBytes = 16 << 10;

using Pairs = std::vector<std::pair<std::string, std::string>>;

MHD_Result AddPair(void* pairs, MHD_ValueKind, const char* key, size_t key_size, const char* value, size_t value_size) {
  static_cast<Pairs*>(pairs)->emplace_back(std::string(key, key_size),
                                           value == nullptr ? std::string() : std::string(value, value_size));
  return MHD_YES;
}

int ConnectionFd(MHD_Connection* connection) {
  return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

// Fills peer and peer_uid.
void DescribePeer(MHD_Connection* connection, Request* request) {
  const int fd = ConnectionFd(connection);
  sockaddr_storage storage;
  socklen_t length = sizeof(storage);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return;  // It has left already.
  if (storage.ss_family == AF_UNIX) {
    ucred credentials;
    length = sizeof(credentials);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0) request->peer_uid = credentials.uid;
    return;
  }
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (getnameinfo(reinterpret_cast<sockaddr*>(&storage), length, host, sizeof(host), port, sizeof(port),
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return;
  }
  request->peer = storage.ss_family == AF_INET6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

struct ResponseDeleter {
  void operator()(MHD_Response* response) const { MHD_destroy_response(response); }
};
using ResponsePtr = std::unique_ptr<MHD_Response, ResponseDeleter>;

ResponsePtr MakeText(std::string text) {
  auto* body = new std::string(std::move(text));
  MHD_Response* response = MHD_create_response_from_buffer_with_free_callback_cls(
      body->size(), body->data(), [](void* cls) { delete static_cast<std::string*>(cls); }, body);
  if (response == nullptr) delete body;
  return ResponsePtr(response);
}

ResponsePtr MakeStream(std::unique_ptr<StreamBody> body) {
  MHD_Response* response = MHD_create_response_from_callback(
      MHD_SIZE_UNKNOWN, kStreamBlockBytes,
      [](void* cls, uint64_t, char* buffer, size_t size) { return static_cast<StreamBody*>(cls)->Read(buffer, size); },
      body.get(), [](void* cls) { delete static_cast<StreamBody*>(cls); });
  if (response != nullptr) body.release();
  return ResponsePtr(response);
}

}  // namespace

Exchange::Exchange(MHD_Connection* connection, const char* path, const char* method)
    : connection_(connection), is_head_(std::strcmp(method, MHD_HTTP_METHOD_HEAD) == 0) {
  request_.path = path;
  request_.method = is_head_ ? MHD_HTTP_METHOD_GET : method;
  MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, AddPair, &request_.query);
  MHD_get_connection_values_n(connection, MHD_HEADER_KIND, AddPair, &request_.headers);
  DescribePeer(connection, &request_);
}

bool Exchange::AnnouncesMoreThan(size_t limit) const {
  const auto length = request_.Header(MHD_HTTP_HEADER_CONTENT_LENGTH);
  uint64_t bytes = 0;
  return length.has_value() && absl::SimpleAtoi(*length, &bytes) && bytes > limit;
}

void Exchange::Append(absl::string_view piece, size_t limit) {
  if (too_large_ || request_.body.size() + piece.size() > limit) {
    too_large_ = true;
    request_.body.clear();
    return;
  }
  request_.body.append(piece.data(), piece.size());
}

MHD_Result Exchange::Send(Suspended& suspended, Response response) {
  ResponsePtr raw;
  if (response.stream == nullptr) {
    raw = MakeText(std::move(response.body));
  } else if (is_head_) {
    response.stream->Finished();
    raw = MakeText("");
  } else {
    raw = MakeStream(std::make_unique<StreamBody>(suspended, connection_, std::move(response.stream)));
  }
  if (raw == nullptr) return MHD_NO;
  response.headers.emplace_back(MHD_HTTP_HEADER_CONTENT_TYPE, std::move(response.content_type));
  for (const auto& [name, value] : response.headers) {
    // Refused when the text would break out of its line: our own bug.
    CHECK(MHD_add_response_header(raw.get(), name.c_str(), value.c_str()) == MHD_YES) << name << ": " << value;
  }
  return MHD_queue_response(connection_, static_cast<unsigned>(response.status), raw.get());
}

Suspension::Suspension(Suspended& all, MHD_Connection* connection, std::function<void()> on_cut)
    : all_(all), connection_(connection), on_cut_(std::move(on_cut)), fd_(ConnectionFd(connection)) {}

bool Suspension::Begin() {
  if (all_.ending) return false;
  const absl::Status watched = all_.loop.AddFd(fd_, EPOLLRDHUP, [this](uint32_t) { Cut(); });
  if (!watched.ok()) {
    LOG(WARNING) << "an HTTP connection is ended: " << watched;
    return false;
  }
  all_.now.insert(this);
  MHD_suspend_connection(connection_);
  return true;
}

bool Suspension::Unwatch() {
  if (all_.now.erase(this) == 0) return false;
  all_.loop.RemoveFd(fd_);
  return true;
}

void Suspension::End() {
  if (!Unwatch()) return;
  MHD_resume_connection(connection_);
  all_.kick();  // with an external loop the library does not wake itself
}

void Suspension::Cut() {
  on_cut_();
  End();
}

LateAnswer::LateAnswer(Suspended& all, MHD_Connection* connection)
    : suspension_(all, connection, [this] { cut_ = true; }) {}

void LateAnswer::Give(Response response) {
  response_ = std::move(response);
  suspension_.End();
}

std::optional<Response> LateAnswer::Take() {
  return std::exchange(response_, std::nullopt);
}

StreamBody::StreamBody(Suspended& suspended, MHD_Connection* connection, std::shared_ptr<StreamSource> source)
    : suspension_(suspended, connection, [this] { cut_ = true; }), source_(std::move(source)) {
  source_->wake_ = [this] { suspension_.End(); };
}

StreamBody::~StreamBody() {
  source_->wake_ = nullptr;
  source_->Finished();
}

ssize_t StreamBody::Read(char* buffer, size_t size) {
  if (cut_) return MHD_CONTENT_READER_END_WITH_ERROR;
  if (taken_ == piece_.size()) {
    piece_.clear();
    taken_ = 0;
    if (!ended_) {
      const StreamSource::Next next = source_->Read(&piece_);
      if (next == StreamSource::Next::kFail) return MHD_CONTENT_READER_END_WITH_ERROR;
      ended_ = next == StreamSource::Next::kEnd;
    }
    if (piece_.empty()) {
      if (ended_) return MHD_CONTENT_READER_END_OF_STREAM;
      // Not suspended, the library calls again at once.
      if (!suspension_.Begin()) cut_ = true;
      return 0;
    }
  }
  const size_t count = std::min(size, piece_.size() - taken_);
  std::memcpy(buffer, piece_.data() + taken_, count);
  taken_ += count;
  return static_cast<ssize_t>(count);
}

}  // namespace lattice::http
