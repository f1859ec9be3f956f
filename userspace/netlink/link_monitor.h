// Tells when interfaces come, go, or change, in the network namespace of the thread
// that called Create. Use it with EventLoop:
//
//   LATTICE_ASSIGN_OR_RETURN(auto monitor, LinkMonitor::Create());
//   loop->AddFd(monitor->fd(), EPOLLIN, [&](uint32_t) { monitor->Drain(on_event); });
//
// One thread.
#ifndef USERSPACE_NETLINK_LINK_MONITOR_H_
#define USERSPACE_NETLINK_LINK_MONITOR_H_

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct mnl_socket;

namespace lattice::netlink {

struct LinkEvent {
  std::string name;  // empty when `overrun`
  int ifindex = 0;
  bool up = false;
  bool gone = false;
  // The kernel dropped events (ENOBUFS): look at every interface you care about.
  bool overrun = false;
};

class LinkMonitor {
 public:
  static absl::StatusOr<std::unique_ptr<LinkMonitor>> Create();
  ~LinkMonitor();
  LinkMonitor(const LinkMonitor&) = delete;
  LinkMonitor& operator=(const LinkMonitor&) = delete;

  int fd() const;
  // Calls back for every event that waits; never blocks.
  absl::Status Drain(absl::FunctionRef<void(const LinkEvent&)> on_event);

 private:
  explicit LinkMonitor(mnl_socket* socket) : socket_(socket) {}
  mnl_socket* socket_;
};

}  // namespace lattice::netlink

#endif  // USERSPACE_NETLINK_LINK_MONITOR_H_
