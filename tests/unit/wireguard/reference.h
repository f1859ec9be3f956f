// WireGuard's handshake once more, written from the paper line by line, slow and plain, and of other parts than
// the engine: BLAKE2s from RFC 7693 by hand, X25519 and ChaCha20-Poly1305 of OpenSSL. Strings hold bytes.
#ifndef TESTS_UNIT_WIREGUARD_REFERENCE_H_
#define TESTS_UNIT_WIREGUARD_REFERENCE_H_

#include <cstdint>
#include <string>

namespace lattice::wireguard::reference {

std::string Blake2s(const std::string& data, size_t out_bytes = 32, const std::string& key = "");
std::string Hmac(const std::string& key, const std::string& data);
// The n-th of the KDF's outputs, from 1.
std::string Kdf(const std::string& key, const std::string& input, int n);
std::string Dh(const std::string& secret, const std::string& point);
std::string Public(const std::string& secret);
std::string Seal(const std::string& key, uint64_t counter, const std::string& plain, const std::string& additional);

struct Inputs {
  std::string initiator_secret, responder_secret, initiator_ephemeral, responder_ephemeral, preshared, timestamp;
  uint32_t initiator_index = 0, responder_index = 0;
};
struct Outputs {
  std::string initiation, response;  // with mac1 and a mac2 of zeros
  std::string initiator_sends, responder_sends;
};
Outputs Handshake(const Inputs& inputs);

}  // namespace lattice::wireguard::reference

#endif  // TESTS_UNIT_WIREGUARD_REFERENCE_H_
