#include "userspace/wireguard/results.h"

namespace lattice::wireguard {

absl::string_view Name(SealResult result) {
  switch (result) {
    case SealResult::kSealed:
      return "sealed";
    case SealResult::kStaged:
      return "staged";
    case SealResult::kBatchFull:
      return "batch_full";
    case SealResult::kNoRoute:
      return "no_route";
    case SealResult::kNoEndpoint:
      return "no_endpoint";
    case SealResult::kNotIp:
      return "not_ip";
    case SealResult::kTooLong:
      return "too_long";
  }
  return "";
}

absl::string_view Name(ReceiveResult result) {
  switch (result) {
    case ReceiveResult::kDelivered:
      return "delivered";
    case ReceiveResult::kKeepalive:
      return "keepalive";
    case ReceiveResult::kInitiation:
      return "initiation";
    case ReceiveResult::kResponse:
      return "response";
    case ReceiveResult::kCookieReply:
      return "cookie_reply";
    case ReceiveResult::kCookieSent:
      return "cookie_sent";
    case ReceiveResult::kMalformed:
      return "malformed";
    case ReceiveResult::kBadMac1:
      return "bad_mac1";
    case ReceiveResult::kRateLimited:
      return "rate_limited";
    case ReceiveResult::kForged:
      return "forged";
    case ReceiveResult::kUnknownPeer:
      return "unknown_peer";
    case ReceiveResult::kUnknownIndex:
      return "unknown_index";
    case ReceiveResult::kOldInitiation:
      return "old_initiation";
    case ReceiveResult::kFlood:
      return "flood";
    case ReceiveResult::kExpiredKey:
      return "expired_key";
    case ReceiveResult::kReplayed:
      return "replayed";
    case ReceiveResult::kNotIp:
      return "not_ip";
    case ReceiveResult::kWrongSource:
      return "wrong_source";
  }
  return "";
}

}  // namespace lattice::wireguard
