// "1 rule", "2 rules", "0 prefixes": a count for people.
#ifndef USERSPACE_BASE_PLURAL_H_
#define USERSPACE_BASE_PLURAL_H_

#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace lattice {

// `noun` in the singular.
inline std::string Plural(uint64_t count, absl::string_view noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : absl::EndsWith(noun, "x") ? "es" : "s");
}

}  // namespace lattice

#endif  // USERSPACE_BASE_PLURAL_H_
