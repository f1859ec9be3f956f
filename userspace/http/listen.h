// The listening socket of an address as the operator writes it: HOST:PORT, or the path of a Unix socket. One thread.
#ifndef USERSPACE_HTTP_LISTEN_H_
#define USERSPACE_HTTP_LISTEN_H_

#include <sys/types.h>

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/base/unique_fd.h"

namespace lattice::http {

// A Unix socket's file is removed with it, unless another has taken its place.
class Listener {
 public:
  // Errors as of Server::Create.
  static absl::StatusOr<Listener> Open(const std::string& address, absl::string_view flag);
  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  int fd() const { return fd_.get(); }
  const std::string& address() const { return address_; }
  bool is_unix() const { return inode_ != 0; }

 private:
  Listener(UniqueFd fd, std::string address, dev_t device, ino_t inode)
      : fd_(std::move(fd)), address_(std::move(address)), device_(device), inode_(inode) {}
  static absl::StatusOr<Listener> OpenUnix(const std::string& path, const std::string& context);
  static absl::StatusOr<Listener> OpenTcp(const std::string& address, const std::string& context);

  UniqueFd fd_;
  std::string address_;
  dev_t device_;
  ino_t inode_;  // 0: TCP
};

// "host:port", "[host]:port" into its two parts; false when it is neither.
bool SplitHostPort(absl::string_view address, std::string* host, std::string* port);

}  // namespace lattice::http

#endif  // USERSPACE_HTTP_LISTEN_H_
