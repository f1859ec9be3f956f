#include "userspace/base/checksum.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>
#include <random>
#include <vector>

namespace lattice {
namespace {

// RFC 1071 as it is written: 16-bit words in network byte order, added up one by one.
uint16_t Plain(const std::vector<uint8_t>& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(bytes[i] << 8) + (i + 1 < bytes.size() ? bytes[i + 1] : 0);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(~sum);
}

TEST(ChecksumTest, IsTheSumOfRfc1071ForEachLength) {
  std::mt19937 random(1071);
  for (size_t length = 0; length < 200; ++length) {
    std::vector<uint8_t> bytes(length);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    Checksum sum;
    sum.Add(bytes);
    EXPECT_EQ(sum.Finish(), Plain(bytes)) << length;
  }
}

TEST(ChecksumTest, CarriesOutOfAPacketOfOnes) {
  const std::vector<uint8_t> bytes(65535, 0xff);
  Checksum sum;
  sum.Add(bytes);
  EXPECT_EQ(sum.Finish(), Plain(bytes));
}

TEST(ChecksumTest, PiecesOfAnyLengthSumUpToTheWhole) {
  std::vector<uint8_t> bytes(1420);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 7);
  for (const size_t cut : {1u, 20u, 53u, 1419u}) {
    Checksum sum;
    sum.Add(absl::MakeConstSpan(bytes).first(cut));
    sum.Add(absl::MakeConstSpan(bytes).subspan(cut));
    EXPECT_EQ(sum.Finish(), Plain(bytes)) << cut;
  }
}

TEST(ChecksumTest, APacketWithItsChecksumsUpToZero) {
  const IpAddress source = IpAddress::FromV4({192, 0, 2, 1});
  const IpAddress destination = IpAddress::FromV4({198, 51, 100, 2});
  std::vector<uint8_t> udp = {0, 53, 0x12, 0x34, 0, 10, 0, 0, 'a', 'b'};
  std::vector<uint8_t> pseudo = {192, 0, 2, 1, 198, 51, 100, 2, 0, 17, 0, 10};
  pseudo.insert(pseudo.end(), udp.begin(), udp.end());
  const uint16_t checksum = htons(Plain(pseudo));
  memcpy(&udp[6], &checksum, 2);
  Checksum sum;
  sum.AddPseudoHeader(source, destination, IPPROTO_UDP, udp.size());
  sum.Add(udp);
  EXPECT_EQ(sum.Finish(), 0);
  udp[9] ^= 1;
  Checksum damaged;
  damaged.AddPseudoHeader(source, destination, IPPROTO_UDP, udp.size());
  damaged.Add(udp);
  EXPECT_NE(damaged.Finish(), 0);
}

}  // namespace
}  // namespace lattice
