#include "userspace/audit/json_text.h"

#include "absl/time/civil_time.h"

namespace lattice::audit {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";
constexpr absl::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

bool IsPlain(unsigned char c) {
  return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

char* PutEscapedAscii(char* out, unsigned char c) {
  *out++ = '\\';
  switch (c) {
    case '"':
    case '\\':
      *out++ = static_cast<char>(c);
      return out;
    case '\n':
      *out++ = 'n';
      return out;
    case '\r':
      *out++ = 'r';
      return out;
    case '\t':
      *out++ = 't';
      return out;
    default:
      out = PutText(out, "u00");
      *out++ = kHexDigits[c >> 4];
      *out++ = kHexDigits[c & 15];
      return out;
  }
}

char* Put2(char* out, unsigned value) {
  out[0] = static_cast<char>('0' + value / 10);
  out[1] = static_cast<char>('0' + value % 10);
  return out + 2;
}

// First and past-the-last group of the longest run of zero groups, at least two long; equal
// if there is none (RFC 5952 4.2).
void LongestZeroRun(const uint16_t groups[8], int* begin, int* end) {
  *begin = *end = 0;
  for (int i = 0; i < 8;) {
    int j = i;
    while (j < 8 && groups[j] == 0) ++j;
    if (j - i >= 2 && j - i > *end - *begin) {
      *begin = i;
      *end = j;
    }
    i = j + 1;
  }
}

}  // namespace

size_t Utf8Length(absl::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto continues = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned lead = byte(0);
  const unsigned second = byte(1);
  if (!continues(1)) return 0;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) {
    if (lead == 0xe0 && second < 0xa0) return 0;  // overlong
    if (lead == 0xed && second > 0x9f) return 0;  // surrogates
    return continues(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    if (lead == 0xf0 && second < 0x90) return 0;  // overlong
    if (lead == 0xf4 && second > 0x8f) return 0;  // above U+10FFFF
    return continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

char* PutHex8(char* out, uint32_t value) {
  for (int shift = 28; shift >= 0; shift -= 4) *out++ = kHexDigits[value >> shift & 15];
  return out;
}

char* PutEscaped(char* out, absl::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (IsPlain(c)) {
      *out++ = static_cast<char>(c);
      ++i;
    } else if (c < 0x80) {
      out = PutEscapedAscii(out, c);
      ++i;
    } else if (const size_t length = Utf8Length(text.substr(i)); length > 0) {
      out = PutText(out, text.substr(i, length));
      i += length;
    } else {
      out = PutText(out, kReplacement);
      ++i;
    }
  }
  return out;
}

char* PutIp(char* out, const IpAddress& address) {
  const auto& bytes = address.bytes();
  if (address.is_v4()) {
    for (int i = 12; i < 16; ++i) {
      out = PutNumber(out, static_cast<unsigned>(bytes[i]));
      if (i < 15) *out++ = '.';
    }
    return out;
  }
  uint16_t groups[8];
  for (int i = 0; i < 8; ++i) groups[i] = static_cast<uint16_t>(bytes[2 * i] << 8 | bytes[2 * i + 1]);
  int zero_begin, zero_end;
  LongestZeroRun(groups, &zero_begin, &zero_end);
  for (int i = 0; i < 8;) {
    if (i == zero_begin && zero_end > zero_begin) {
      out = PutText(out, "::");
      i = zero_end;
      continue;
    }
    if (i > 0 && i != zero_end) *out++ = ':';
    out = PutHex(out, static_cast<unsigned>(groups[i]));
    ++i;
  }
  return out;
}

void PutSecond(char out[19], int64_t unix_seconds) {
  const absl::CivilSecond civil = absl::CivilSecond(1970, 1, 1, 0, 0, 0) + unix_seconds;
  const auto year = static_cast<unsigned>(civil.year());
  char* end = Put2(Put2(out, year / 100), year % 100);
  *end++ = '-';
  end = Put2(end, static_cast<unsigned>(civil.month()));
  *end++ = '-';
  end = Put2(end, static_cast<unsigned>(civil.day()));
  *end++ = 'T';
  end = Put2(end, static_cast<unsigned>(civil.hour()));
  *end++ = ':';
  end = Put2(end, static_cast<unsigned>(civil.minute()));
  *end++ = ':';
  Put2(end, static_cast<unsigned>(civil.second()));
}

char* PutNanosZ(char* out, uint32_t nanos) {
  out[0] = '.';
  for (int i = 9; i >= 1; --i, nanos /= 10) out[i] = static_cast<char>('0' + nanos % 10);
  out[10] = 'Z';
  return out + 11;
}

}  // namespace lattice::audit
