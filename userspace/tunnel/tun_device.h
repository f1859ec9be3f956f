// A TUN device: the kernel's end is a network interface, ours is a file of IP packets. With vnet headers, so that up to
// 64 KiB of one TCP connection pass in one system call each way.
//
// The interface goes with the object. One thread.
#ifndef USERSPACE_TUNNEL_TUN_DEVICE_H_
#define USERSPACE_TUNNEL_TUN_DEVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "userspace/base/unique_fd.h"
#include "userspace/tunnel/coalescing.h"

namespace lattice::tunnel {

class TunDevice {
 public:
  struct Counters {
    uint64_t read = 0;  // packets, segments counted singly
    uint64_t written = 0;
    uint64_t read_calls = 0;
    uint64_t write_calls = 0;
    uint64_t malformed = 0;  // the kernel's header did not fit its packet
    uint64_t refused = 0;    // the kernel did not take what was written: malformed, interface down, no memory
  };
  enum class ReadResult { kPacket, kEmpty, kGone };

  // Makes `name` in the network namespace of the calling thread, down. AlreadyExists, PermissionDenied (needs
  // CAP_NET_ADMIN), NotFound (no /dev/net/tun). `offload` false: single packets only.
  static absl::StatusOr<std::unique_ptr<TunDevice>> Create(const std::string& name, bool offload = true);

  int fd() const { return fd_.get(); }
  const std::string& name() const { return name_; }
  bool offloads() const { return offloads_; }
  const Counters& counters() const { return counters_; }

  // One read: `sink` gets each packet of it, whole and with right checksums, valid within the call. kGone: the
  // interface was deleted.
  ReadResult Read(absl::FunctionRef<void(absl::Span<uint8_t>)> sink);

  // Packets for the kernel. Their bytes must stay until Flush(), which writes what is still held.
  void Write(absl::Span<uint8_t> packet);
  void Flush();

 private:
  TunDevice(UniqueFd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}
  void WritePieces(const VnetHeader& header, absl::Span<const iovec> pieces);

  UniqueFd fd_;
  const std::string name_;
  bool offloads_ = false;
  Counters counters_;
  Coalescer coalescer_;
  std::vector<uint8_t> buffer_;
};

}  // namespace lattice::tunnel

#endif  // USERSPACE_TUNNEL_TUN_DEVICE_H_
