// Theory of operation: a handshake is a greeting, perhaps user and password, and a request. Of the message on its way
// the buffer holds just as many bytes as Wanted() asked for, and the message's handler is called whenever that many
// are there. It finds the message bad, or whole, or lets it grow up to what Wanted() now says. So each check happens at
// the same byte however the input is cut, and nothing behind the message is taken.
#include "userspace/socks/socks5.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lattice::socks {
namespace {

constexpr uint8_t kVersion = 5;
constexpr uint8_t kPasswordVersion = 1;  // of RFC 1929's messages

constexpr uint8_t kNoAuthentication = 0x00;
constexpr uint8_t kUserPassword = 0x02;
constexpr uint8_t kNoAcceptableMethod = 0xff;

constexpr uint8_t kPasswordGood = 0x00;
constexpr uint8_t kPasswordBad = 0x01;

constexpr uint8_t kIpv4 = 0x01;
constexpr uint8_t kName = 0x03;
constexpr uint8_t kIpv6 = 0x04;
constexpr size_t kIpv4Bytes = 4;
constexpr size_t kIpv6Bytes = 16;
constexpr size_t kPortBytes = 2;

constexpr size_t kBeforeAddress = 3;  // VER CMD RSV of a request, RSV RSV FRAG of a datagram

std::string Bytes(uint8_t first, uint8_t second) {
  return {static_cast<char>(first), static_cast<char>(second)};
}

absl::string_view Text(absl::Span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The size of type, address and port at the front of `at`, which is not empty. Of a name whose length is not there:
// up to the length. 0 for an unknown type.
size_t AddressBytes(absl::Span<const uint8_t> at) {
  switch (at[0]) {
    case kIpv4:
      return 1 + kIpv4Bytes + kPortBytes;
    case kIpv6:
      return 1 + kIpv6Bytes + kPortBytes;
    case kName:
      return at.size() < 2 ? 2 : 2 + size_t{at[1]} + kPortBytes;
    default:
      return 0;
  }
}

// `at` is AddressBytes() long.
absl::StatusOr<Target> ReadAddress(absl::Span<const uint8_t> at) {
  const size_t end = at.size() - kPortBytes;
  const auto port = static_cast<uint16_t>(at[end] << 8 | at[end + 1]);
  if (at[0] == kName) return ParseHost(Text(at.subspan(2, end - 2)), port);
  const IpAddress address =
      at[0] == kIpv4 ? IpAddress::FromV4({at[1], at[2], at[3], at[4]}) : IpAddress::FromBytes(&at[1]);
  return Target{.address = address, .name = "", .port = port};
}

void AppendAddress(const Endpoint& end, std::string* out) {
  const auto& bytes = end.address.bytes();
  const bool v4 = end.address.is_v4();
  out->push_back(static_cast<char>(v4 ? kIpv4 : kIpv6));
  out->append(bytes.begin() + (v4 ? kIpv6Bytes - kIpv4Bytes : 0), bytes.end());
  out->push_back(static_cast<char>(end.port >> 8));
  out->push_back(static_cast<char>(end.port & 0xff));
}

}  // namespace

ServerHandshake::State ServerHandshake::Feed(absl::Span<const uint8_t> input, size_t* consumed, std::string* answer) {
  *consumed = 0;
  while (state_ == State::kMore) {
    const size_t wanted = Wanted();
    const size_t take = std::min(wanted - size_, input.size() - *consumed);
    std::copy_n(input.begin() + *consumed, take, buffer_.begin() + size_);
    size_ += take;
    *consumed += take;
    if (size_ < wanted) break;
    switch (stage_) {
      case Stage::kGreeting:
        OnGreeting(answer);
        break;
      case Stage::kPassword:
        OnPassword(answer);
        break;
      case Stage::kRequest:
        OnRequest(answer);
        break;
    }
  }
  return state_;
}

// How far the message on its way is to grow before it is looked at again. More than there is: a handler that has seen
// all of what this once said has left the message.
size_t ServerHandshake::Wanted() const {
  if (size_ == 0) return 1;  // the version
  switch (stage_) {
    case Stage::kGreeting:  // VER NMETHODS METHODS
      return size_ < 2 ? 2 : 2 + size_t{buffer_[1]};
    case Stage::kPassword: {  // VER ULEN UNAME PLEN PASSWD
      if (size_ < 2) return 2;
      const size_t user_end = 2 + size_t{buffer_[1]};
      return size_ <= user_end ? user_end + 1 : user_end + 1 + buffer_[user_end];
    }
    case Stage::kRequest:  // VER CMD RSV ATYP ADDR PORT
      if (size_ <= kBeforeAddress) return kBeforeAddress + 1;
      return kBeforeAddress + AddressBytes(buffered().subspan(kBeforeAddress));
  }
  return 0;
}

void ServerHandshake::OnGreeting(std::string* answer) {
  // Whoever sent another version would not understand an answer of this one.
  if (buffer_[0] != kVersion) return Fail(absl::StrCat("greeting of version ", buffer_[0], ": expected 5"));
  if (size_ < 2) return;
  if (buffer_[1] == 0) {
    answer->append(Bytes(kVersion, kNoAcceptableMethod));
    return Fail("greeting without a method");
  }
  if (size_ < Wanted()) return;
  const auto methods = buffered().subspan(2);
  const auto offered = [&](uint8_t method) {
    return std::find(methods.begin(), methods.end(), method) != methods.end();
  };
  if (accounts_.empty() && offered(kNoAuthentication)) {
    answer->append(Bytes(kVersion, kNoAuthentication));
    return Enter(Stage::kRequest);
  }
  if (offered(kUserPassword)) {
    answer->append(Bytes(kVersion, kUserPassword));
    return Enter(Stage::kPassword);
  }
  answer->append(Bytes(kVersion, kNoAcceptableMethod));
  Fail(accounts_.empty() ? "client offers neither \"no authentication\" nor user and password"
                         : "client does not offer user and password, which --proxy-auth asks for");
}

void ServerHandshake::OnPassword(std::string* answer) {
  const auto fail = [&](absl::string_view error) {
    answer->append(Bytes(kPasswordVersion, kPasswordBad));
    Fail(error);
  };
  if (buffer_[0] != kPasswordVersion)
    return fail(absl::StrCat("user and password of version ", buffer_[0], ": expected 1"));
  if (size_ < 2) return;
  if (buffer_[1] == 0) return fail("user name of 0 bytes");
  if (size_ < Wanted()) return;
  const absl::string_view user = Text(buffered().subspan(2, buffer_[1]));
  // May be empty although RFC 1929 counts from 1: who only gives a trace id has none. No account has an empty one.
  const absl::string_view password = Text(buffered().subspan(2 + user.size() + 1));
  if (!accounts_.empty() && !IsAccount(accounts_, user, password)) {
    return fail(absl::StrCat("no account of user \"", absl::CEscape(user), "\" with that password"));
  }
  user_ = std::string(user);
  answer->append(Bytes(kPasswordVersion, kPasswordGood));
  Enter(Stage::kRequest);
}

// What is wrong inside of a request is told when all of it is here; only a type of address without a known length
// ends it earlier.
void ServerHandshake::OnRequest(std::string* answer) {
  const auto fail = [&](Reply reply, absl::string_view error) {
    answer->append(EncodeReply(reply));
    Fail(error);
  };
  if (buffer_[0] != kVersion) {
    return fail(Reply::kGeneralFailure, absl::StrCat("request of version ", buffer_[0], ": expected 5"));
  }
  if (size_ <= kBeforeAddress) return;
  const auto address = buffered().subspan(kBeforeAddress);
  if (AddressBytes(address) == 0) {
    return fail(Reply::kAddressTypeNotSupported, absl::StrFormat("address type 0x%02x", address[0]));
  }
  if (size_ < Wanted()) return;
  // RSV, buffer_[2], is not looked at: nothing of ours hangs on it, and RFC 1928 asks for zero only of its sender.
  const uint8_t command = buffer_[1];
  if (command != static_cast<uint8_t>(Command::kConnect) && command != static_cast<uint8_t>(Command::kUdpAssociate)) {
    return fail(Reply::kCommandNotSupported, command == static_cast<uint8_t>(Command::kBind)
                                                 ? "command BIND"
                                                 : absl::StrFormat("command 0x%02x", command));
  }
  // Not "address type not supported", by which a client may take it that it is to send no names at all, and not "host
  // unreachable", for nobody has looked for it.
  auto target = ReadAddress(address);
  if (!target.ok()) return fail(Reply::kGeneralFailure, target.status().message());
  if (command == static_cast<uint8_t>(Command::kConnect) && target->port == 0) {
    return fail(Reply::kGeneralFailure, absl::StrCat("CONNECT to port 0: ", target->ToString()));
  }
  command_ = static_cast<Command>(command);
  target_ = *std::move(target);
  state_ = State::kRequest;
}

void ServerHandshake::Enter(Stage stage) {
  stage_ = stage;
  size_ = 0;
}

void ServerHandshake::Fail(absl::string_view error) {
  error_ = std::string(error);
  state_ = State::kFailed;
}

std::string EncodeReply(Reply reply, const Endpoint& bound) {
  std::string out = {static_cast<char>(kVersion), static_cast<char>(reply), 0};
  AppendAddress(bound, &out);
  return out;
}

std::string EncodeReply(Reply reply) {
  // The short form: there are clients that read ten bytes whatever the type says.
  return EncodeReply(reply, Endpoint{.address = IpAddress::FromV4(0u)});
}

std::optional<UdpDatagram> ParseUdp(absl::Span<const uint8_t> datagram) {
  if (datagram.size() <= kBeforeAddress || datagram[2] != 0) return std::nullopt;
  const auto rest = datagram.subspan(kBeforeAddress);
  const size_t bytes = AddressBytes(rest);
  if (bytes == 0 || rest.size() < bytes) return std::nullopt;
  auto target = ReadAddress(rest.subspan(0, bytes));
  if (!target.ok() || target->port == 0) return std::nullopt;
  return UdpDatagram{.target = *std::move(target), .payload = rest.subspan(bytes)};
}

std::string EncodeUdpHeader(const Endpoint& from) {
  std::string out = {0, 0, 0};
  AppendAddress(from, &out);
  return out;
}

}  // namespace lattice::socks
