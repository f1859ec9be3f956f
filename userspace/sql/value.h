// What goes into a statement and what comes out. Texts of a Param are borrowed: they must outlive the call.
#ifndef USERSPACE_SQL_VALUE_H_
#define USERSPACE_SQL_VALUE_H_

#include <concepts>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"

namespace lattice::sql {

struct Null {
  bool operator==(const Null&) const = default;
};

class Param {
 public:
  Param(Null) {}                                                            // NOLINT: implicit
  Param(std::integral auto value) : value_(static_cast<int64_t>(value)) {}  // NOLINT: implicit
  Param(absl::string_view text) : value_(text) {}                           // NOLINT: implicit
  Param(const std::string& text) : value_(absl::string_view(text)) {}       // NOLINT: implicit
  Param(const char* text) : value_(absl::string_view(text)) {}              // NOLINT: implicit

  const std::variant<Null, int64_t, absl::string_view>& value() const { return value_; }

 private:
  std::variant<Null, int64_t, absl::string_view> value_;
};

// One cell. The engines' integers and booleans are integers, all else is text.
class Value {
 public:
  Value() = default;
  explicit Value(int64_t value) : value_(value) {}
  explicit Value(std::string text) : value_(std::move(text)) {}

  bool is_null() const { return std::holds_alternative<Null>(value_); }
  // 0 if it is NULL or a text.
  int64_t integer() const {
    const int64_t* value = std::get_if<int64_t>(&value_);
    return value == nullptr ? 0 : *value;
  }
  // Empty if it is NULL or an integer.
  const std::string& text() const {
    static const std::string* const empty = new std::string();
    const std::string* text = std::get_if<std::string>(&value_);
    return text == nullptr ? *empty : *text;
  }
  // The text, moved out.
  std::string TakeText() {
    std::string* text = std::get_if<std::string>(&value_);
    return text == nullptr ? std::string() : std::move(*text);
  }

  bool operator==(const Value&) const = default;

 private:
  std::variant<Null, int64_t, std::string> value_;
};

using Row = std::vector<Value>;

}  // namespace lattice::sql

#endif  // USERSPACE_SQL_VALUE_H_
