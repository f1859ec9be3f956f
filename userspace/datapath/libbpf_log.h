// What libbpf prints on this thread, kept until somebody asks why a call failed. libbpf has one
// print function per process, which the first object installs; at most one object per thread.
#ifndef USERSPACE_DATAPATH_LIBBPF_LOG_H_
#define USERSPACE_DATAPATH_LIBBPF_LOG_H_

#include <string>

namespace lattice::datapath {

class LibbpfLog {
 public:
  LibbpfLog();
  ~LibbpfLog();
  LibbpfLog(const LibbpfLog&) = delete;
  LibbpfLog& operator=(const LibbpfLog&) = delete;

  // The verifier says in its last lines why it rejects a program. All lines go to VLOG(1).
  std::string LastLines() const;
  // Whether a verifier's log is in it: EACCES is also the verifier's word for a program it rejects.
  bool VerifierSpoke() const;

 private:
  std::string text_;
};

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_LIBBPF_LOG_H_
