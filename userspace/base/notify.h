// The service manager's view of this process (sd_notify): ready, reloading,
// stopping, one status line, and the watchdog. Without systemd each call does
// nothing. Main thread.
#ifndef USERSPACE_BASE_NOTIFY_H_
#define USERSPACE_BASE_NOTIFY_H_

#include <string>

#include "absl/time/time.h"

namespace lattice {

void NotifyReady(const std::string& status);
void NotifyReloading();
void NotifyStatus(const std::string& status);
void NotifyStopping();

// How often to call NotifyAlive: half of WatchdogSec=, infinite without one.
absl::Duration WatchdogPeriod();
void NotifyAlive();

}  // namespace lattice

#endif  // USERSPACE_BASE_NOTIFY_H_
