// A cgroup link is pinned and updated like a tcx link. All programs of a cgroup run and each
// may drop, so nobody can hide a packet from ours and the order doesn't matter.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "absl/strings/str_format.h"
#include "userspace/base/status.h"
#include "userspace/datapath/hook.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/pins.h"
#include "userspace/datapath/probe_checks.h"

namespace lattice::datapath {
namespace {

class CgroupHook : public Hook {
 public:
  CgroupHook(const Program& program, Cgroup cgroup, std::string pin)
      : program_(program),
        cgroup_(std::move(cgroup)),
        pin_(std::move(pin)),
        type_(program.hook == LAT_HOOK_CGROUP_EGRESS ? BPF_CGROUP_INET_EGRESS : BPF_CGROUP_INET_INGRESS) {}

  absl::Status Attach() override {
    LATTICE_RETURN_IF_ERROR(Reopen());
    absl::StatusOr<UniqueFd> pinned = OpenPin(pin_);  // one that can't be opened is as good as none
    if (pinned.ok()) {
      LATTICE_ASSIGN_OR_RETURN(const bool updated, UpdateLink(pinned->get()));
      if (updated) {
        link_ = *std::move(pinned);
        return absl::OkStatus();
      }
    }
    return CreateLink();
  }

  HookStatus Query() const override {
    HookStatus status = {.hook = program_.hook, .target = cgroup_.path, .kind = "cgroup"};
    const absl::StatusOr<Cgroup> present = OpenCgroup(cgroup_.path);
    if (!present.ok()) {
      status.detail = std::string(present.status().message());
      return status;
    }
    const absl::StatusOr<std::vector<uint32_t>> ids = QueryPrograms(present->fd.get(), type_);
    if (!ids.ok()) {
      status.detail = std::string(ids.status().message());
      return status;
    }
    DescribeChain(*ids, program_.id, &status);
    status.foreign_before.clear();
    if (status.attached) status.detail.clear();
    return status;
  }

  absl::StatusOr<bool> RestorePin() override {
    if (!link_.ok() || access(pin_.c_str(), F_OK) == 0) return false;
    LATTICE_RETURN_IF_ERROR(PinLink(link_.get(), pin_));
    return true;
  }

  absl::Status Detach() override {
    LATTICE_RETURN_IF_ERROR(RemoveLink(pin_));
    link_.reset();
    return absl::OkStatus();
  }

 private:
  // The cgroup may have been removed and made again under the same name.
  absl::Status Reopen() {
    LATTICE_ASSIGN_OR_RETURN(Cgroup present, OpenCgroup(cgroup_.path));
    if (present.id != cgroup_.id) cgroup_ = std::move(present);
    return absl::OkStatus();
  }

  // False: the link belongs to a cgroup that is gone or to another one.
  absl::StatusOr<bool> UpdateLink(int link) {
    LATTICE_ASSIGN_OR_RETURN(const bpf_link_info info, LinkInfo(link));
    if (info.type != BPF_LINK_TYPE_CGROUP || info.cgroup.attach_type != type_ || info.cgroup.cgroup_id != cgroup_.id) {
      return false;
    }
    if (info.prog_id == program_.id || bpf_link_update(link, program_.fd, nullptr) == 0) return true;
    if (errno == ENOLINK || errno == ESTALE || errno == ENOENT) return false;
    return BpfError(errno, absl::StrCat("replacing the program in ", pin_), "CAP_NET_ADMIN");
  }

  absl::Status CreateLink() {
    UniqueFd link(bpf_link_create(program_.fd, cgroup_.fd.get(), type_, nullptr));
    if (!link.ok()) {
      if (errno == EPERM && HasCapability(CAP_NET_ADMIN)) {
        return absl::FailedPreconditionError(absl::StrFormat(
            "attaching %s to %s: a cgroup above it has a program that lets no other in below (attached without "
            "BPF_F_ALLOW_MULTI): `bpftool cgroup tree` shows it; detach it there, or give that cgroup as --cgroup",
            HookName(program_.hook), cgroup_.path));
      }
      return BpfError(errno, absl::StrFormat("attaching %s to %s", HookName(program_.hook), cgroup_.path),
                      "CAP_NET_ADMIN");
    }
    // See tcx.cc: a link that can't be pinned is better than none.
    link_ = std::move(link);
    return PinLink(link_.get(), pin_);
  }

  const Program program_;
  Cgroup cgroup_;
  const std::string pin_;
  const bpf_attach_type type_;
  UniqueFd link_;
};

}  // namespace

absl::StatusOr<Cgroup> OpenCgroup(const std::string& path) {
  std::unique_ptr<char, decltype(&free)> canonical(realpath(path.c_str(), nullptr), &free);
  if (canonical == nullptr) {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat("no cgroup ", path));
    return ErrnoStatus(errno, absl::StrCat("looking at --cgroup ", path));
  }
  Cgroup cgroup{.path = canonical.get()};
  cgroup.fd.reset(open(cgroup.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup.fd.ok()) return ErrnoStatus(errno, absl::StrCat("opening --cgroup ", path));
  struct statfs fs;
  struct stat st;
  if (fstatfs(cgroup.fd.get(), &fs) != 0 || fstat(cgroup.fd.get(), &st) != 0) {
    return ErrnoStatus(errno, absl::StrCat("looking at --cgroup ", path));
  }
  if (fs.f_type != CGROUP2_SUPER_MAGIC) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "--cgroup %s is not in a cgroup2 hierarchy (on hybrid hosts that is /sys/fs/cgroup/unified)", path));
  }
  // On 64-bit kernels the inode number of a cgroup folder is the cgroup's id.
  cgroup.id = st.st_ino;
  return cgroup;
}

std::unique_ptr<Hook> MakeCgroupHook(const Program& program, Cgroup cgroup, const std::string& pin) {
  return std::make_unique<CgroupHook>(program, std::move(cgroup), pin);
}

}  // namespace lattice::datapath
