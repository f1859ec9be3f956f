#include "userspace/control/server/retention.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <unistd.h>
#include <zstd.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/base/unique_fd.h"
#include "userspace/control/audit/event_json.h"

namespace lattice::control {
namespace {

constexpr absl::Duration kTurn = absl::Seconds(5);
constexpr absl::Duration kPause = absl::Milliseconds(200);  // for the writer of new records
constexpr int kCompressionLevel = 3;

absl::Status AppendFrame(const std::string& path, absl::string_view text) {
  std::string frame(ZSTD_compressBound(text.size()), '\0');
  const size_t size = ZSTD_compress(frame.data(), frame.size(), text.data(), text.size(), kCompressionLevel);
  if (ZSTD_isError(size) != 0) return absl::InternalError(absl::StrCat("zstd: ", ZSTD_getErrorName(size)));
  frame.resize(size);
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.ok()) return ErrnoStatus(errno, path);
  const off_t before = lseek(fd.get(), 0, SEEK_END);
  absl::Status written = Annotate(WriteAll(fd.get(), frame), path);
  if (written.ok() && fsync(fd.get()) != 0) written = ErrnoStatus(errno, path);
  // Half a frame would make what follows unreadable.
  if (!written.ok() && ftruncate(fd.get(), before) != 0) {
    return absl::DataLossError(absl::StrCat(written.message(), "; its end is damaged"));
  }
  return written;
}

}  // namespace

absl::Status ArchiveEvents(const std::string& folder, const std::vector<FlowEvent>& events) {
  std::map<std::string, std::string> by_day;
  for (const FlowEvent& event : events) {
    std::string& text = by_day[TimeText(event.ts_ns).substr(0, 10)];
    AppendEventJson(event, text);
    text += '\n';
  }
  LATTICE_RETURN_IF_ERROR(MakeDirectories(folder, 0700));
  for (const auto& [day, text] : by_day) {
    LATTICE_RETURN_IF_ERROR(AppendFrame(absl::StrCat(folder, "/flows-", day, ".ndjson.zst"), text));
  }
  return absl::OkStatus();
}

Retention::Retention(FlowStore& store, RetentionOptions options) : store_(store), options_(std::move(options)) {}

void Retention::Start() {
  if (options_.keep > absl::ZeroDuration()) thread_ = std::thread([this] { Run(); });
}

void Retention::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

bool Retention::Sleep(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&stopping_), duration);
  return !stopping_;
}

void Retention::Run() {
  do {
    Turn();
  } while (Sleep(options_.period));
}

void Retention::Turn() {
  const int64_t before = absl::ToUnixNanos(RealClock().Now() - options_.keep);
  std::function<absl::Status(const std::vector<FlowEvent>&)> archive;
  if (!options_.archive_dir.empty()) {
    archive = [this](const std::vector<FlowEvent>& events) { return ArchiveEvents(options_.archive_dir, events); };
  }
  while (true) {
    const auto report = store_.DeleteBefore(before, archive, absl::Now() + kTurn);
    if (!report.ok()) {
      ++failures_;
      LOG(WARNING) << "old records are not deleted, trying again in " << absl::FormatDuration(options_.period) << ": "
                   << report.status().message();
      return;
    }
    deleted_ += report->events;
    if (!report->more || !Sleep(kPause)) return;
  }
}

}  // namespace lattice::control
