#include "userspace/http/listen.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace lattice::http {
namespace {

constexpr int kBacklog = 128;

// Whether a process accepts connections on the Unix socket `name`.
bool IsLive(const sockaddr_un& name) {
  UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.ok()) return true;  // Cannot tell, so it is not ours to replace.
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0) return true;
  return errno != ECONNREFUSED;  // EAGAIN: its queue is full
}

// OK: nothing there, or the socket of a process that is gone.
absl::Status CheckReplaceable(const sockaddr_un& name, const std::string& context) {
  struct stat status;
  if (lstat(name.sun_path, &status) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return ErrnoStatus(errno, context);
  }
  if (!S_ISSOCK(status.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat(context, ": exists and is not a socket; remove it or give another path"));
  }
  if (IsLive(name)) {
    return absl::AlreadyExistsError(
        absl::StrCat(context, ": another process listens there (ss -xlp shows which); stop it or give another path"));
  }
  return absl::OkStatus();
}

absl::StatusOr<sockaddr_un> UnixName(const std::string& path, const std::string& context) {
  sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof(name.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat(context, ": ", path.size(), " bytes; a socket path has at most ", sizeof(name.sun_path) - 1));
  }
  std::memcpy(name.sun_path, path.data(), path.size());
  return name;
}

absl::Status BindError(int error, const std::string& context, const std::string& port) {
  switch (error) {
    case EADDRINUSE:
      return absl::AlreadyExistsError(absl::StrCat(context, ": the port is in use (ss -ltnp 'sport = :", port,
                                                   "' shows by whom); stop that process or give another port, 0 takes "
                                                   "any free one"));
    case EADDRNOTAVAIL:
      // Not the flag's fault: an interface may come later, and the same start is right then.
      return absl::FailedPreconditionError(
          absl::StrCat(context, ": not an address of this host, or not yet (ip address shows them)"));
    case EACCES:
      return absl::PermissionDeniedError(
          absl::StrCat(context, ": a port below 1024 needs CAP_NET_BIND_SERVICE; give a higher one"));
    default:
      return ErrnoStatus(error, context);
  }
}

// The numeric form of what `fd` is bound to.
absl::StatusOr<std::string> BoundAddress(int fd, const std::string& context) {
  sockaddr_storage storage;
  socklen_t length = sizeof(storage);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return ErrnoStatus(errno, context);
  char host[NI_MAXHOST], port[NI_MAXSERV];
  const int error = getnameinfo(reinterpret_cast<sockaddr*>(&storage), length, host, sizeof(host), port, sizeof(port),
                                NI_NUMERICHOST | NI_NUMERICSERV);
  if (error != 0) return absl::InternalError(absl::StrCat(context, ": ", gai_strerror(error)));
  if (storage.ss_family == AF_INET6) return absl::StrCat("[", host, "]:", port);
  return absl::StrCat(host, ":", port);
}

}  // namespace

bool SplitHostPort(absl::string_view address, std::string* host, std::string* port) {
  size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return false;
  absl::string_view name = address.substr(0, colon);
  if (!name.empty() && name.front() == '[') {
    if (name.size() < 3 || name.back() != ']') return false;
    name = name.substr(1, name.size() - 2);
  } else if (name.find(':') != absl::string_view::npos) {
    return false;  // IPv6 without brackets
  }
  const absl::string_view digits = address.substr(colon + 1);
  int number = 0;
  if (name.empty() || digits.empty() || digits.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(digits, &number) || number > 65535) {
    return false;
  }
  *host = std::string(name);
  *port = absl::StrCat(number);
  return true;
}

absl::StatusOr<Listener> Listener::Open(const std::string& address, absl::string_view flag) {
  const std::string context = absl::StrCat(flag, "=", address);
  return address.rfind('/', 0) == 0 ? OpenUnix(address, context) : OpenTcp(address, context);
}

Listener::Listener(Listener&& other) noexcept
    : fd_(std::move(other.fd_)),
      address_(std::move(other.address_)),
      device_(other.device_),
      inode_(std::exchange(other.inode_, 0)) {}

Listener::~Listener() {
  if (!is_unix()) return;
  struct stat status;
  if (lstat(address_.c_str(), &status) != 0 || status.st_dev != device_ || status.st_ino != inode_) return;
  unlink(address_.c_str());  // If it stays, the next start finds it dead and replaces it.
}

absl::StatusOr<Listener> Listener::OpenUnix(const std::string& path, const std::string& context) {
  LATTICE_ASSIGN_OR_RETURN(const sockaddr_un name, UnixName(path, context));
  LATTICE_RETURN_IF_ERROR(CheckReplaceable(name, context));
  // Made beside it and renamed, so that nobody ever sees it with another mode, and a dead one is replaced as one.
  const std::string temporary = absl::StrCat(path, ".", getpid());
  LATTICE_ASSIGN_OR_RETURN(const sockaddr_un temporary_name, UnixName(temporary, context));
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrnoStatus(errno, context);
  unlink(temporary.c_str());  // Of an earlier process with our pid; bind() tells if there is more to it.
  struct stat status;
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&temporary_name), sizeof(temporary_name)) != 0) {
    return ErrnoStatus(errno, context);
  }
  if (chmod(temporary.c_str(), 0600) != 0 || listen(fd.get(), kBacklog) != 0 ||
      lstat(temporary.c_str(), &status) != 0 || rename(temporary.c_str(), path.c_str()) != 0) {
    const absl::Status error = ErrnoStatus(errno, context);
    unlink(temporary.c_str());  // The error that is reported is the first one.
    return error;
  }
  return Listener(std::move(fd), path, status.st_dev, status.st_ino);
}

absl::StatusOr<Listener> Listener::OpenTcp(const std::string& address, const std::string& context) {
  std::string host, port;
  if (!SplitHostPort(address, &host, &port)) {
    return absl::InvalidArgumentError(absl::StrCat(
        context, ": expected HOST:PORT, [IPV6]:PORT or the path of a socket; 0.0.0.0:PORT is every IPv4 address"));
  }
  const addrinfo hints = {.ai_flags = AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return absl::InvalidArgumentError(absl::StrCat(context, ": ", gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  UniqueFd fd(socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrnoStatus(errno, context);
  const int on = 1;
  if (setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0) return ErrnoStatus(errno, context);
  if (bind(fd.get(), found->ai_addr, found->ai_addrlen) != 0 || listen(fd.get(), kBacklog) != 0) {
    return BindError(errno, context, port);
  }
  LATTICE_ASSIGN_OR_RETURN(std::string bound, BoundAddress(fd.get(), context));
  return Listener(std::move(fd), std::move(bound), 0, 0);
}

}  // namespace lattice::http
