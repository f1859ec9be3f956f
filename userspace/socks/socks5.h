// SOCKS5 without I/O: the server's side of RFC 1928 with the passwords of RFC 1929.
//
//   ServerHandshake handshake(accounts);
//   state = handshake.Feed(received, &consumed, &answer);   // send `answer`; drop `consumed` bytes of `received`
//   kRequest: dial handshake.target(), then send EncodeReply(); the rest of `received` is the client's first data
//   kFailed:  send `answer`, then close, reading what still comes: a reset would take the answer from the client
//
// The promise: however the bytes are cut, the outcome is the same, and no byte behind the handshake is consumed. It
// keeps at most 513 bytes of input, the longest message (RFC 1929). One thread per object.
#ifndef USERSPACE_SOCKS_SOCKS5_H_
#define USERSPACE_SOCKS_SOCKS5_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "userspace/base/endpoint.h"
#include "userspace/socks/accounts.h"
#include "userspace/socks/target.h"

namespace lattice::socks {

enum class Reply : uint8_t {
  kSucceeded = 0,
  kGeneralFailure = 1,
  kNotAllowed = 2,
  kNetworkUnreachable = 3,
  kHostUnreachable = 4,
  kConnectionRefused = 5,
  kTtlExpired = 6,
  kCommandNotSupported = 7,
  kAddressTypeNotSupported = 8,
};

enum class Command : uint8_t { kConnect = 1, kBind = 2, kUdpAssociate = 3 };

// What is asked of the client:
//   accounts  the client offers        chosen
//   none      "no authentication"      that
//   none      only user and password   that; any password is right, and the user name is the trace id
//   some      user and password        that; the pair must be one of the accounts
//   else                               0xFF, the end
class ServerHandshake {
 public:
  enum class State : uint8_t { kMore, kRequest, kFailed };

  // `accounts` must outlive this.
  explicit ServerHandshake(const std::vector<Account>& accounts) : accounts_(accounts) {}

  // Takes from `input` what belongs to the handshake and says how much in `consumed`; appends to `answer` what to send
  // now. After kRequest and kFailed it takes nothing more.
  State Feed(absl::Span<const uint8_t> input, size_t* consumed, std::string* answer);

  // Of a kRequest. kConnect, with a port, or kUdpAssociate, where all zero means "not known yet". kBind is refused.
  Command command() const { return command_; }
  const Target& target() const { return target_; }
  // 1 to 255 bytes of any kind; empty where none was asked for.
  const std::string& user() const { return user_; }
  // Of a kFailed, for the log: on one line, and never with a password.
  const std::string& error() const { return error_; }

 private:
  enum class Stage : uint8_t { kGreeting, kPassword, kRequest };

  absl::Span<const uint8_t> buffered() const { return {buffer_.data(), size_}; }
  size_t Wanted() const;
  void OnGreeting(std::string* answer);
  void OnPassword(std::string* answer);
  void OnRequest(std::string* answer);
  void Enter(Stage stage);
  void Fail(absl::string_view error);

  const std::vector<Account>& accounts_;
  State state_ = State::kMore;
  Stage stage_ = Stage::kGreeting;
  Command command_ = Command::kConnect;
  Target target_;
  std::string user_;
  std::string error_;
  size_t size_ = 0;  // of the message that is being received
  std::array<uint8_t, 3 + 2 * kMaxCredentialBytes> buffer_{};
};

// The reply to a request. `bound` is our end of the connection or, to kUdpAssociate, where to send datagrams.
std::string EncodeReply(Reply reply, const Endpoint& bound);
// The same where there is no such end: 0.0.0.0:0.
std::string EncodeReply(Reply reply);

// A datagram of a UDP association (RFC 1928 7).
struct UdpDatagram {
  Target target;                      // with a port
  absl::Span<const uint8_t> payload;  // points into what was parsed
};
// Nothing for what is cut short, for a fragment (FRAG not 0: to be dropped where fragments are not put together), a
// target that is none and port 0.
std::optional<UdpDatagram> ParseUdp(absl::Span<const uint8_t> datagram);
// What goes before the payload of a datagram that came from `from`.
std::string EncodeUdpHeader(const Endpoint& from);

}  // namespace lattice::socks

#endif  // USERSPACE_SOCKS_SOCKS5_H_
