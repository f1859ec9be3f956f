#include "tools/lattice/target.h"

#include <cstdio>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "tools/lattice/render.h"
#include "userspace/base/status.h"
#include "userspace/datapath/lock.h"
#include "userspace/datapath/options.h"
#include "userspace/datapath/pins.h"
#include "userspace/dp/options.h"
#include "userspace/http/client.h"

namespace lattice::cli {
namespace {

// A policy of 100 k rules is compiled and swapped well within this.
constexpr absl::Duration kTimeout = absl::Seconds(60);

absl::StatusOr<std::vector<std::string>> PinnedInterfaces(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (entry.is_directory(error)) names.push_back(datapath::InterfaceOfFolder(entry.path().filename().string()));
  }
  if (error == std::errc::permission_denied) {
    return absl::PermissionDeniedError(absl::StrCat("reading ", path, " is not permitted: run as root"));
  }
  return names;  // no folder, no pins
}

absl::StatusOr<std::string> Body(const absl::StatusOr<http::ClientResponse>& answer) {
  LATTICE_RETURN_IF_ERROR(answer.status());
  LATTICE_RETURN_IF_ERROR(http::StatusOf(*answer));
  return answer->body;
}

}  // namespace

ExitCode Fail(const absl::Status& status) {
  absl::FPrintF(stderr, "lattice: %s\n", status.message());
  return absl::IsInvalidArgument(status) ? kUsage : kFailed;
}

Target::Target(Args& args)
    : iface_(args.Text("iface", "", "NAME", "Interface; not needed where only one has a data plane.")),
      pin_path_(args.Text("pin-path", datapath::kDefaultPinPath, "DIR", "Where the daemon has its pins.")),
      admin_socket_(args.Text("admin-socket", "", "PATH", "The daemon's; empty is /run/lattice/dp-<iface>.sock.")) {}

absl::Status Target::Resolve() {
  if (iface_.empty()) {
    LATTICE_RETURN_IF_ERROR(AskInterface());
  }
  LATTICE_RETURN_IF_ERROR(dp::CheckInterfaceName(iface_));
  if (admin_socket_.empty()) {
    LATTICE_ASSIGN_OR_RETURN(const std::string instance, datapath::InstanceName(iface_));
    admin_socket_ = dp::DefaultAdminSocket(instance);
  }
  return absl::OkStatus();
}

absl::Status Target::AskInterface() {
  if (!admin_socket_.empty()) {
    LATTICE_ASSIGN_OR_RETURN(const std::string status, Get("/v1/status"));
    LATTICE_ASSIGN_OR_RETURN(iface_, InterfaceOfStatus(status));
    return absl::OkStatus();
  }
  LATTICE_ASSIGN_OR_RETURN(const std::vector<std::string> pinned, PinnedInterfaces(pin_path_));
  if (pinned.empty()) {
    return absl::NotFoundError(absl::StrCat("no data plane is pinned in ", pin_path_,
                                            ": no latticed-dp runs here, or it has another --pin-path; start one, or "
                                            "name --iface or --pin-path"));
  }
  if (pinned.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("several interfaces have a data plane, choose one with --iface: ", absl::StrJoin(pinned, ", ")));
  }
  iface_ = pinned[0];
  return absl::OkStatus();
}

std::string Target::WithInterface(absl::string_view path) const {
  if (iface_.empty()) return std::string(path);
  return absl::StrCat(path, absl::StrContains(path, '?') ? "&" : "?", "iface=", http::EscapeQuery(iface_));
}

absl::Status Target::NotRunning() const {
  return absl::UnavailableError(absl::StrCat("latticed-dp is not running", iface_.empty() ? "" : " for ", iface_,
                                             ": nobody listens at ", admin_socket_,
                                             "; start it, or name its --admin-socket"));
}

absl::Status Target::Explain(const absl::Status& status) const {
  return absl::IsUnavailable(status) ? NotRunning() : status;
}

absl::StatusOr<std::string> Target::Get(absl::string_view path) const {
  const auto body = Body(http::Client(admin_socket_, {.timeout = kTimeout}).Get(WithInterface(path)));
  if (!body.ok()) return Explain(body.status());
  return body;
}

absl::StatusOr<std::string> Target::Post(absl::string_view path, absl::string_view body) const {
  const auto answer =
      Body(http::Client(admin_socket_, {.timeout = kTimeout}).Post(WithInterface(path), body, http::kText));
  if (!answer.ok()) return Explain(answer.status());
  return answer;
}

absl::Status Target::ForEachLine(absl::string_view path, const std::function<bool(absl::string_view)>& on_line) const {
  return Explain(http::Client(admin_socket_).ForEachLine(WithInterface(path), on_line));
}

}  // namespace lattice::cli
