// The head of a request to an HTTP proxy, without I/O: CONNECT, and a request for a whole http:// URI (RFC 9112 3.2).
//
//   HttpRequestHead head(accounts);
//   state = head.Feed(received, &consumed, &answer);   // send `answer`; drop `consumed` bytes of `received`
//   kRequest: dial head.target(). CONNECT: answer ConnectEstablished(). Else: send head.forward() to the target. Then
//             pass bytes both ways as they come; the rest of `received` is the first of them
//   kFailed:  send `answer`, then close, reading what still comes: a reset would take the answer from the client
//
// The promise: however the bytes are cut, the outcome is the same, and no byte behind the head is consumed. What two
// programs could read in two ways is refused, never repaired: so the origin sees the request that was judged. One
// request a connection: the origin is told to close after its answer. Keeps at most kMaxHeadBytes. One thread per
// object.
#ifndef USERSPACE_SOCKS_HTTP_PROXY_H_
#define USERSPACE_SOCKS_HTTP_PROXY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "userspace/socks/accounts.h"
#include "userspace/socks/target.h"

namespace lattice::socks {

inline constexpr size_t kMaxHeadBytes = 64 * 1024;
inline constexpr size_t kMaxHeaderLines = 100;

class HttpRequestHead {
 public:
  enum class State : uint8_t { kMore, kRequest, kFailed };

  // With accounts, a request needs the user and password of one by `Proxy-Authorization: Basic`; without, a user name
  // that is given so is the trace id, whatever the password. `accounts` must outlive this.
  explicit HttpRequestHead(const std::vector<Account>& accounts) : accounts_(accounts) {}

  // Takes from `input` what belongs to the head and says how much in `consumed`; of a kFailed, appends to `answer` the
  // response to send. After kRequest and kFailed it takes nothing more.
  State Feed(absl::Span<const uint8_t> input, size_t* consumed, std::string* answer);

  // Of a kRequest.
  bool is_connect() const { return is_connect_; }
  const Target& target() const { return target_; }
  // The head for the origin; empty for CONNECT.
  const std::string& forward() const { return forward_; }
  // At most 255 bytes of any kind; empty where none was given.
  const std::string& user() const { return user_; }
  // Of a kFailed, for the log: on one line, and never with a password, path or header value.
  const std::string& error() const { return error_; }

 private:
  struct Refusal {
    int status;
    std::string reason;
  };
  using Check = std::optional<Refusal>;  // nothing: it is good
  struct Field {
    std::string name, value;
  };

  Check OnLine();
  Check OnRequestLine(absl::string_view line);
  Check OnUri(absl::string_view uri);
  Check OnField(absl::string_view line);
  Check OnEnd();
  Check CheckUser();
  Check CheckBody();
  Check WriteForward();
  std::vector<absl::string_view> Values(absl::string_view name) const;

  const std::vector<Account>& accounts_;
  State state_ = State::kMore;
  bool is_connect_ = false;
  Target target_;
  std::string method_;  // empty before the first line
  std::string path_;    // with the query
  std::string host_;    // the authority of the URI, for Host
  std::string version_;
  std::vector<Field> fields_;
  std::optional<uint64_t> body_bytes_;
  std::string line_;       // that is being received
  size_t head_bytes_ = 0;  // that were received
  std::string forward_;
  std::string user_;
  std::string error_;
};

// A whole response with `reason` and a line end as its text, after which the connection is to be closed. 407 asks for
// Basic credentials.
std::string ErrorResponse(int status, absl::string_view reason);
// The answer to a CONNECT whose target is reached.
std::string ConnectEstablished();

}  // namespace lattice::socks

#endif  // USERSPACE_SOCKS_HTTP_PROXY_H_
