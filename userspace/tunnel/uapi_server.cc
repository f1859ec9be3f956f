#include "userspace/tunnel/uapi_server.h"

#include <glog/logging.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/tunnel/uapi.h"

namespace lattice::tunnel {
namespace {

constexpr size_t kMaxRequestBytes = 4 << 20;  // some ten thousand peers
constexpr size_t kMaxClients = 16;
constexpr char kEnd[] = "\n\n";

absl::StatusOr<sockaddr_un> Address(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX};
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is too long for a socket"));
  }
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

bool SomebodyAnswers(const sockaddr_un& address) {
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return probe.ok() && connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<UapiServer>> UapiServer::Create(EventLoop& loop, const std::string& name,
                                                               Tunnel& tunnel) {
  LATTICE_RETURN_IF_ERROR(MakeDirectories(kFolder, 0755));
  auto server = absl::WrapUnique(new UapiServer(loop, absl::StrCat(kFolder, "/", name, ".sock"), tunnel));
  LATTICE_ASSIGN_OR_RETURN(const sockaddr_un address, Address(server->path_));
  if (SomebodyAnswers(address)) {
    return absl::AlreadyExistsError(absl::StrCat("another process serves ", server->path_));
  }
  unlink(server->path_.c_str());
  UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  // By the umask, so that there is no moment at which others may connect.
  const mode_t before = umask(0077);
  const bool bound =
      listener.ok() && bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  const int error = errno;
  umask(before);
  if (!bound) return ErrnoStatus(error, absl::StrCat("while binding ", server->path_));
  server->listener_ = std::move(listener);
  if (listen(server->listener_.get(), kMaxClients) != 0) {
    return ErrnoStatus(errno, absl::StrCat("while listening on ", server->path_));
  }
  UapiServer* const raw = server.get();
  LATTICE_RETURN_IF_ERROR(loop.AddFd(raw->listener_.get(), EPOLLIN, [raw](uint32_t) { raw->Accept(); }));
  return server;
}

UapiServer::~UapiServer() {
  while (!clients_.empty()) Drop(clients_.begin()->first);
  if (!listener_.ok()) return;
  loop_.RemoveFd(listener_.get());
  unlink(path_.c_str());
}

void UapiServer::Accept() {
  UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  // One too many is told so by a closed connection.
  if (!fd.ok() || clients_.size() >= kMaxClients) return;
  const int number = fd.get();
  if (!loop_.AddFd(number, EPOLLIN, [this, number](uint32_t events) { OnClient(number, events); }).ok()) return;
  clients_[number].fd = std::move(fd);
}

void UapiServer::Drop(int fd) {
  loop_.RemoveFd(fd);
  clients_.erase(fd);
}

void UapiServer::OnClient(int fd, uint32_t events) {
  const auto client = clients_.find(fd);
  if (client == clients_.end()) return;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    char buffer[16384];
    const ssize_t bytes = read(fd, buffer, sizeof(buffer));
    if (bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EINTR)) return Drop(fd);
    if (bytes > 0) client->second.in.append(buffer, static_cast<size_t>(bytes));
  }
  if (!Talk(client->second)) return Drop(fd);
  const uint32_t wanted = client->second.out.empty() ? uint32_t{EPOLLIN} : uint32_t{EPOLLOUT};
  const absl::Status modified = loop_.ModifyFd(fd, wanted);
  if (!modified.ok()) Drop(fd);
}

bool UapiServer::Talk(Client& client) {
  while (true) {
    if (!client.out.empty()) {
      const ssize_t sent = send(client.fd.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN || errno == EINTR;
      client.out.erase(0, static_cast<size_t>(sent));
      continue;
    }
    // The next request only when the answer is gone, so that what is held for a client is bounded.
    const size_t end = client.in.find(kEnd);
    if (end == std::string::npos) return client.in.size() <= kMaxRequestBytes;
    client.out = AnswerUapi(absl::string_view(client.in).substr(0, end + 2), tunnel_);
    explicit_bzero(client.in.data(), end + 2);  // keys
    client.in.erase(0, end + 2);
  }
}

}  // namespace lattice::tunnel
