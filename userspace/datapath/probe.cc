#include "userspace/datapath/probe.h"

#include "userspace/datapath/probe_checks.h"

namespace lattice::datapath {

std::vector<Check> Probe(const Options& options) {
  std::vector<Check> checks;
  CheckKernel(options, &checks);
  CheckCapabilities(&checks);
  CheckFileSystems(options, &checks);
  if (options.iface.empty()) {
    checks.push_back(Good("interface", "none is named: what belongs to one is not checked; --iface names one"));
    return checks;
  }
  CheckInterface(options, &checks);
  CheckPins(options, &checks);
  CheckPrograms(options, &checks);
  return checks;
}

}  // namespace lattice::datapath
