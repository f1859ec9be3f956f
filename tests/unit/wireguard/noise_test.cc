#include "userspace/wireguard/noise.h"

#include <algorithm>
#include <string>

#include "gtest/gtest.h"
#include "tests/unit/wireguard/hex.h"
#include "tests/unit/wireguard/reference.h"
#include "userspace/wireguard/cookie.h"

namespace lattice::wireguard {
namespace {

std::string Filled(uint8_t first) {
  std::string bytes(32, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(first + 3 * i);
  return bytes;
}

template <typename Key>
Key KeyOf(const std::string& bytes) {
  return KeyFromHex<Key>(ToHex(AsBytes(bytes)));
}

// Both ends of one handshake by the engine.
class NoiseTest : public ::testing::Test {
 protected:
  NoiseTest()
      : initiator_static_(KeyOf<PrivateKey>(inputs_.initiator_secret)),
        responder_static_(KeyOf<PrivateKey>(inputs_.responder_secret)),
        responder_keys_(*PeerKeys::Make(initiator_static_, responder_static_.point, Preshared())),
        initiator_keys_(*PeerKeys::Make(responder_static_, initiator_static_.point, Preshared())) {
    std::copy(inputs_.timestamp.begin(), inputs_.timestamp.end(), timestamp_.bytes.begin());
  }

  PresharedKey Preshared() const { return KeyOf<PresharedKey>(inputs_.preshared); }
  InitiationMessage Start() {
    InitiationMessage message;
    initiator_.Start(initiator_static_, responder_keys_, KeyOf<PrivateKey>(inputs_.initiator_ephemeral),
                     inputs_.initiator_index, timestamp_, &message);
    return message;
  }
  // The response to a good initiation.
  SessionKeys Respond(const InitiationMessage& initiation, ResponseMessage* response) {
    Responder responder;
    Tai64n timestamp;
    EXPECT_TRUE(responder.ReadStatic(responder_static_, initiation));
    EXPECT_EQ(responder.remote(), initiator_static_.point);
    EXPECT_TRUE(responder.ReadTimestamp(initiator_keys_, initiation, &timestamp));
    EXPECT_EQ(timestamp, timestamp_);
    return *responder.Respond(initiator_keys_, KeyOf<PrivateKey>(inputs_.responder_ephemeral), inputs_.responder_index,
                              response);
  }

  reference::Inputs inputs_{.initiator_secret = Filled(1),
                            .responder_secret = Filled(50),
                            .initiator_ephemeral = Filled(100),
                            .responder_ephemeral = Filled(150),
                            .preshared = Filled(200),
                            .timestamp = "\x40" + std::string("0123456789a"),
                            .initiator_index = 0x01020304,
                            .responder_index = 0xa5a6a7a8};
  StaticKeys initiator_static_, responder_static_;
  PeerKeys responder_keys_, initiator_keys_;
  Tai64n timestamp_;
  Initiator initiator_;
};

TEST_F(NoiseTest, EveryByteIsTheReferences) {
  const reference::Outputs want = reference::Handshake(inputs_);
  InitiationMessage initiation = Start();
  CookieJar(responder_static_.point).AddMacs(MutableBytesOf(initiation), 0);
  EXPECT_EQ(ToHex(BytesOf(initiation)), ToHex(AsBytes(want.initiation)));

  ResponseMessage response;
  const SessionKeys responder_session = Respond(initiation, &response);
  CookieJar(initiator_static_.point).AddMacs(MutableBytesOf(response), 0);
  EXPECT_EQ(ToHex(BytesOf(response)), ToHex(AsBytes(want.response)));

  const auto session = initiator_.Finish(initiator_static_, responder_keys_, response);
  ASSERT_TRUE(session.has_value());
  EXPECT_FALSE(initiator_.waiting());
  EXPECT_TRUE(session->initiator);
  EXPECT_EQ(session->local_index, 0x01020304u);
  EXPECT_EQ(session->remote_index, 0xa5a6a7a8u);
  EXPECT_EQ(ToHex({session->send.data(), 32}), ToHex(AsBytes(want.initiator_sends)));
  EXPECT_EQ(ToHex({session->receive.data(), 32}), ToHex(AsBytes(want.responder_sends)));
  EXPECT_FALSE(responder_session.initiator);
  EXPECT_EQ(responder_session.local_index, 0xa5a6a7a8u);
  EXPECT_EQ(responder_session.remote_index, 0x01020304u);
  EXPECT_TRUE(responder_session.send == session->receive);
  EXPECT_TRUE(responder_session.receive == session->send);
}

TEST_F(NoiseTest, AnyChangedBitOfAnInitiationIsRefused) {
  const InitiationMessage good = Start();
  // From the ephemeral key to the time stamp; what is before and after is not the handshake's to guard.
  for (size_t at = 8; at < sizeof good - sizeof(Macs); ++at) {
    InitiationMessage bad = good;
    MutableBytesOf(bad)[at] ^= 1;
    Responder responder;
    Tai64n timestamp;
    const bool read = responder.ReadStatic(responder_static_, bad) && responder.remote() == initiator_static_.point &&
                      responder.ReadTimestamp(initiator_keys_, bad, &timestamp);
    EXPECT_FALSE(read) << "byte " << at;
  }
}

TEST_F(NoiseTest, AnInitiationForAnotherIsNotRead) {
  const InitiationMessage message = Start();
  EXPECT_FALSE(Responder().ReadStatic(StaticKeys(KeyOf<PrivateKey>(Filled(77))), message));
}

TEST_F(NoiseTest, AForgedResponseLeavesTheHandshakeToTheTrueOne) {
  const InitiationMessage initiation = Start();
  ResponseMessage good;
  Respond(initiation, &good);
  for (size_t at = 8; at < sizeof good - sizeof(Macs); ++at) {
    ResponseMessage bad = good;
    MutableBytesOf(bad)[at] ^= 1;
    EXPECT_FALSE(initiator_.Finish(initiator_static_, responder_keys_, bad).has_value()) << "byte " << at;
    EXPECT_TRUE(initiator_.waiting());
  }
  EXPECT_TRUE(initiator_.Finish(initiator_static_, responder_keys_, good).has_value());
  // Once.
  EXPECT_FALSE(initiator_.Finish(initiator_static_, responder_keys_, good).has_value());
}

TEST_F(NoiseTest, AnotherPresharedKeyDoesNotFinish) {
  const InitiationMessage initiation = Start();
  ResponseMessage response;
  Respond(initiation, &response);
  PeerKeys other = responder_keys_;
  other.preshared.data()[5] ^= 1;
  EXPECT_FALSE(initiator_.Finish(initiator_static_, other, response).has_value());
}

TEST_F(NoiseTest, PointsOfSmallOrderEndTheHandshake) {
  EXPECT_FALSE(PeerKeys::Make(initiator_static_, PublicKey{}, {}).has_value());
  InitiationMessage initiation = Start();
  std::fill(std::begin(initiation.ephemeral), std::end(initiation.ephemeral), 0);
  EXPECT_FALSE(Responder().ReadStatic(responder_static_, initiation));
  initiation = Start();
  ResponseMessage response;
  Respond(initiation, &response);
  std::fill(std::begin(response.ephemeral), std::end(response.ephemeral), 0);
  EXPECT_FALSE(initiator_.Finish(initiator_static_, responder_keys_, response).has_value());
}

TEST(Tai64nOrder, IsThatOfTime) {
  const absl::Time time = absl::FromUnixSeconds(1'770'000'000) + absl::Nanoseconds(123'456'789);
  EXPECT_EQ(ToHex(Tai64n::From(absl::UnixEpoch()).bytes), "400000000000000a00000000");
  EXPECT_EQ(ToHex(Tai64n::From(time).bytes), "4000000069800e8a07000000");
  EXPECT_EQ(Tai64n::From(time), Tai64n::From(time + absl::Milliseconds(1)));
  EXPECT_LT(Tai64n::From(time), Tai64n::From(time + absl::Milliseconds(17)));
  EXPECT_LT(Tai64n::From(time), Tai64n::From(time + absl::Seconds(1)));
  EXPECT_LT(Tai64n{}, Tai64n::From(time));
  Tai64n label = Tai64n::From(time);
  for (int i = 0; i < 200; ++i) {  // over the end of a second
    ASSERT_LT(label, label.Next());
    label = label.Next();
  }
  EXPECT_LT(label, Tai64n::From(time + absl::Seconds(5)));
}

}  // namespace
}  // namespace lattice::wireguard
