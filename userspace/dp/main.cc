// latticed-dp: the data plane of one interface. See controller.h for what it does and in which order.
#include <gflags/gflags.h>
#include <glog/logging.h>
#include <unistd.h>

#include "userspace/datapath/lock.h"
#include "userspace/dp/controller.h"
#include "userspace/dp/exit_code.h"
#include "userspace/dp/flags.h"
#include "userspace/dp/options.h"

namespace {

using lattice::dp::ExitCode;

// The lines of `status`, as an operator reads them at start.
ExitCode Refuse(const absl::Status& status) {
  std::string text(status.message());
  fprintf(stderr, "latticed-dp: %s\n", text.c_str());
  return lattice::dp::StartExitCode(status);
}

std::string HostName() {
  char name[256] = "";
  if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

}  // namespace

int main(int argc, char** argv) {
  FLAGS_logtostderr = true;  // the service manager keeps the log; --logtostderr=false writes glog's files
  const lattice::dp::FlagValues flags = lattice::dp::ParseFlags(argc, argv);
  google::InitGoogleLogging(argv[0]);

  if (const absl::Status name = lattice::dp::CheckInterfaceName(flags.iface); !name.ok()) return Refuse(name);
  const auto instance = lattice::datapath::InstanceName(flags.iface);
  if (!instance.ok()) return Refuse(instance.status());
  auto options = lattice::dp::MakeOptions(flags, {.host_name = HostName(), .instance = *instance});
  if (!options.ok()) return Refuse(options.status());
  return lattice::dp::Controller(*std::move(options)).Run();
}
