// Datagrams on their way in. The order in each handler is what keeps a stranger's cost low and our state safe:
// what is cheap to check comes first, and nothing of a peer changes before its message has proved to be authentic.
#include <algorithm>

#include "glog/logging.h"
#include "userspace/wireguard/device.h"

namespace lattice::wireguard {
namespace {

// The source of an IP packet and the length its header says. False for what is no packet, or longer than what is there.
bool ReadPacket(Bytes data, IpAddress* source, size_t* bytes) {
  if (data.size() >= 20 && data[0] >> 4 == 4) {
    *bytes = size_t{data[2]} << 8 | data[3];
    *source = IpAddress::FromV4({data[12], data[13], data[14], data[15]});
    return *bytes >= 20 && *bytes <= data.size();
  }
  if (data.size() >= 40 && data[0] >> 4 == 6) {
    *bytes = 40 + (size_t{data[4]} << 8 | data[5]);
    *source = IpAddress::FromBytes(data.data() + 8);
    // ::ffff:a.b.c.d is never on a wire, and would pass for the IPv4 address.
    return *bytes <= data.size() && !source->is_v4();
  }
  return false;
}

}  // namespace

void Device::Receive(const Endpoint& from, absl::Span<uint8_t> buffer, size_t segment_bytes, int64_t now_ns) {
  do {
    const size_t bytes = segment_bytes == 0 ? buffer.size() : std::min(segment_bytes, buffer.size());
    ReceiveOne(from, buffer.first(bytes), now_ns);
    buffer.remove_prefix(bytes);
  } while (!buffer.empty());
}

ReceiveResult Device::ReceiveOne(const Endpoint& from, absl::Span<uint8_t> datagram, int64_t now_ns) {
  ReceiveResult result = ReceiveResult::kMalformed;
  MessageType type;
  if (ClassifyMessage(datagram, &type)) {
    switch (type) {
      case MessageType::kInitiation:
        result = ReceiveInitiation(from, datagram, now_ns);
        break;
      case MessageType::kResponse:
        result = ReceiveResponse(from, datagram, now_ns);
        break;
      case MessageType::kCookieReply:
        result = ReceiveCookieReply(datagram, now_ns);
        break;
      case MessageType::kData:
        result = ReceiveData(from, datagram, now_ns);
        break;
    }
  }
  ++counters_.received[static_cast<size_t>(result)];
  return result;
}

// Why a handshake message is not worth its X25519, or nothing.
std::optional<ReceiveResult> Device::RefuseHandshake(Bytes message, uint32_t sender, const Endpoint& from,
                                                     int64_t now_ns) {
  if (!checker_.CheckMac1(message)) return ReceiveResult::kBadMac1;
  if (!load_.Count(now_ns)) return std::nullopt;
  if (!checker_.CheckMac2(message, from, now_ns)) {
    CookieReplyMessage reply;
    checker_.Reply(message, sender, from, now_ns, &reply);
    output_.Send(from, BytesOf(reply));
    return ReceiveResult::kCookieSent;
  }
  if (!limiter_.Admit(from.address, now_ns)) return ReceiveResult::kRateLimited;
  return std::nullopt;
}

ReceiveResult Device::ReceiveInitiation(const Endpoint& from, Bytes datagram, int64_t now_ns) {
  const auto& message = MessageIn<InitiationMessage>(datagram);
  if (const auto refused = RefuseHandshake(datagram, message.sender.get(), from, now_ns)) return *refused;
  Responder responder;
  if (!responder.ReadStatic(local_, message)) return ReceiveResult::kForged;
  Peer* const peer = FindPeer(responder.remote());
  if (peer == nullptr) return ReceiveResult::kUnknownPeer;
  Tai64n timestamp;
  if (!responder.ReadTimestamp(peer->keys, message, &timestamp)) return ReceiveResult::kForged;
  if (timestamp <= peer->newest_seen) return ReceiveResult::kOldInitiation;
  if (peer->initiation_seen_ns.has_value() && now_ns - *peer->initiation_seen_ns < kInitiationGapNs) {
    return ReceiveResult::kFlood;
  }
  PrivateKey ephemeral;
  random_.Fill(absl::MakeSpan(ephemeral.data(), ephemeral.size()));
  ResponseMessage response;
  const uint32_t index = indices_.Add(peer->slot);
  const auto keys = responder.Respond(peer->keys, ephemeral, index, &response);
  if (!keys.has_value()) {
    indices_.Remove(index);
    return ReceiveResult::kForged;
  }
  peer->newest_seen = timestamp;
  peer->initiation_seen_ns = now_ns;
  ReceivedFrom(*peer, from, datagram.size(), now_ns);
  StartSession(*peer, *keys, now_ns);
  peer->jar.AddMacs(MutableBytesOf(response), now_ns);
  peer->tx_bytes += sizeof response;
  SentAuthentic(*peer, now_ns);
  output_.Send(*peer->endpoint, BytesOf(response));
  VLOG(1) << "handshake of " << peer->keys.remote.ToString() << " at " << from.ToString() << " answered";
  return ReceiveResult::kInitiation;
}

ReceiveResult Device::ReceiveResponse(const Endpoint& from, Bytes datagram, int64_t now_ns) {
  const auto& message = MessageIn<ResponseMessage>(datagram);
  if (const auto refused = RefuseHandshake(datagram, message.sender.get(), from, now_ns)) return *refused;
  const IndexTable::Entry entry = indices_.Find(message.receiver.get());
  if (entry.peer == kNoPeer || entry.keypair != nullptr) return ReceiveResult::kUnknownIndex;
  Peer& peer = *peers_[entry.peer];
  const auto keys = peer.initiator.Finish(local_, peer.keys, message);
  if (!keys.has_value()) return ReceiveResult::kForged;
  ReceivedFrom(peer, from, datagram.size(), now_ns);
  StartSession(peer, *keys, now_ns);
  HandshakeComplete(peer);
  VLOG(1) << "session with " << peer.keys.remote.ToString() << " at " << from.ToString();
  // The responder does not send before it has heard from us under the new keys.
  if (peer.staged.empty()) {
    SendKeepalive(peer, now_ns);
  } else {
    FlushStaged(peer, now_ns);
  }
  return ReceiveResult::kResponse;
}

ReceiveResult Device::ReceiveCookieReply(Bytes datagram, int64_t now_ns) {
  const auto& message = MessageIn<CookieReplyMessage>(datagram);
  const IndexTable::Entry entry = indices_.Find(message.receiver.get());
  if (entry.peer == kNoPeer) return ReceiveResult::kUnknownIndex;
  // The next initiation, after REKEY_TIMEOUT, has it; an answer at once would add to the load.
  return peers_[entry.peer]->jar.Accept(message, now_ns) ? ReceiveResult::kCookieReply : ReceiveResult::kForged;
}

ReceiveResult Device::ReceiveData(const Endpoint& from, absl::Span<uint8_t> datagram, int64_t now_ns) {
  const auto& header = MessageIn<DataHeader>(datagram);
  const IndexTable::Entry entry = indices_.Find(header.receiver.get());
  if (entry.keypair == nullptr) return ReceiveResult::kUnknownIndex;
  Keypair& keypair = *entry.keypair;
  const uint64_t counter = header.counter.get();
  if (now_ns - keypair.born_ns >= kRejectAfterNs || counter >= kRejectAfterMessages) return ReceiveResult::kExpiredKey;
  if (!keypair.receiving.Open(counter, datagram.subspan(sizeof(DataHeader)))) return ReceiveResult::kForged;
  if (!keypair.window.Accept(counter)) return ReceiveResult::kReplayed;

  Peer& peer = *peers_[entry.peer];
  ReceivedFrom(peer, from, datagram.size(), now_ns);
  if (&keypair == peer.next.get()) {
    ConfirmSession(peer, now_ns);
  } else if (&keypair == peer.previous.get() && peer.current != nullptr) {
    SettleTwins(peer);
  }
  // The initiator of a session that will soon be refused renews it also when it only receives.
  const bool old = keypair.initiator && now_ns - keypair.born_ns >= kRejectAfterNs - kKeepaliveNs - kRekeyTimeoutNs;
  if (old && &keypair == peer.current.get() && !peer.sent_last_minute_handshake) {
    peer.sent_last_minute_handshake = true;
    BeginHandshake(peer, now_ns);
  }
  const absl::Span<uint8_t> packet = datagram.subspan(sizeof(DataHeader), datagram.size() - kDataOverhead);
  if (packet.empty()) return ReceiveResult::kKeepalive;
  if (peer.timers.armed(Timer::kSendKeepalive)) {
    peer.another_keepalive = true;
  } else {
    Arm(peer, Timer::kSendKeepalive, now_ns + kKeepaliveNs);
  }
  return DeliverPacket(peer, packet);
}

ReceiveResult Device::DeliverPacket(Peer& peer, absl::Span<uint8_t> packet) {
  IpAddress source;
  size_t bytes;
  if (!ReadPacket(packet, &source, &bytes)) return ReceiveResult::kNotIp;
  if (allowed_ips_.Find(source) != peer.slot) return ReceiveResult::kWrongSource;
  output_.Deliver(peer.keys.remote, packet.first(bytes));
  return ReceiveResult::kDelivered;
}

// An authentic message: the peer is where it came from.
void Device::ReceivedFrom(Peer& peer, const Endpoint& from, size_t bytes, int64_t now_ns) {
  peer.endpoint = from;
  peer.rx_bytes += bytes;
  peer.timers.Cancel(Timer::kNewHandshake);
  if (peer.persistent_keepalive_ns != 0) {
    Arm(peer, Timer::kPersistentKeepalive, now_ns + peer.persistent_keepalive_ns);
  }
}

}  // namespace lattice::wireguard
