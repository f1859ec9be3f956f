#include "userspace/sandbox/forward_listener.h"

#include <netdb.h>
#include <sys/un.h>

#include <cstring>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace lattice::sandbox {
namespace {

constexpr absl::Duration kSweepEvery = absl::Seconds(1);

absl::StatusOr<ForwardTarget> TargetOf(const ForwardSpec& spec) {
  ForwardTarget target;
  if (!spec.unix_path.empty()) {
    sockaddr_un address{.sun_family = AF_UNIX};
    std::memcpy(address.sun_path, spec.unix_path.c_str(), spec.unix_path.size() + 1);
    std::memcpy(&target.address, &address, sizeof(address));
    target.length = sizeof(address);
    return target;
  }
  const addrinfo hints{.ai_flags = AI_NUMERICSERV, .ai_socktype = spec.udp ? SOCK_DGRAM : SOCK_STREAM};
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(spec.host.c_str(), std::to_string(spec.host_port).c_str(), &hints, &found);
      error != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--forward=", spec.ToString(), ": ", spec.host, ": ", gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(found, freeaddrinfo);
  std::memcpy(&target.address, list->ai_addr, list->ai_addrlen);
  target.length = list->ai_addrlen;
  return target;
}

}  // namespace

ForwardListener::ForwardListener(Egress& egress)
    : egress_(egress), sweep_(egress.loop.AddTimer(kSweepEvery, [this] {
        const int64_t now = egress_.clock.MonotonicNs();
        for (const auto& forward : forwards_) forward->Sweep(now);
      })) {}

ForwardListener::~ForwardListener() {
  egress_.loop.RemoveTimer(sweep_);
}

absl::StatusOr<std::unique_ptr<ForwardListener>> ForwardListener::Create(Egress& egress,
                                                                         const std::vector<ForwardSpec>& specs,
                                                                         const ForwardOptions& options) {
  auto listener = absl::WrapUnique(new ForwardListener(egress));
  for (const ForwardSpec& spec : specs) {
    LATTICE_ASSIGN_OR_RETURN(const ForwardTarget target, TargetOf(spec));
    auto forward =
        spec.udp ? OpenUdpForward(egress, spec, target, options) : OpenTcpForward(egress, spec, target, options);
    if (!forward.ok()) return Annotate(forward.status(), absl::StrCat("--forward=", spec.ToString()));
    listener->forwards_.push_back(*std::move(forward));
  }
  return listener;
}

std::string ProxyHeader(const Endpoint& source, const Endpoint& destination) {
  constexpr char kSignature[] = "\r\n\r\n\0\r\nQUIT\n";
  constexpr char kProxyCommand = 0x21;  // version 2, PROXY
  constexpr char kTcp4 = 0x11, kTcp6 = 0x21;
  const bool v4 = source.address.is_v4();
  std::string header(kSignature, 12);
  header += kProxyCommand;
  header += v4 ? kTcp4 : kTcp6;
  const auto add16 = [&header](size_t value) {
    header += static_cast<char>(value >> 8);
    header += static_cast<char>(value & 0xff);
  };
  add16(v4 ? 12 : 36);
  for (const IpAddress& address : {source.address, destination.address}) {
    const auto& bytes = address.bytes();
    header.append(reinterpret_cast<const char*>(bytes.data()) + (v4 ? 12 : 0), v4 ? 4 : 16);
  }
  add16(source.port);
  add16(destination.port);
  return header;
}

}  // namespace lattice::sandbox
