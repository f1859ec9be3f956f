#include "userspace/wireguard/messages.h"

namespace lattice::wireguard {

bool ClassifyMessage(absl::Span<const uint8_t> datagram, MessageType* type) {
  if (datagram.size() < sizeof(Le32)) return false;
  *type = static_cast<MessageType>(MessageIn<Le32>(datagram).get());
  switch (*type) {
    case MessageType::kInitiation:
      return datagram.size() == sizeof(InitiationMessage);
    case MessageType::kResponse:
      return datagram.size() == sizeof(ResponseMessage);
    case MessageType::kCookieReply:
      return datagram.size() == sizeof(CookieReplyMessage);
    case MessageType::kData:
      return datagram.size() >= kDataOverhead;
  }
  return false;
}

}  // namespace lattice::wireguard
