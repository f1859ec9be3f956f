// The control socket /var/run/wireguard/NAME.sock of a WireGuard interface, where wg(8) looks for it. Only its owner
// (root) can connect. One thread: the loop's.
#ifndef USERSPACE_TUNNEL_UAPI_SERVER_H_
#define USERSPACE_TUNNEL_UAPI_SERVER_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "userspace/base/event_loop.h"
#include "userspace/base/unique_fd.h"
#include "userspace/tunnel/tunnel.h"

namespace lattice::tunnel {

class UapiServer {
 public:
  static constexpr char kFolder[] = "/var/run/wireguard";
  // References must outlive it. A socket that a dead process left is replaced; AlreadyExists: a live one answers there.
  static absl::StatusOr<std::unique_ptr<UapiServer>> Create(EventLoop& loop, const std::string& name, Tunnel& tunnel);
  ~UapiServer();
  UapiServer(const UapiServer&) = delete;
  UapiServer& operator=(const UapiServer&) = delete;

  const std::string& path() const { return path_; }

 private:
  struct Client {
    UniqueFd fd;
    std::string in;
    std::string out;
  };
  UapiServer(EventLoop& loop, std::string path, Tunnel& tunnel)
      : loop_(loop), path_(std::move(path)), tunnel_(tunnel) {}
  void Accept();
  void OnClient(int fd, uint32_t events);
  bool Talk(Client& client);  // false: it is done with
  void Drop(int fd);

  EventLoop& loop_;
  const std::string path_;
  Tunnel& tunnel_;
  UniqueFd listener_;
  std::map<int, Client> clients_;
};

}  // namespace lattice::tunnel

#endif  // USERSPACE_TUNNEL_UAPI_SERVER_H_
