// The four messages on the wire (paper 5.4), as structs of bytes: little-endian numbers behind functions, no
// alignment, so that any buffer may be read as one. Any thread.
#ifndef USERSPACE_WIREGUARD_MESSAGES_H_
#define USERSPACE_WIREGUARD_MESSAGES_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "userspace/wireguard/crypto.h"

namespace lattice::wireguard {

struct Le32 {
  uint8_t bytes[4];
  uint32_t get() const {
    return uint32_t{bytes[0]} | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
  }
  void set(uint32_t value) {
    for (int i = 0; i < 4; ++i) bytes[i] = static_cast<uint8_t>(value >> 8 * i);
  }
};

struct Le64 {
  uint8_t bytes[8];
  uint64_t get() const {
    uint64_t value = 0;
    for (int i = 7; i >= 0; --i) value = value << 8 | bytes[i];
    return value;
  }
  void set(uint64_t value) {
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(value >> 8 * i);
  }
};

// The first four bytes as a number: a type and three reserved bytes, which are zero.
enum class MessageType : uint32_t { kInitiation = 1, kResponse = 2, kCookieReply = 3, kData = 4 };

inline constexpr size_t kTimestampBytes = 12;  // TAI64N
inline constexpr size_t kCookieBytes = 16;

// Ends the messages that a cookie can be asked for. mac1 is over all before it, mac2 over mac1 as well.
struct Macs {
  uint8_t mac1[kMacBytes];
  uint8_t mac2[kMacBytes];
};

struct InitiationMessage {
  Le32 type;
  Le32 sender;
  uint8_t ephemeral[kKeyBytes];
  uint8_t sealed_static[kKeyBytes + kTagBytes];
  uint8_t sealed_timestamp[kTimestampBytes + kTagBytes];
  Macs macs;
};
static_assert(sizeof(InitiationMessage) == 148 && alignof(InitiationMessage) == 1);

struct ResponseMessage {
  Le32 type;
  Le32 sender;
  Le32 receiver;
  uint8_t ephemeral[kKeyBytes];
  uint8_t sealed_nothing[kTagBytes];
  Macs macs;
};
static_assert(sizeof(ResponseMessage) == 92 && alignof(ResponseMessage) == 1);

struct CookieReplyMessage {
  Le32 type;
  Le32 receiver;
  uint8_t nonce[kXNonceBytes];
  uint8_t sealed_cookie[kCookieBytes + kTagBytes];
};
static_assert(sizeof(CookieReplyMessage) == 64 && alignof(CookieReplyMessage) == 1);

// Before the sealed packet of a data message.
struct DataHeader {
  Le32 type;
  Le32 receiver;
  Le64 counter;
};
static_assert(sizeof(DataHeader) == 16 && alignof(DataHeader) == 1);

inline constexpr size_t kDataOverhead = sizeof(DataHeader) + kTagBytes;

// What `datagram` is by its first four bytes and its length, which must be exact (data: at least 32 bytes).
// False for what is none of the four.
bool ClassifyMessage(absl::Span<const uint8_t> datagram, MessageType* type);

// A datagram of that size as the message.
template <typename Message>
const Message& MessageIn(absl::Span<const uint8_t> datagram) {
  return *reinterpret_cast<const Message*>(datagram.data());
}
template <typename Message>
absl::Span<const uint8_t> BytesOf(const Message& message) {
  return {reinterpret_cast<const uint8_t*>(&message), sizeof message};
}
template <typename Message>
absl::Span<uint8_t> MutableBytesOf(Message& message) {
  return {reinterpret_cast<uint8_t*>(&message), sizeof message};
}

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_MESSAGES_H_
