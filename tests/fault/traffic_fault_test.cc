// Traffic that is meant to hurt: more flows than the table holds, scans, packets that are no packets.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include <cstring>

#include "tests/fault/fault_test.h"

namespace lattice::testing {
namespace {

using TrafficFaultTest = FaultTest;

TEST_F(TrafficFaultTest, AFullFlowTableDeniesNewFlowsAndSaysSo) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.0/24", "--max-flows=64", "--flow-idle-timeout=1h"}));
  TunCounter out(*tun_, [](absl::string_view packet) { return IsFor(packet, "192.0.2.9"); });
  Send("192.0.2.9", 1000, 10'000, 200);
  const auto full = [](const AuditRecord& r) { return r["reason"] == "flow_table_full"; };
  ASSERT_TRUE(dp_->WaitForRecord(full).has_value());
  EXPECT_EQ((*dp_->WaitForRecord(full))["event"], "denied");
  ExpectStartRecords("192.0.2.9", 64);
  EXPECT_TRUE(WaitUntil([&] { return out.count() == 64; })) << out.count();
  MetricsText metrics = dp_->Scrape();
  EXPECT_EQ(metrics.Sum("lattice_dp_denied_packets_total", {{"reason", "flow_table_full"}}), 200 - 64);
  EXPECT_EQ(metrics.Sum("lattice_dp_flow_table_capacity"), 2 * 64) << "one table per family";
  // A live flow is not pushed out.
  Send("192.0.2.9", 1000, 10'000, 64);
  EXPECT_TRUE(WaitUntil([&] { return out.count() == 128; })) << out.count();
  uint64_t denied = 0;
  EXPECT_TRUE(WaitUntil([&] {
    denied = 0;
    for (const AuditRecord& record : dp_->Records(full)) denied += record.Number("packetsOut");
    return denied >= 200 - 64;
  }));
  EXPECT_EQ(denied, 200u - 64u);
}

TEST_F(TrafficFaultTest, WithAllowOnAFullTableUntrackedPacketsPassAndAreToldAsALoss) {
  ASSERT_NO_FATAL_FAILURE(
      StartDp({"--egress-allow=192.0.2.0/24", "--max-flows=64", "--flow-idle-timeout=1h", "--on-table-full=allow"}));
  TunCounter out(*tun_, [](absl::string_view packet) { return IsFor(packet, "192.0.2.9"); });
  Send("192.0.2.9", 1000, 10'000, 200);
  EXPECT_TRUE(WaitUntil([&] { return out.count() == 200; })) << out.count();
  const auto loss = dp_->WaitForRecord([](const AuditRecord& r) { return r["event"] == "loss"; });
  ASSERT_TRUE(loss.has_value());
  EXPECT_EQ(loss->Number("count"), 200u - 64u);
}

// In audit mode what would be denied passes, and must no more crowd the table of flows.
class ScanTest : public TrafficFaultTest, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Modes, ScanTest, ::testing::Values("enforce", "audit"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(ScanTest, NeitherPushesOutLiveFlowsNorTheirRecords) {
  ASSERT_TRUE(ns_->Ip("route add 198.51.100.0/24 dev wg0").ok());
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.0/24", "--flow-idle-timeout=1h",
                                   absl::StrCat("--mode=", GetParam()), "--max-flows=2000"}));
  Send("192.0.2.9", 1000, 10'000, 500);
  for (int host = 1; host <= 4; ++host) Send("198.51.100." + std::to_string(host), 1001, 1000, 20'000);
  Send("192.0.2.9", 1001, 10'000, 500);
  ExpectStartRecords("192.0.2.9", 1000);
  // The sweep counts them, once a second.
  EXPECT_TRUE(WaitUntil([&] { return dp_->Scrape().Sum("lattice_dp_flow_table_entries") == 1000; }))
      << dp_->Scrape().Sum("lattice_dp_flow_table_entries");
  // Named in denied records, or counted as lost in a loss record: every packet of the scan.
  uint64_t told = 0;
  EXPECT_TRUE(WaitUntil(
      [&] {
        told = 0;
        for (const AuditRecord& record : dp_->Records()) {
          if (record["event"] == "denied") told += record.Number("packetsOut");
          if (record["event"] == "loss") told += record.Number("count");
        }
        return told >= 80'000;
      },
      absl::Seconds(30)))
      << told;
  EXPECT_EQ(told, 80'000u);
}

// Packets written straight onto the device, as a process with a raw socket may do it.
class MalformedTest : public FaultTest {
 protected:
  void Inject(const std::string& packet, uint16_t ethertype) {
    if (!raw_.ok()) raw_ = ns_->Socket(AF_PACKET, SOCK_DGRAM, 0);
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(ethertype);
    ns_->Run([&] { to.sll_ifindex = static_cast<int>(::if_nametoindex("wg0")); });
    // The drop of our program is ENOBUFS here; what counts is what comes out.
    (void)::sendto(raw_.get(), packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
  }
  static std::string Ipv4(const std::string& body, uint8_t protocol = 17) {
    std::string ip("\x45\0\0\0\0\1\0\0\x40\0\0\0\xc0\0\2\1\xc0\0\2\x09", 20);
    ip[2] = static_cast<char>((20 + body.size()) >> 8);
    ip[3] = static_cast<char>(20 + body.size());
    ip[9] = static_cast<char>(protocol);
    return ip + body;
  }
  static std::string Ipv6(const std::string& body, uint8_t next = 17) {
    std::string ip("\x60\0\0\0\0\0\0\x40", 8);
    ip[4] = static_cast<char>(body.size() >> 8);
    ip[5] = static_cast<char>(body.size());
    ip[6] = static_cast<char>(next);
    std::string address("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    return ip + address + address + body;
  }
  static inline const std::string kUdp{"\x10\0\0\x35\0\x0c\0\0abcd", 12};

 private:
  UniqueFd raw_;
};

TEST_F(MalformedTest, WhatCantBeParsedIsDeniedWithAReasonOfItsOwnEvenWhenEverythingIsAllowed) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=0.0.0.0/0,::/0"}));
  TunCounter out(*tun_, [](absl::string_view) { return true; });
  // The same packets in order pass, so it is the damage that is denied.
  const uint64_t before = out.count();
  Inject(Ipv4(kUdp), 0x0800);
  Inject(Ipv6(kUdp), 0x86dd);
  ASSERT_TRUE(WaitUntil([&] { return out.count() >= before + 2; }));

  std::vector<std::pair<std::string, uint16_t>> packets;
  const std::string good4 = Ipv4(kUdp), good6 = Ipv6(kUdp);
  for (size_t n = 1; n < 28; ++n) packets.push_back({good4.substr(0, n), 0x0800});
  for (size_t n = 1; n < 48; ++n) packets.push_back({good6.substr(0, n), 0x86dd});
  const auto with = [](std::string packet, size_t at, char value) {
    packet[at] = value;
    return packet;
  };
  packets.push_back({with(good4, 0, '\x44'), 0x0800});                       // header of 16 bytes
  packets.push_back({with(good4, 0, '\x4f'), 0x0800});                       // header of 60 bytes, packet of 32
  packets.push_back({with(good4, 0, '\x55'), 0x0800});                       // version 5
  packets.push_back({with(good4, 3, '\x10'), 0x0800});                       // total length below the header
  packets.push_back({with(good4, 2, '\x10'), 0x0800});                       // total length over the packet
  packets.push_back({good6, 0x0800});                                        // IPv6 called IPv4
  packets.push_back({good4, 0x86dd});                                        // and the other way round
  packets.push_back({with(good6, 4, '\x10'), 0x86dd});                       // payload length over the packet
  packets.push_back({Ipv4(std::string(12, '\0'), 6), 0x0800});               // TCP of 12 bytes
  packets.push_back({Ipv6(std::string(8, '\0'), 0).substr(0, 44), 0x86dd});  // extension header cut off
  packets.push_back({Ipv6(std::string("\x11\x20", 2) + std::string(6, '\0') + kUdp, 60), 0x86dd});  // lying length
  std::string chain;
  for (int i = 0; i < 9; ++i) chain += std::string(i == 8 ? "\x11\0" : "\x3c\0", 2) + std::string(6, '\0');
  packets.push_back({Ipv6(chain + kUdp, 60), 0x86dd});   // nine extension headers
  packets.push_back({std::string(60, '\xff'), 0x88b5});  // no IP at all
  const double denied_before = dp_->Scrape().Sum("lattice_dp_denied_packets_total", {{"direction", "egress"}});
  const uint64_t out_before = out.count();
  for (const auto& [packet, ethertype] : packets) Inject(packet, ethertype);
  EXPECT_TRUE(WaitUntil([&] {
    return dp_->Scrape().Sum("lattice_dp_denied_packets_total", {{"direction", "egress"}}) >=
           denied_before + static_cast<double>(packets.size());
  })) << dp_->Scrape().Sum("lattice_dp_denied_packets_total", {{"direction", "egress"}})
      << " of " << packets.size();
  // A marker that passes: all before it has been judged and read.
  Inject(good4, 0x0800);
  EXPECT_TRUE(WaitUntil([&] { return out.count() > out_before; }));
  EXPECT_EQ(out.count(), out_before + 1);
  const MetricsText metrics = dp_->Scrape();
  for (const char* reason : {"malformed", "not_ip", "extension_header"}) {
    EXPECT_GT(metrics.Sum("lattice_dp_denied_packets_total", {{"reason", reason}}), 0) << reason;
  }
  EXPECT_TRUE(dp_->WaitForRecord([](const AuditRecord& r) { return r["reason"] == "malformed"; }).has_value());
}

TEST_F(MalformedTest, MalformedPacketsFromOutsideAreDeniedAndHarmNothing) {
  ASSERT_NO_FATAL_FAILURE(StartDp({}));
  for (size_t n = 1; n < 28; ++n) {
    // The kernel itself refuses some of them: that is as good.
    (void)tun_->Write(Ipv4(kUdp).substr(0, n));
    (void)tun_->Write(Ipv6(kUdp).substr(0, n));
  }
  EXPECT_TRUE(WaitUntil([&] {
    return dp_->Scrape().Sum("lattice_dp_denied_packets_total", {{"direction", "ingress"}, {"reason", "malformed"}}) >
           0;
  }));
  EXPECT_TRUE(dp_->running());
}

}  // namespace
}  // namespace lattice::testing
