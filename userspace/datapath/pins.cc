#include "userspace/datapath/pins.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/options.h"

namespace lattice::datapath {
namespace {

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};

}  // namespace

std::string PinFolder(const std::string& pin_path, const std::string& iface) {
  return absl::StrCat(pin_path, "/", absl::StrReplaceAll(iface, {{".", ":"}}));
}

std::string InterfaceOfFolder(absl::string_view name) {
  return absl::StrReplaceAll(name, {{":", "."}});
}

std::string LinkPinName(absl::string_view hook) {
  return absl::StrCat("link_", hook);
}

std::string CgroupLinkPinName(int number, absl::string_view direction) {
  return absl::StrCat("link_cgroup", number, "_", direction);
}

bool IsLinkPin(absl::string_view name) {
  return absl::StartsWith(name, "link_");
}

absl::StatusOr<std::vector<std::string>> ListPins(const std::string& folder) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, CloseDir> dir(opendir(folder.c_str()));
  if (dir == nullptr) {
    if (errno == ENOENT) return names;
    return BpfError(errno, absl::StrCat("reading the pin folder ", folder), "CAP_DAC_OVERRIDE");
  }
  while (const dirent* entry = readdir(dir.get())) {
    if (entry->d_name[0] != '.') names.push_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<lat_info> ReadPinnedInfo(const std::string& folder) {
  LATTICE_ASSIGN_OR_RETURN(const UniqueFd fd, OpenPin(absl::StrCat(folder, "/", kInfoPin)));
  LATTICE_ASSIGN_OR_RETURN(const bpf_map_info map, MapInfo(fd.get()));
  std::vector<char> value(map.value_size);
  const uint32_t key = 0;
  if (bpf_map_lookup_elem(fd.get(), &key, value.data()) != 0) {
    return BpfError(errno, absl::StrCat("reading the pin ", folder, "/", kInfoPin));
  }
  lat_info info = {};
  std::memcpy(&info, value.data(), std::min(value.size(), sizeof(info)));
  return info;
}

absl::Status MakePinFolder(const std::string& folder) {
  return Annotate(MakeDirectories(folder, 0700), "making the pin folder");
}

absl::Status PinLink(int fd, const std::string& path) {
  LATTICE_RETURN_IF_ERROR(MakePinFolder(path.substr(0, path.rfind('/'))));
  LATTICE_RETURN_IF_ERROR(RemovePin(path));
  if (bpf_obj_pin(fd, path.c_str()) != 0) return BpfError(errno, absl::StrCat("pinning ", path));
  return absl::OkStatus();
}

absl::Status RemovePin(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return BpfError(errno, absl::StrCat("removing the pin ", path), "CAP_DAC_OVERRIDE");
}

absl::Status RemoveLink(const std::string& path) {
  const absl::StatusOr<UniqueFd> link = OpenPin(path);
  if (absl::IsNotFound(link.status())) return absl::OkStatus();
  LATTICE_RETURN_IF_ERROR(link.status());
  // ENOLINK, EINVAL: the device or cgroup is gone, and our place with it.
  if (bpf_link_detach(link->get()) != 0 && errno != ENOLINK && errno != EINVAL) {
    return BpfError(errno, absl::StrCat("detaching ", path), "CAP_NET_ADMIN");
  }
  return RemovePin(path);
}

absl::Status RemovePinFolder(const std::string& folder) {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListPins(folder));
  absl::Status first;
  for (const std::string& name : names) first.Update(RemovePin(absl::StrCat(folder, "/", name)));
  if (first.ok() && rmdir(folder.c_str()) != 0 && errno != ENOENT) {
    return BpfError(errno, absl::StrCat("removing the pin folder ", folder), "CAP_DAC_OVERRIDE");
  }
  return first;
}

std::string DetachRemedy(absl::string_view iface, absl::string_view pin_path) {
  std::string command = absl::StrFormat("lattice dp detach --iface %s", iface);
  if (pin_path != kDefaultPinPath) absl::StrAppend(&command, " --pin-path ", pin_path);
  return absl::StrFormat("run `%s` first (enforcement stops until the daemon starts again)", command);
}

}  // namespace lattice::datapath
