#include "userspace/control/audit/store_text.h"

#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "absl/base/thread_annotations.h"
#include "absl/strings/escaping.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "glog/logging.h"
#include "userspace/control/audit/flow_store.h"

namespace lattice::control {
namespace {

constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";

bool IsContinuation(unsigned char c) {
  return (c & 0xC0) == 0x80;
}

// The length of the UTF-8 character at the begin of `text`; 0 if there is none (RFC 3629).
size_t CharacterLength(absl::string_view text) {
  const auto at = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned lead = at(0);
  if (lead < 0x80) return 1;
  size_t length = 0;
  unsigned low = 0x80, high = 0xBF;  // of the second byte
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;   // overlong
    if (lead == 0xED) high = 0x9F;  // surrogates
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  if (at(1) < low || at(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (i >= text.size() || !IsContinuation(static_cast<unsigned char>(text[i]))) return 0;
  }
  return length;
}

std::string ReplaceInvalid(absl::string_view text) {
  std::string clean;
  clean.reserve(text.size() + 8);
  while (!text.empty()) {
    const size_t length = text[0] == '\0' ? 0 : CharacterLength(text);
    if (length == 0) {
      clean.append(kReplacement.data(), kReplacement.size());
      text.remove_prefix(1);
    } else {
      clean.append(text.data(), length);
      text.remove_prefix(length);
    }
  }
  return clean;
}

void CutAt(std::string& text, size_t bytes) {
  while (bytes > 0 && IsContinuation(static_cast<unsigned char>(text[bytes]))) --bytes;
  text.resize(bytes);
}

std::string Hex(absl::string_view bytes) {
  return absl::BytesToHexString(bytes);
}

std::string KeyOf(const IpAddress& address) {
  const auto* bytes = reinterpret_cast<const char*>(address.bytes().data());
  return address.is_v4() ? "4" + Hex(absl::string_view(bytes + 12, 4)) : "6" + Hex(absl::string_view(bytes, 16));
}

// Makes the 48-bit time and the 12 bits after it, which count within a millisecond.
class IdClock {
 public:
  // The first of `count` consecutive values.
  uint64_t Take(uint64_t count) {
    absl::MutexLock lock(&mutex_);
    next_ = std::max(next_, static_cast<uint64_t>(absl::ToUnixMillis(absl::Now())) << 12);
    const uint64_t first = next_;
    next_ += count;
    return first;
  }

 private:
  absl::Mutex mutex_;
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

// Most texts are, and it is decided in one pass without a branch.
bool IsPlainText(absl::string_view text) {
  bool plain = true;
  for (const char c : text) plain &= static_cast<signed char>(c) > 0;
  return plain;
}

bool CleanText(std::string& text, size_t max_bytes) {
  const bool plain = IsPlainText(text);
  if (plain && text.size() <= max_bytes) return false;
  std::string clean = plain ? text : ReplaceInvalid(text);
  if (clean.size() > max_bytes) CutAt(clean, max_bytes);
  const bool changed = clean != text;
  text = std::move(clean);
  return changed;
}

bool CleanId(std::string& text, size_t max_bytes) {
  if (IsPlainText(text) && text.size() <= max_bytes) return false;
  std::array<unsigned char, SHA256_DIGEST_LENGTH> hash;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
  const std::string original = text;
  if (CleanText(text, max_bytes) || text != original) {
    CleanText(text, max_bytes - 2 * hash.size() - 1);
    text += "#" + Hex(absl::string_view(reinterpret_cast<const char*>(hash.data()), hash.size()));
  }
  return text != original;
}

std::string AddressKey(absl::string_view address) {
  const absl::StatusOr<IpAddress> parsed = IpAddress::Parse(address);
  return parsed.ok() ? KeyOf(*parsed) : std::string();
}

std::pair<std::string, std::string> NetworkKeys(const IpPrefix& prefix) {
  std::array<uint8_t, 16> last = prefix.address().bytes();
  for (int bit = prefix.length128(); bit < 128; ++bit) last[bit / 8] |= static_cast<uint8_t>(0x80 >> (bit % 8));
  if (prefix.is_v4()) return {KeyOf(prefix.address()), KeyOf(IpAddress::FromBytes(last.data()))};
  // Not KeyOf: ::/0 and what else begins with zeros has ends that look like IPv4.
  const auto key = [](const std::array<uint8_t, 16>& bytes) {
    return "6" + Hex(absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  };
  return {key(prefix.address().bytes()), key(last)};
}

int64_t BucketOf(int64_t time_ns, int64_t width_ns) {
  constexpr int64_t kFirst = std::numeric_limits<int64_t>::min();
  const int64_t rest = time_ns % width_ns;
  const int64_t into = rest < 0 ? rest + width_ns : rest;
  if (time_ns < kFirst + into) return kFirst / width_ns * width_ns;  // its begin can't be told: the first that can
  return time_ns - into;
}

namespace {

// `clock`: milliseconds and 12 bits that count within one.
std::string RowId(uint64_t clock, uint64_t random) {
  const uint64_t high = (clock >> 12) << 16 | 0x7000 | (clock & 0xFFF);
  const uint64_t low = (random & 0x3FFF'FFFF'FFFF'FFFF) | 0x8000'0000'0000'0000;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string id(36, '-');
  size_t at = 0;
  for (int digit = 0; digit < 32; ++digit) {
    if (digit == 8 || digit == 12 || digit == 16 || digit == 20) ++at;
    id[at++] = kDigits[(digit < 16 ? high : low) >> (60 - 4 * (digit % 16)) & 0xf];
  }
  return id;
}

}  // namespace

std::string RowIdAt(absl::Time time) {
  constexpr int64_t kLast = (int64_t{1} << 48) - 1;
  return RowId(static_cast<uint64_t>(std::clamp<int64_t>(absl::ToUnixMillis(time), 0, kLast)) << 12, 0);
}

std::vector<std::string> NewRowIds(size_t count) {
  static auto* const clock = new IdClock();
  const uint64_t first = clock->Take(count);
  std::vector<uint64_t> random(count);
  CHECK_EQ(RAND_bytes(reinterpret_cast<unsigned char*>(random.data()), static_cast<int>(count * sizeof(uint64_t))), 1);
  std::vector<std::string> ids;
  ids.reserve(count);
  for (size_t i = 0; i < count; ++i) ids.push_back(RowId(first + i, random[i]));
  return ids;
}

}  // namespace lattice::control
