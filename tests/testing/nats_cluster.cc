#include "tests/testing/nats_cluster.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/base/status.h"
#include "userspace/base/unique_fd.h"

namespace lattice::testing {

int FreePort() {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) return 0;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  return ntohs(address.sin_port);
}

absl::StatusOr<std::unique_ptr<NatsCluster>> NatsCluster::Start() {
  auto cluster = std::make_unique<NatsCluster>();
  std::vector<int> ports;
  std::vector<std::string> routes;
  for (size_t i = 0; i < kServers; ++i) {
    ports.push_back(FreePort());
    routes.push_back(absl::StrCat("nats-route://127.0.0.1:", ports.back()));
  }
  for (size_t i = 0; i < kServers; ++i) {
    NatsServerOptions options{.jetstream = true};
    options.config = absl::StrCat("server_name: n", i, "\ncluster {\n  name: lattice\n  listen: \"127.0.0.1:", ports[i],
                                  "\"\n  routes: [ ", absl::StrJoin(routes, ", "), " ]\n}\n");
    LATTICE_ASSIGN_OR_RETURN(std::unique_ptr<NatsServer> server, NatsServer::Start(options));
    cluster->servers_.push_back(std::move(server));
  }
  return cluster;
}

std::vector<std::string> NatsCluster::urls() const {
  std::vector<std::string> urls;
  for (const auto& server : servers_) urls.push_back(server->url());
  return urls;
}

}  // namespace lattice::testing
