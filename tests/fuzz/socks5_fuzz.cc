// The server's side of SOCKS5, and its datagrams: any bytes are refused, too few, or a request whose target prints and
// reads back as itself; cut in two anywhere they are the same, and no byte behind the handshake is consumed.
//
// The first byte says where to cut, and by its lowest bit whether there are accounts.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "glog/logging.h"
#include "userspace/socks/socks5.h"

using lattice::socks::Account;
using lattice::socks::Command;
using lattice::socks::ParseHostPort;
using lattice::socks::ParseUdp;
using lattice::socks::ServerHandshake;
using lattice::socks::Target;

namespace {

// Zero is a port only of an association.
void CheckTarget(const Target& target) {
  CHECK_NE(target.address.has_value(), !target.name.empty());
  if (target.port != 0) CHECK(ParseHostPort(target.ToString(), 0).value() == target) << target.ToString();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::vector<Account> accounts = {{.user = "agent", .password = "secret"}};
  const std::vector<Account> nobody;
  const auto& accepted = data[0] % 2 == 0 ? nobody : accounts;
  const absl::Span<const uint8_t> input(data + 1, size - 1);
  const size_t cut = std::min<size_t>(data[0] / 2, input.size());

  ServerHandshake whole(accepted);
  std::string answer;
  size_t consumed = 0;
  const auto state = whole.Feed(input, &consumed, &answer);
  CHECK_LE(consumed, input.size());
  CHECK(state != ServerHandshake::State::kMore || consumed == input.size());
  CHECK_EQ(state == ServerHandshake::State::kFailed, !whole.error().empty());

  ServerHandshake pieces(accepted);
  std::string same_answer;
  size_t first = 0, second = 0;
  auto same_state = pieces.Feed(input.first(cut), &first, &same_answer);
  if (same_state == ServerHandshake::State::kMore)
    same_state = pieces.Feed(input.subspan(first), &second, &same_answer);
  CHECK(same_state == state);
  CHECK_EQ(first + second, consumed);
  CHECK(same_answer == answer);
  CHECK_EQ(pieces.error(), whole.error());

  if (state == ServerHandshake::State::kRequest) {
    CHECK(whole.command() != Command::kBind);
    CHECK(whole.command() != Command::kConnect || whole.target().port != 0);
    CHECK(accepted.empty() || whole.user() == "agent");
    CHECK(pieces.target() == whole.target());
    CheckTarget(whole.target());
  }

  const auto datagram = ParseUdp(input);
  if (datagram.has_value()) {
    CHECK_NE(datagram->target.port, 0);
    CheckTarget(datagram->target);
    CHECK_EQ(datagram->payload.data() + datagram->payload.size(), data + size);
  }
  return 0;
}
