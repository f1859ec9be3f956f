#include "userspace/audit/json_reader.h"

#include <array>

#include "userspace/audit/json_text.h"

namespace lattice::audit {
namespace {

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// What a string has most of: no quote, no backslash, no control character, nothing of several bytes.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain = {};
  for (int c = 0x20; c < 0x80; ++c) plain[static_cast<size_t>(c)] = c != '"' && c != '\\';
  return plain;
}();

void AppendUtf8(uint32_t code, std::string& out) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

// Every function takes what it is named after and leaves at_ behind it, or returns false with at_ at what is wrong.
class Reader {
 public:
  Reader(absl::string_view text, std::deque<std::string>& unescaped) : text_(text), unescaped_(unescaped) {}

  JsonEnd Read(absl::FunctionRef<bool(const JsonMember&)> member) {
    SkipSpace();
    if (Peek() != '{') {
      JsonMember other;
      return End(Peek() == '[' || Value(other) ? JsonEnd::kNoObject : JsonEnd::kMalformed);
    }
    ++at_;
    SkipSpace();
    for (bool first = true; Peek() != '}'; first = false) {
      if (!first && !Take(',')) return End(JsonEnd::kMalformed);
      SkipSpace();
      JsonMember next;
      if (!String(next.key) || !Take(':')) return End(Wrong());
      SkipSpace();
      const size_t begin = at_;
      if (!Value(next)) return End(Wrong());
      if (!member(next)) {
        at_ = begin;
        return End(JsonEnd::kStopped);
      }
      SkipSpace();
    }
    ++at_;
    return End(AtEnd() ? JsonEnd::kDone : JsonEnd::kMalformed);
  }

 private:
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  JsonEnd End(JsonEnd::Kind kind) const { return {kind, at_}; }
  JsonEnd::Kind Wrong() const { return too_deep_ ? JsonEnd::kTooDeep : JsonEnd::kMalformed; }
  void SkipSpace() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }
  bool AtEnd() {
    SkipSpace();
    return at_ == text_.size();
  }
  bool Take(char c) {
    SkipSpace();
    if (Peek() != c) return false;
    ++at_;
    return true;
  }
  bool Word(absl::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  bool Value(JsonMember& value) {
    switch (Peek()) {
      case '"':
        value.type = JsonType::kText;
        return String(value.text);
      case '{':
      case '[':
        return Nested();
      case 't':
        return Word("true");
      case 'f':
        return Word("false");
      case 'n':
        return Word("null");
      default:
        return Number(value);
    }
  }

  // A list or an object, which keeps nothing. Without recursion: the depth is the writer's choice.
  bool Nested() {
    std::string closers;
    while (true) {
      if (Peek() == '{' || Peek() == '[') {
        too_deep_ = closers.size() + 1 == kMaxJsonDepth;  // the outermost object is a level too
        if (too_deep_) return false;
        closers.push_back(Peek() == '{' ? '}' : ']');
        ++at_;
        SkipSpace();
        if (Peek() != closers.back()) {
          if (closers.back() == '}' && !Key()) return false;
          continue;
        }
      } else if (JsonMember ignored; !Value(ignored)) {
        return false;
      }
      SkipSpace();
      while (Peek() == closers.back()) {
        ++at_;
        closers.pop_back();
        if (closers.empty()) return true;
        SkipSpace();
      }
      if (!Take(',')) return false;
      SkipSpace();
      if (closers.back() == '}' && !Key()) return false;
    }
  }
  bool Key() {
    absl::string_view ignored;
    if (!String(ignored) || !Take(':')) return false;
    SkipSpace();
    return true;
  }

  bool Digits() {
    if (!IsDigit(Peek())) return false;
    while (IsDigit(Peek())) ++at_;
    return true;
  }
  bool Number(JsonMember& value) {
    const bool negative = Peek() == '-';
    if (negative) ++at_;
    const bool zero = Peek() == '0';
    uint64_t number = 0;
    bool fits = true;
    const size_t begin = at_;
    for (; IsDigit(Peek()) && !(zero && at_ > begin); ++at_) {
      const auto digit = static_cast<uint64_t>(Peek() - '0');
      fits = fits && !__builtin_mul_overflow(number, uint64_t{10}, &number) &&
             !__builtin_add_overflow(number, digit, &number);
    }
    if (at_ == begin) return false;
    bool whole = true;
    if (Peek() == '.') {
      whole = false;
      ++at_;
      if (!Digits()) return false;
    }
    if (Peek() == 'e' || Peek() == 'E') {
      whole = false;
      ++at_;
      if (Peek() == '+' || Peek() == '-') ++at_;
      if (!Digits()) return false;
    }
    if (whole && negative) {
      value.type = JsonType::kNegative;
    } else if (whole && fits) {
      value.type = JsonType::kNumber;
      value.number = number;
    }
    return true;
  }

  bool String(absl::string_view& value) {
    if (Peek() != '"') return false;
    const size_t begin = ++at_;
    if (!Run()) return false;
    if (Peek() == '"') {
      value = text_.substr(begin, at_ - begin);
      ++at_;
      return true;
    }
    std::string& whole = unescaped_.emplace_back(text_.substr(begin, at_ - begin));
    while (Peek() == '\\') {
      if (!Escape(whole)) return false;
      const size_t run = at_;
      if (!Run()) return false;
      whole.append(text_.data() + run, at_ - run);
    }
    value = whole;
    ++at_;
    return true;
  }
  // Up to the next quote or backslash.
  bool Run() {
    while (at_ < text_.size()) {
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (kPlain[c]) {
        ++at_;
      } else if (c == '"' || c == '\\') {
        return true;
      } else {
        const size_t length = c < 0x80 ? 0 : Utf8Length(text_.substr(at_));
        if (length == 0) return false;
        at_ += length;
      }
    }
    return false;
  }
  bool Escape(std::string& out) {
    constexpr absl::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    ++at_;
    if (Peek() != 'u') {
      const size_t index = at_ < text_.size() ? kNames.find(text_[at_]) : absl::string_view::npos;
      if (index == absl::string_view::npos) return false;
      out.push_back(kMeanings[index]);
      ++at_;
      return true;
    }
    uint32_t code = 0;
    if (!Hex4(code)) return false;
    if (code >= 0xdc00 && code <= 0xdfff) return false;
    if (code >= 0xd800 && code <= 0xdbff) {
      uint32_t low = 0;
      if (!Word("\\") || !Hex4(low) || low < 0xdc00 || low > 0xdfff) return false;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    AppendUtf8(code, out);
    return true;
  }
  bool Hex4(uint32_t& code) {
    if (!Word("u")) return false;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = Peek();
      const char lower = static_cast<char>(c | 0x20);
      if (IsDigit(c)) {
        code = code << 4 | static_cast<uint32_t>(c - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        code = code << 4 | static_cast<uint32_t>(lower - 'a' + 10);
      } else {
        return false;
      }
    }
    return true;
  }

  const absl::string_view text_;
  std::deque<std::string>& unescaped_;
  size_t at_ = 0;
  bool too_deep_ = false;
};

}  // namespace

JsonEnd ReadJsonObject(absl::string_view text, std::deque<std::string>& unescaped,
                       absl::FunctionRef<bool(const JsonMember&)> member) {
  return Reader(text, unescaped).Read(member);
}

}  // namespace lattice::audit
