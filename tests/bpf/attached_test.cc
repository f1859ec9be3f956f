// What test runs cannot make, on a real TUN: packets shorter than an IP header, packets
// whose headers are not in the linear part of the skb, a guest's segmentation offload.
// A write to the TUN returns after the ingress program has run.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lattice_linear.skel.h"
#include "tests/bpf/fixture.h"
#include "tests/testing/netns.h"
#include "userspace/base/unique_fd.h"

namespace lattice::testing {
namespace {

// BPF_TCX_INGRESS and _EGRESS of kernels since 6.6; the build's headers are of 6.1.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);
constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);
constexpr char kNoTcx[] = "this kernel has no tcx links (6.6); attaching to older ones is datapath's test";

// struct VirtioHeader of linux/virtio_net.h, which is no C++.
struct VirtioHeader {
  uint8_t flags = 0;
  uint8_t gso_type = 0;
  uint16_t hdr_len = 0;
  uint16_t gso_size = 0;
  uint16_t csum_start = 0;
  uint16_t csum_offset = 0;
};
static_assert(sizeof(VirtioHeader) == 10);
constexpr uint8_t kNeedsChecksum = 1;
constexpr uint8_t kGsoTcp4 = 1;

class Attached : public BpfTest {
 protected:
  static BpfRunOptions Options() {
    BpfRunOptions options;
    options.config.l2_bytes = 0;
    return options;
  }
  Attached() : BpfTest(Options()) {}

  void SetUp() override {
    auto ns = NetNamespace::Create("bpf");
    ASSERT_TRUE(ns.ok()) << ns.status();
    ns_ = std::move(*ns);
    linear_ = lattice_linear__open_and_load();
    ASSERT_NE(linear_, nullptr) << std::strerror(errno);
    ns_->Run([this] { Attach(); });
  }

  void TearDown() override { lattice_linear__destroy(linear_); }

  void Attach() {
    tun_.reset(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(tun_.ok()) << std::strerror(errno);
    ifreq request = {};
    request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
    std::strcpy(request.ifr_name, "tun0");
    ASSERT_EQ(ioctl(tun_.get(), TUNSETIFF, &request), 0) << std::strerror(errno);
    ASSERT_TRUE(ns_->Ip("link set tun0 up").ok());
    const int ifindex = static_cast<int>(if_nametoindex("tun0"));
    link_.reset(bpf_link_create(bpf_program__fd(linear_->progs.look), ifindex, kTcxIngress, nullptr));
    if (!link_.ok()) return;  // told by the test
    our_link_.reset(bpf_link_create(bpf.ProgramFd(LAT_HOOK_TC_INGRESS), ifindex, kTcxIngress, nullptr));
    ASSERT_TRUE(our_link_.ok()) << std::strerror(errno);
  }

  bool KernelHasTcx() const { return link_.ok(); }

  // Comes in with `linear` bytes in the linear part, if it is at least a page long.
  void Write(const std::string& packet, VirtioHeader header = {}) {
    iovec parts[] = {{&header, sizeof(header)}, {const_cast<char*>(packet.data()), packet.size()}};
    ASSERT_EQ(writev(tun_.get(), parts, 2), static_cast<ssize_t>(sizeof(header) + packet.size()))
        << std::strerror(errno);
  }

  static VirtioHeader Linear(uint16_t bytes) {
    VirtioHeader header = {};
    header.hdr_len = bytes;
    return header;
  }

  uint64_t Allowed() const { return bpf.HookStats(LAT_HOOK_TC_INGRESS, LAT_ALLOW).packets; }
  uint64_t Because(lat_reason reason) const { return bpf.ReasonCount(LAT_HOOK_TC_INGRESS, reason); }

  std::unique_ptr<NetNamespace> ns_;
  lattice_linear* linear_ = nullptr;
  UniqueFd tun_, link_, our_link_;
};

#define NEEDS_TCX() \
  if (!KernelHasTcx()) GTEST_SKIP() << kNoTcx

TEST_F(Attached, DeniesPacketsShorterThanTheirHeader) {
  NEEDS_TCX();
  bpf.Publish(Rules(""));
  const std::string four = Udp(Ends4(), LAT_INGRESS).IpBytes(), six = Udp(Ends6(), LAT_INGRESS).IpBytes();
  uint64_t denied = 0;
  for (size_t bytes : {1, 4, 19, 20, 27}) {
    Write(four.substr(0, bytes));
    EXPECT_EQ(Because(LAT_REASON_MALFORMED), ++denied) << bytes;
  }
  for (size_t bytes : {1, 8, 39, 40, 47}) {
    Write(six.substr(0, bytes));
    EXPECT_EQ(Because(LAT_REASON_MALFORMED), ++denied) << bytes;
  }
  Write(four);
  Write(six);
  EXPECT_EQ(Allowed(), 2u);
}

TEST_F(Attached, JudgesPacketsWhoseHeadersAreNotLinear) {
  NEEDS_TCX();
  bpf.Publish(Rules("ingress 0.0.0.0/0:40000\ningress [::/0]:40000", {.ingress_deny = true}));
  Packet extended = Udp(Ends6(), LAT_INGRESS, 6000);
  extended.extensions = {DestinationOptions(2), FragmentHeader(0, false, 3)};
  uint64_t allowed = 0, denied = 0;
  for (const Packet& good : {Udp(Ends4(), LAT_INGRESS, 6000), Tcp(Ends4(), LAT_INGRESS, kSyn, 6000),
                             Udp(Ends6(), LAT_INGRESS, 6000), Tcp(Ends6(), LAT_INGRESS, kSyn, 6000), extended}) {
    Packet bad = good;
    // The low byte of the local port: 40000 becomes another one.
    bad.upper[3] = static_cast<char>(bad.upper[3] ^ 1);
    for (uint16_t linear : {1, 14, 20, 30, 41, 50}) {
      Write(good.IpBytes(), Linear(linear));
      EXPECT_EQ(linear_->bss->linear_bytes, linear);
      EXPECT_EQ(linear_->bss->all_bytes, good.IpBytes().size());
      EXPECT_EQ(Allowed(), ++allowed) << linear;
      Write(bad.IpBytes(), Linear(linear));
      EXPECT_EQ(Because(LAT_REASON_NO_RULE), ++denied) << linear;
    }
  }
  EXPECT_EQ(bpf.FlowCount(), 4u) << "the same flows, however the bytes lie";
}

TEST_F(Attached, DeniesASourceRouteThatIsNotLinear) {
  NEEDS_TCX();
  bpf.Publish(Rules(""));
  Packet packet = Udp(Ends4(), LAT_INGRESS, 6000);
  packet.options = std::string("\x83\7\4\xc6\x33\x64\7\0", 8);
  Write(packet.IpBytes(), Linear(20));
  EXPECT_EQ(linear_->bss->linear_bytes, 20u);
  EXPECT_EQ(Because(LAT_REASON_SOURCE_ROUTE), 1u);
}

TEST_F(Attached, CountsTheSegmentsAGuestLeavesToUs) {
  NEEDS_TCX();
  bpf.Publish(Rules(""));
  VirtioHeader header = {};
  header.flags = kNeedsChecksum;
  header.csum_start = 20;
  header.csum_offset = 16;
  header.gso_type = kGsoTcp4;
  header.gso_size = 1000;
  header.hdr_len = 40;
  Write(Tcp(Ends4(), LAT_INGRESS, kAck, 3500).IpBytes(), header);
  const lat_counters counted = bpf.HookStats(LAT_HOOK_TC_INGRESS, LAT_ALLOW);
  EXPECT_EQ(counted.packets, 1u);
  EXPECT_EQ(counted.wire_packets, 4u);
  EXPECT_EQ(counted.bytes, 3500u + 4 * 40);
}

// A packet socket says what skb->protocol is, whatever the frame says.
TEST_F(BpfTest, AnIpPacketThatAPacketSocketCallsArpIsNotTakenForArp) {
  bpf.Publish(Rules(""));
  auto ns = NetNamespace::Create("arp");
  ASSERT_TRUE(ns.ok()) << ns.status();
  ASSERT_TRUE((*ns)->Ip("link add eth0 type veth peer name eth1\nlink set eth0 up\nlink set eth1 up").ok());
  (*ns)->Run([&] {
    const int ifindex = static_cast<int>(if_nametoindex("eth0"));
    UniqueFd link(bpf_link_create(bpf.ProgramFd(LAT_HOOK_TC_EGRESS), ifindex, kTcxEgress, nullptr));
    if (!link.ok()) GTEST_SKIP() << kNoTcx;
    UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    sockaddr_ll to = {};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(ETH_P_ARP);
    to.sll_ifindex = ifindex;
    const auto send = [&](const std::string& frame) {
      // A dropped frame is ENOBUFS.
      return sendto(fd.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof(to)) > 0;
    };
    const uint64_t arp = bpf.ReasonCount(LAT_HOOK_TC_EGRESS, LAT_REASON_NEIGHBOUR);
    EXPECT_TRUE(send(ArpFrame()));
    EXPECT_EQ(bpf.ReasonCount(LAT_HOOK_TC_EGRESS, LAT_REASON_NEIGHBOUR), arp + 1);
    EXPECT_FALSE(send(Udp(Ends4(), LAT_EGRESS).Frame()));
    EXPECT_EQ(bpf.ReasonCount(LAT_HOOK_TC_EGRESS, LAT_REASON_NOT_IP), 1u);
  });
}

}  // namespace
}  // namespace lattice::testing
