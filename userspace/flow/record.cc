#include "userspace/flow/record.h"

#include <charconv>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace lattice::flow {
namespace {

template <typename T>
bool ParseNumber(absl::string_view text, int base, T* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value, base);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

uint32_t AddressHash(const FlowRecord& record) {
  uint64_t words[5];
  std::memcpy(words, record.local().bytes().data(), 16);
  std::memcpy(words + 2, record.remote().bytes().data(), 16);
  words[4] = uint64_t{record.local_port()} << 32 | uint64_t{record.remote_port()} << 16 |
             uint64_t{record.protocol} << 8 | static_cast<uint64_t>(record.scope);
  // FNV-1a over words instead of bytes. The result is stored in files: it must never change.
  uint64_t hash = 14695981039346656037u;
  for (const uint64_t word : words) hash = (hash ^ word ^ word >> 32) * 1099511628211u;
  return static_cast<uint32_t>(hash ^ hash >> 32);
}

std::string EventId(absl::string_view node, absl::string_view boot, uint64_t seq) {
  return absl::StrCat(node, "/", boot, "/", seq);
}

bool ParseEventId(absl::string_view text, std::string* node, std::string* boot, uint64_t* seq) {
  const size_t last = text.rfind('/');
  if (last == absl::string_view::npos || last == 0) return false;
  const size_t middle = text.rfind('/', last - 1);
  if (middle == absl::string_view::npos) return false;
  if (!ParseNumber(text.substr(last + 1), 10, seq)) return false;
  *node = std::string(text.substr(0, middle));
  *boot = std::string(text.substr(middle + 1, last - middle - 1));
  return true;
}

std::string FlowId(const FlowRecord& record) {
  return absl::StrCat(record.boot, "-", absl::Hex(record.start_monotonic_ns), "-",
                      absl::Hex(AddressHash(record), absl::kZeroPad8));
}

bool ParseFlowId(absl::string_view text, uint64_t* start_monotonic_ns) {
  const size_t last = text.rfind('-');
  if (last == absl::string_view::npos || last == 0) return false;
  const size_t middle = text.rfind('-', last - 1);
  if (middle == absl::string_view::npos) return false;
  uint32_t addresses;
  return ParseNumber(text.substr(last + 1), 16, &addresses) &&
         ParseNumber(text.substr(middle + 1, last - middle - 1), 16, start_monotonic_ns);
}

RecordIdentity RecordIdentity::Of(const lat_record& record) {
  return {
      .monotonic_ns = record.time_ns,
      .start_monotonic_ns = record.start_ns,
      .local = IpAddress::FromBytes(record.local),
      .remote = IpAddress::FromBytes(record.remote),
      .local_port = record.local_port,
      .remote_port = record.remote_port,
      .protocol = record.proto,
      .event = static_cast<Event>(record.event),
      .reason = FromKernelReason(record.reason),
      .scope = record.scope,
      .direction = record.direction,
  };
}

RecordIdentity RecordIdentity::Of(const FlowRecord& record) {
  return {
      .monotonic_ns = record.monotonic_ns,
      .start_monotonic_ns = record.start_monotonic_ns,
      .local = record.local(),
      .remote = record.remote(),
      .local_port = record.local_port(),
      .remote_port = record.remote_port(),
      .protocol = record.protocol,
      .event = record.event,
      .reason = record.reason,
      .scope = record.scope,
      .direction = record.direction,
  };
}

}  // namespace lattice::flow
