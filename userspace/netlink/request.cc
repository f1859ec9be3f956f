#include "userspace/netlink/request.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace lattice::netlink {
namespace {

struct CloseSocket {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

}  // namespace

Request::Request(uint16_t type, uint16_t flags) : header_(mnl_nlmsg_put_header(buffer_.data())) {
  header_->nlmsg_type = type;
  header_->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  header_->nlmsg_seq = 1;
}

void Request::Put(uint16_t type, const void* data, size_t size) {
  if (!mnl_attr_put_check(header_, buffer_.size(), type, size, data)) overflow_ = true;
}

void Request::PutText(uint16_t type, const char* text) {
  Put(type, text, std::strlen(text) + 1);
}

nlattr* Request::Begin(uint16_t type) {
  nlattr* nest = mnl_attr_nest_start_check(header_, buffer_.size(), type);
  if (nest == nullptr) overflow_ = true;
  return nest;
}

void Request::End(nlattr* nest) {
  if (nest != nullptr) mnl_attr_nest_end(header_, nest);
}

absl::Status Request::Send(int protocol, absl::string_view what, absl::FunctionRef<int(const nlmsghdr*)> on_message) {
  if (overflow_) return absl::InternalError(absl::StrCat(what, ": the netlink message is too large"));
  std::unique_ptr<mnl_socket, CloseSocket> socket(mnl_socket_open2(protocol, SOCK_CLOEXEC));
  if (socket == nullptr || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) != 0) {
    return ErrnoStatus(errno, "opening a netlink socket");
  }
  if (mnl_socket_sendto(socket.get(), header_, header_->nlmsg_len) < 0) return ErrnoStatus(errno, what);
  std::array<char, 65536> answer;
  const auto callback = [](const nlmsghdr* message, void* data) {
    return (*static_cast<absl::FunctionRef<int(const nlmsghdr*)>*>(data))(message);
  };
  while (true) {
    const ssize_t size = mnl_socket_recvfrom(socket.get(), answer.data(), answer.size());
    if (size < 0 && errno == EINTR) continue;
    const int result = size < 0 ? -1
                                : mnl_cb_run(answer.data(), static_cast<size_t>(size), header_->nlmsg_seq,
                                             mnl_socket_get_portid(socket.get()), callback, &on_message);
    if (result < 0) return ErrnoStatus(errno, what);
    if (result == MNL_CB_STOP) return absl::OkStatus();
  }
}

}  // namespace lattice::netlink
