#include "userspace/socks/sniff.h"

#include <string>

#include "gtest/gtest.h"

namespace lattice::socks {
namespace {

TEST(Sniff, TellsEveryFirstByteApart) {
  for (int byte = 0; byte < 256; ++byte) {
    Protocol want = Protocol::kUnknown;
    if (byte == 5) want = Protocol::kSocks5;
    if (byte == 4) want = Protocol::kSocks4;
    if (byte == 0x16) want = Protocol::kTls;
    if (std::string("ABCDEFGHIJKLMNOPQRSTUVWXYZ").find(static_cast<char>(byte)) != std::string::npos) {
      want = Protocol::kHttp;
    }
    EXPECT_EQ(Sniff(static_cast<uint8_t>(byte)), want) << byte;
  }
}

}  // namespace
}  // namespace lattice::socks
