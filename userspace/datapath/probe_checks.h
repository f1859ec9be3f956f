// The groups of checks behind Probe (probe.h), one file each. Any thread.
#ifndef USERSPACE_DATAPATH_PROBE_CHECKS_H_
#define USERSPACE_DATAPATH_PROBE_CHECKS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "userspace/datapath/options.h"
#include "userspace/datapath/probe.h"

namespace lattice::datapath {

inline Check Good(std::string name, std::string detail) {
  return {.name = std::move(name), .ok = true, .detail = std::move(detail)};
}
// Create fails.
inline Check Fatal(std::string name, std::string detail, std::string remedy) {
  return {.name = std::move(name), .detail = std::move(detail), .remedy = std::move(remedy), .fatal = true};
}
// Works, but look at it.
inline Check Warn(std::string name, std::string detail, std::string remedy) {
  return {.name = std::move(name), .detail = std::move(detail), .remedy = std::move(remedy)};
}

void CheckKernel(const Options& options, std::vector<Check>* checks);       // probe_kernel.cc
void CheckCapabilities(std::vector<Check>* checks);                         // probe_kernel.cc
void CheckFileSystems(const Options& options, std::vector<Check>* checks);  // probe_host.cc
void CheckInterface(const Options& options, std::vector<Check>* checks);    // probe_host.cc
void CheckPins(const Options& options, std::vector<Check>* checks);         // probe_pins.cc
void CheckPrograms(const Options& options, std::vector<Check>* checks);     // probe_pins.cc

// Whether the calling thread has the capability `number` (linux/capability.h) in force.
bool HasCapability(int number);

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_PROBE_CHECKS_H_
