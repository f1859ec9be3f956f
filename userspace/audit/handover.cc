#include "userspace/audit/handover.h"

#include <algorithm>
#include <utility>

#include "userspace/audit/encoder.h"
#include "userspace/audit/state_json.h"
#include "userspace/base/status.h"
#include "userspace/flow/from_kernel.h"

namespace lattice::audit {
namespace {

// Without a number in it where there is no file, or one of another boot.
uint64_t StoredMark(FileSystem& fs, const Handover& handover) {
  const absl::StatusOr<std::string> text = fs.ReadWhole(handover.mark_path);
  const absl::StatusOr<StateObject> state = text.ok() ? DecodeState(*text) : text.status();
  if (!state.ok() || state->Text("boot").value_or("") != handover.boot) return 0;
  return state->Number("nextSeq").value_or(0);
}

}  // namespace

absl::Status HandOver(FileSystem& fs, const Clock& clock, const Handover& handover) {
  const uint64_t next_seq = std::max(StoredMark(fs, handover), handover.next_seq);
  LATTICE_RETURN_IF_ERROR(fs.WriteAtomically(
      handover.mark_path, EncodeState({.texts = {{"boot", handover.boot}}, .numbers = {{"nextSeq", next_seq}}}), 0640));
  if (handover.lost == 0) return absl::OkStatus();
  absl::StatusOr<std::string> lines = fs.ReadWhole(handover.parked_path);
  if (absl::IsNotFound(lines.status())) lines = "";
  LATTICE_RETURN_IF_ERROR(lines.status());
  flow::Context context;
  context.iface = handover.iface;
  const absl::Time now = clock.Now();
  flow::FlowRecord loss = flow::LossRecord(context, clock, flow::kStageDetached, handover.lost, now, now);
  loss.boot = handover.boot;
  Encoder().AppendLine(loss, *lines);
  lines->push_back('\n');
  return fs.WriteAtomically(handover.parked_path, *lines, 0640);
}

}  // namespace lattice::audit
