// lattice dp detach: by the daemon, which writes every flow's end first; without one, here.
#include "userspace/datapath/detach.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "tools/lattice/commands.h"
#include "tools/lattice/render.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/handover.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/base/unique_fd.h"
#include "userspace/datapath/lock.h"
#include "userspace/datapath/pins.h"
#include "userspace/dp/options.h"
#include "userspace/dp/views.h"

namespace lattice::cli {
namespace {

// Its sockets are free only once it has ended, and who detaches may want to start another.
constexpr absl::Duration kDaemonEnd = absl::Seconds(15);

// The running daemon of a target, held on to so that its end can be told from another process with its id.
struct Daemon {
  int64_t pid = 0;
  UniqueFd process;
};

absl::StatusOr<Daemon> FindDaemon(const Target& target) {
  LATTICE_ASSIGN_OR_RETURN(const std::string status, target.Get("/v1/status"));
  Daemon daemon;
  LATTICE_ASSIGN_OR_RETURN(daemon.pid, PidOfStatus(status));
  daemon.process = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, daemon.pid, 0)));
  if (!daemon.process.ok()) return ErrnoStatus(errno, absl::StrCat("watching latticed-dp (pid ", daemon.pid, ")"));
  return daemon;
}

// Whether it ended in time, which it is.
bool WaitForEnd(const Daemon& daemon) {
  pollfd process = {.fd = daemon.process.get(), .events = POLLIN, .revents = 0};
  return poll(&process, 1, static_cast<int>(absl::ToInt64Milliseconds(kDaemonEnd))) == 1;
}

// What the next daemon needs to know of the one that did not end by itself: numbers are not given out twice, and
// what nobody can write any more is a loss record.
absl::Status LeaveWord(const Target& target, uint64_t next_seq, uint64_t untold) {
  LATTICE_ASSIGN_OR_RETURN(const std::string instance, datapath::InstanceName(target.iface()));
  LATTICE_ASSIGN_OR_RETURN(const std::string boot, audit::ReadBootId());
  return audit::HandOver(audit::RealFileSystem(), RealClock(),
                         {.parked_path = dp::RunPath(instance, "losses"),
                          .mark_path = dp::RunPath(instance, "seq"),
                          .boot = boot,
                          .iface = target.iface(),
                          .next_seq = next_seq,
                          .lost = untold});
}

absl::StatusOr<std::string> DetachHere(const Target& target) {
  // Held until the end: no daemon starts on pins that are half gone.
  const auto lock = datapath::InterfaceLock::Acquire(target.iface());
  if (absl::IsAlreadyExists(lock.status())) {
    return absl::FailedPreconditionError(absl::StrCat(lock.status().message(), "; it does not answer at ",
                                                      target.admin_socket(),
                                                      ": name its --admin-socket, or stop it first"));
  }
  LATTICE_RETURN_IF_ERROR(lock.status());
  // Pins of another layout, or not all of them: there is nothing that could be counted.
  const absl::StatusOr<lat_info> info =
      datapath::ReadPinnedInfo(datapath::PinFolder(target.pin_path(), target.iface()));
  const absl::StatusOr<uint64_t> untold = datapath::CountUntold(target.iface(), target.pin_path());
  LATTICE_ASSIGN_OR_RETURN(const datapath::DetachReport report, datapath::Detach(target.iface(), target.pin_path()));
  if (info.ok() && untold.ok()) {
    LATTICE_RETURN_IF_ERROR(
        Annotate(LeaveWord(target, info->next_seq, *untold), "detached, but what that lost is told nowhere"));
    if (*untold > 0) {
      absl::FPrintF(
          stderr,
          "lattice: %d records that were due are lost with the tables; the next latticed-dp on %s tells so in "
          "a loss record\n",
          *untold, target.iface());
    }
  }
  return dp::RemovedJson(report.removed);
}

void PrintRemoved(const std::string& removed, const Target& target) {
  const auto parsed = nlohmann::json::parse(removed, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_object() && parsed.contains("removed")) {
    for (const auto& line : parsed["removed"])
      absl::PrintF("removed %s\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  absl::PrintF("nothing of Lattice is left on %s\n", target.iface());
}

}  // namespace

ExitCode RunDetach(const Words& words) {
  Args args("lattice dp detach", "Ends enforcement: removes the programs, tables and pins of the interface.");
  Target target(args);
  const bool& json = args.Switch("json", "Print JSON.");
  const bool& force =
      args.Switch("force", "Detach although the audit file can't be written; the records it would take are lost.");
  args.Note(
      "A running daemon ends every flow, writes its record and ends, which this waits for. Without one, records\n"
      "that wait in the kernel are lost, and the next daemon on the interface tells how many.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  if (const absl::Status resolved = target.Resolve(); !resolved.ok()) return Fail(resolved);
  const absl::StatusOr<Daemon> daemon = FindDaemon(target);
  absl::StatusOr<std::string> removed =
      daemon.ok() ? target.Post(force ? "/v1/detach?force" : "/v1/detach", "") : daemon.status();
  if (absl::IsUnavailable(removed.status())) removed = DetachHere(target);
  if (!removed.ok()) return Fail(removed.status());
  const bool ended = !daemon.ok() || WaitForEnd(*daemon);
  if (json) {
    absl::PrintF("%s", *removed);
  } else {
    PrintRemoved(*removed, target);
    if (daemon.ok() && ended) absl::PrintF("latticed-dp (pid %d) has ended\n", daemon->pid);
  }
  if (ended) return kOk;
  return Fail(absl::DeadlineExceededError(absl::StrCat("latticed-dp (pid ", daemon->pid, ") has not ended within ",
                                                       absl::FormatDuration(kDaemonEnd), ": see its log")));
}

}  // namespace lattice::cli
