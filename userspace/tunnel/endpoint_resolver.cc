#include "userspace/tunnel/endpoint_resolver.h"

#include <netdb.h>
#include <netinet/in.h>

#include <cstring>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace lattice::tunnel {

absl::StatusOr<Endpoint> ResolveEndpoint(const wireguard::HostPort& where) {
  const addrinfo hints{.ai_flags = AI_ADDRCONFIG, .ai_socktype = SOCK_DGRAM};
  if (const auto address = IpAddress::Parse(where.host); address.ok()) {
    return Endpoint{*address, where.port};
  }
  addrinfo* found = nullptr;
  const int error = getaddrinfo(where.host.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    const std::string text = absl::StrCat("looking up ", where.host, ": ", gai_strerror(error));
    return error == EAI_NONAME ? absl::NotFoundError(text) : absl::UnavailableError(text);
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(found, freeaddrinfo);
  Endpoint endpoint{.port = where.port};
  if (list->ai_family == AF_INET) {
    sockaddr_in v4;
    memcpy(&v4, list->ai_addr, sizeof(v4));
    endpoint.address = IpAddress::FromV4(ntohl(v4.sin_addr.s_addr));
  } else {
    sockaddr_in6 v6;
    memcpy(&v6, list->ai_addr, sizeof(v6));
    endpoint.address = IpAddress::FromBytes(v6.sin6_addr.s6_addr);
    endpoint.scope = v6.sin6_scope_id;
  }
  return endpoint;
}

// What threads that outlive the resolver may touch.
struct EndpointResolver::Shared {
  absl::Mutex mutex;
  EventLoop* loop ABSL_GUARDED_BY(mutex);  // null: the resolver is gone
};

EndpointResolver::EndpointResolver(EventLoop& loop) : shared_(std::make_shared<Shared>()) {
  const absl::MutexLock lock(&shared_->mutex);
  shared_->loop = &loop;
}

EndpointResolver::~EndpointResolver() {
  const absl::MutexLock lock(&shared_->mutex);
  shared_->loop = nullptr;
}

void EndpointResolver::Resolve(const wireguard::HostPort& where, Done done) {
  std::thread([shared = shared_, where, done = std::move(done)] {
    auto endpoint = ResolveEndpoint(where);
    const absl::MutexLock lock(&shared->mutex);
    if (shared->loop == nullptr) return;
    shared->loop->Post([shared, done, endpoint = std::move(endpoint)] {
      {
        const absl::MutexLock still(&shared->mutex);
        if (shared->loop == nullptr) return;
      }
      done(endpoint);
    });
  }).detach();
}

}  // namespace lattice::tunnel
