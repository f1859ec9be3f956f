// The small files beside the audit file: cursor, checkpoints, digest, what was told of losses. Any bytes
// are refused with a reason or are what is written and read back as itself.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "userspace/audit/checkpoints.h"
#include "userspace/audit/cursor.h"
#include "userspace/audit/digest.h"
#include "userspace/audit/signing.h"
#include "userspace/audit/state_json.h"
#include "userspace/dp/loss_ledger.h"

namespace {

using lattice::audit::StateObject;

// Refused for a reason, or the same after another turn.
template <typename Decode, typename Encode>
void CheckTurn(absl::string_view text, Decode decode, Encode encode) {
  const auto first = decode(text);
  if (!first.ok()) {
    CHECK(absl::IsInvalidArgument(first.status())) << first.status();
    CHECK(!first.status().message().empty());
    return;
  }
  const std::string encoded = encode(*first);
  const auto second = decode(encoded);
  CHECK(second.ok()) << second.status() << "\n" << encoded;
  CHECK(*second == *first) << encoded;
}

struct ComparedState : StateObject {
  bool operator==(const ComparedState& other) const { return texts == other.texts && numbers == other.numbers; }
};

absl::StatusOr<ComparedState> DecodeComparedState(absl::string_view text) {
  auto object = lattice::audit::DecodeState(text);
  if (!object.ok()) return object.status();
  return ComparedState{*std::move(object)};
}

// The ledger reads by name: a file in memory has one.
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("ledger", MFD_CLOEXEC)), path_(absl::StrCat("/proc/self/fd/", fd_)) {
    PCHECK(fd_ >= 0);
  }
  void Set(absl::string_view text) {
    PCHECK(ftruncate(fd_, 0) == 0);
    PCHECK(pwrite(fd_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  }
  const std::string& path() const { return path_; }

 private:
  const int fd_;
  const std::string path_;
};

void CheckLedger(absl::string_view text) {
  static MemoryFile& file = *new MemoryFile;
  file.Set(text);
  lattice::dp::LossLedger ledger(file.path());
  const absl::Time now = absl::FromUnixSeconds(1'770'000'000);
  if (const absl::Status loaded = ledger.Load(/*adopted=*/true, now); !loaded.ok()) {
    CHECK(absl::IsDataLoss(loaded)) << loaded;
    return;
  }
  // Half of a number is a number too: only what Told() writes is taken.
  const uint64_t denied_table = ledger.counts().denied_table;
  const uint64_t untracked = ledger.counts().untracked;
  CHECK_EQ(text, absl::StrCat(denied_table, " ", untracked, "\n"));
  CHECK(ledger.Compare(denied_table, untracked, now).empty());
}

void CheckCheckpoints(absl::string_view text) {
  const auto checkpoints = lattice::audit::Checkpoints::Decode(text);
  if (!checkpoints.ok()) {
    CHECK(absl::IsInvalidArgument(checkpoints.status())) << checkpoints.status();
    return;
  }
  const auto again = lattice::audit::Checkpoints::Decode(checkpoints->EncodeOlder());
  CHECK(again.ok()) << again.status();
  CHECK_EQ(again->all().size() + 1, std::max<size_t>(checkpoints->all().size(), 1));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  CheckTurn(text, DecodeComparedState, lattice::audit::EncodeState);
  CheckTurn(text, lattice::audit::DecodeCursor, lattice::audit::EncodeCursor);
  CheckTurn(text, lattice::audit::DecodeCheckpoint, lattice::audit::EncodeCheckpoint);
  CheckCheckpoints(text);
  (void)lattice::audit::ParsePublicKey(text);
  CheckTurn(text, lattice::audit::DecodeDigest, lattice::audit::EncodeDigest);
  CheckLedger(text);
  return 0;
}
