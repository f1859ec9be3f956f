// What a table can hold: valid UTF-8 without NUL, of a bounded length; times, addresses and ids in the forms that
// sort. Pure functions but for NewRowIds; any thread.
#ifndef USERSPACE_CONTROL_AUDIT_STORE_TEXT_H_
#define USERSPACE_CONTROL_AUDIT_STORE_TEXT_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "userspace/base/ip.h"

namespace lattice::control {

// ASCII without NUL: nothing for CleanText() to do but for the length.
bool IsPlainText(absl::string_view text);

// Every byte that is no UTF-8, and NUL (PostgreSQL has neither), as U+FFFD; cut before `max_bytes` at the begin of a
// character. True if `text` was changed.
bool CleanText(std::string& text, size_t max_bytes);

// The same for a text that must stay unique: the end of a long one becomes its SHA-256.
bool CleanId(std::string& text, size_t max_bytes);

// An address as text that sorts as the address does: '4' and 8 or '6' and 32 hexadecimal digits. Empty if it is none.
// IPv4 and IPv6 lie apart, so a network is one range of its own family.
std::string AddressKey(absl::string_view address);
std::pair<std::string, std::string> NetworkKeys(const IpPrefix& prefix);  // first and last

// The begin of the `width_ns` long bucket that `time_ns` lies in; rounds down also before 1970.
int64_t BucketOf(int64_t time_ns, int64_t width_ns);

// `count` UUIDs of version 7 (RFC 9562) in ascending order, above all this process has made before.
std::vector<std::string> NewRowIds(size_t count);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_STORE_TEXT_H_
