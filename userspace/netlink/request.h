// One netlink request and its answers. Private to this module. One thread.
#ifndef USERSPACE_NETLINK_REQUEST_H_
#define USERSPACE_NETLINK_REQUEST_H_

#include <libmnl/libmnl.h>

#include <array>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace lattice::netlink {

// A message that is being written. What does not fit makes Send() fail, nothing is cut.
class Request {
 public:
  Request(uint16_t type, uint16_t flags);
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  // The fixed part after the header, zeroed.
  template <typename T>
  T* Extra() {
    return static_cast<T*>(mnl_nlmsg_put_extra_header(header_, sizeof(T)));
  }
  void Put(uint16_t type, const void* data, size_t size);
  void Put8(uint16_t type, uint8_t value) { Put(type, &value, sizeof(value)); }
  void Put16(uint16_t type, uint16_t value) { Put(type, &value, sizeof(value)); }
  void Put32(uint16_t type, uint32_t value) { Put(type, &value, sizeof(value)); }
  void PutText(uint16_t type, const char* text);
  nlattr* Begin(uint16_t type);  // a nest; null when there is no room
  void End(nlattr* nest);

  // Sends it on a new socket of `protocol` (NETLINK_ROUTE…) and waits for the acknowledgement; `on_message` gets what
  // comes before that. An errno of the kernel as its Status, with `what` in front.
  absl::Status Send(
      int protocol, absl::string_view what,
      absl::FunctionRef<int(const nlmsghdr*)> on_message = [](const nlmsghdr*) { return MNL_CB_OK; });

 private:
  std::array<char, 32768> buffer_;
  nlmsghdr* header_;
  bool overflow_ = false;
};

}  // namespace lattice::netlink

#endif  // USERSPACE_NETLINK_REQUEST_H_
