#include "userspace/wireguard/cookie.h"

#include <cstring>

#include "absl/strings/string_view.h"

namespace lattice::wireguard {
namespace {

constexpr absl::string_view kLabelMac1 = "mac1----";
constexpr absl::string_view kLabelCookie = "cookie--";

Hash Labelled(absl::string_view label, const PublicKey& key) {
  return Blake2s({Bytes(reinterpret_cast<const uint8_t*>(label.data()), label.size()), key.bytes});
}

Bytes BeforeMac1(Bytes message) {
  return message.first(message.size() - sizeof(Macs));
}
Bytes BeforeMac2(Bytes message) {
  return message.first(message.size() - kMacBytes);
}

}  // namespace

MacKeys::MacKeys(const PublicKey& receiver) : mac1(Labelled(kLabelMac1, receiver)) {
  std::memcpy(cookie.data(), Labelled(kLabelCookie, receiver).data(), cookie.size());
}

bool CookieChecker::CheckMac1(Bytes message) const {
  const Mac mac = Blake2sMac(keys_.mac1, {BeforeMac1(message)});
  return SameBytes(mac.data(), message.data() + message.size() - sizeof(Macs), kMacBytes);
}

bool CookieChecker::CheckMac2(Bytes message, const Endpoint& from, int64_t now_ns) {
  const Mac mac = Blake2sMac(CookieOf(from, now_ns), {BeforeMac2(message)});
  return SameBytes(mac.data(), message.data() + message.size() - kMacBytes, kMacBytes);
}

void CookieChecker::Reply(Bytes message, uint32_t sender, const Endpoint& from, int64_t now_ns,
                          CookieReplyMessage* out) {
  out->type.set(static_cast<uint32_t>(MessageType::kCookieReply));
  out->receiver.set(sender);
  random_.Fill(out->nonce);
  const Bytes mac1 = message.subspan(message.size() - sizeof(Macs), kMacBytes);
  XSeal(keys_.cookie, out->nonce, mac1, CookieOf(from, now_ns), out->sealed_cookie);
}

// From the address and port of the sender and a secret of ours: nothing is stored per sender.
Mac CookieChecker::CookieOf(const Endpoint& from, int64_t now_ns) {
  if (!secret_born_ns_.has_value() || now_ns - *secret_born_ns_ >= kCookieLifeNs) {
    random_.Fill(absl::MakeSpan(secret_.data(), secret_.size()));
    secret_born_ns_ = now_ns;
  }
  const uint8_t port[2] = {static_cast<uint8_t>(from.port >> 8), static_cast<uint8_t>(from.port)};
  return Blake2sMac({secret_.data(), secret_.size()}, {from.address.bytes(), port});
}

void CookieJar::AddMacs(absl::Span<uint8_t> message, int64_t now_ns) {
  last_mac1_ = Blake2sMac(keys_.mac1, {BeforeMac1(message)});
  uint8_t* const macs = message.data() + message.size() - sizeof(Macs);
  std::memcpy(macs, last_mac1_->data(), kMacBytes);
  Mac mac2{};
  if (cookie_born_ns_.has_value() && now_ns - *cookie_born_ns_ < kCookieLifeNs) {
    mac2 = Blake2sMac(cookie_, {BeforeMac2(message)});
  }
  std::memcpy(macs + kMacBytes, mac2.data(), kMacBytes);
}

bool CookieJar::Accept(const CookieReplyMessage& reply, int64_t now_ns) {
  if (!last_mac1_.has_value()) return false;
  Mac cookie;
  if (!XOpen(keys_.cookie, reply.nonce, *last_mac1_, reply.sealed_cookie, cookie.data())) return false;
  cookie_ = cookie;
  cookie_born_ns_ = now_ns;
  last_mac1_.reset();
  return true;
}

}  // namespace lattice::wireguard
