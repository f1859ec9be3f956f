#include "userspace/base/notify.h"

#include <glog/logging.h>
#include <systemd/sd-daemon.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "userspace/base/clock.h"

namespace lattice {
namespace {

void Notify(const std::string& state) {
  // Not ours to fail over: a lost notification shows as a start timeout in systemd.
  if (const int result = sd_notify(/*unset_environment=*/0, state.c_str()); result < 0) {
    LOG(WARNING) << "cannot notify the service manager: " << strerror(-result);
  }
}

// A line feed would end the status and begin another assignment.
std::string StatusLine(const std::string& status) {
  return absl::StrCat("STATUS=", absl::StrReplaceAll(status, {{"\n", " "}}));
}

}  // namespace

void NotifyReady(const std::string& status) {
  Notify(absl::StrCat("READY=1\n", StatusLine(status)));
}

void NotifyReloading() {
  // Type=notify-reload wants the time of the reload (systemd 253; others ignore it).
  Notify(absl::StrCat("RELOADING=1\nMONOTONIC_USEC=", RealClock().MonotonicNs() / 1000));
}

void NotifyStatus(const std::string& status) {
  Notify(StatusLine(status));
}

void NotifyStopping() {
  Notify("STOPPING=1");
}

absl::Duration WatchdogPeriod() {
  uint64_t usec = 0;
  if (sd_watchdog_enabled(/*unset_environment=*/0, &usec) <= 0) return absl::InfiniteDuration();
  return absl::Microseconds(usec) / 2;
}

void NotifyAlive() {
  Notify("WATCHDOG=1");
}

}  // namespace lattice
