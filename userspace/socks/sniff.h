// Which protocol a client of the proxy port speaks, by its first byte. Any thread.
#ifndef USERSPACE_SOCKS_SNIFF_H_
#define USERSPACE_SOCKS_SNIFF_H_

#include <cstdint>

namespace lattice::socks {

enum class Protocol : uint8_t { kSocks5, kSocks4, kHttp, kTls, kUnknown };

// Every method of HTTP in use begins with an upper-case letter. What is not kSocks5 or kHttp has a name of its own
// only so that its refusal can say what it was.
constexpr Protocol Sniff(uint8_t first_byte) {
  if (first_byte == 0x05) return Protocol::kSocks5;
  if (first_byte == 0x04) return Protocol::kSocks4;
  if (first_byte >= 'A' && first_byte <= 'Z') return Protocol::kHttp;
  if (first_byte == 0x16) return Protocol::kTls;  // the record of a ClientHello (RFC 8446 5.1)
  return Protocol::kUnknown;
}

}  // namespace lattice::socks

#endif  // USERSPACE_SOCKS_SNIFF_H_
