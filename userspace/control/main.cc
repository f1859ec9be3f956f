// latticed: the control plane. See server/latticed.h for what it does and in which order.
#include <gflags/gflags.h>
#include <glog/logging.h>

#include <cstdio>
#include <string>

#include "userspace/control/server/latticed.h"
#include "userspace/control/server/options.h"

int main(int argc, char** argv) {
  FLAGS_logtostderr = true;  // the service manager keeps the log
  const lattice::control::FlagValues flags = lattice::control::ParseFlags(argc, argv);
  google::InitGoogleLogging(argv[0]);
  absl::StatusOr<lattice::control::Options> options = lattice::control::MakeOptions(flags);
  if (!options.ok()) {
    fprintf(stderr, "latticed: %s\n", std::string(options.status().message()).c_str());
    return 2;
  }
  return lattice::control::Latticed(*std::move(options)).Run();
}
