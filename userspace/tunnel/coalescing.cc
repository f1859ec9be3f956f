// Theory of operation. A run is a packet of TCP data and those which go on where it ends: same addresses, ports,
// acknowledgement, window and options, payload of the same size, the last may be shorter. It is written as one packet
// whose checksum the kernel is told to make (it does, for each segment, should it ever leave the host again). That
// would make good a segment that came in damaged, so each is checked before it is taken up.
#include "userspace/tunnel/coalescing.h"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>

#include <cstring>

#include "userspace/base/checksum.h"

namespace lattice::tunnel {
namespace {

constexpr size_t kMaxPacketBytes = 65535;

uint32_t LoadBe32(const uint8_t* at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return ntohl(value);
}

size_t LoadBe16(const uint8_t* at) {
  return static_cast<size_t>(at[0] << 8 | at[1]);
}

void StoreBe16(uint8_t* at, size_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}

// Of the addresses in an IP header, both.
absl::Span<const uint8_t> Addresses(bool v4, const uint8_t* ip) {
  return v4 ? absl::MakeConstSpan(ip + 12, 8) : absl::MakeConstSpan(ip + 8, 32);
}

Checksum PseudoHeader(bool v4, const uint8_t* ip, size_t tcp_bytes) {
  Checksum sum;
  sum.AddPseudoHeader(Addresses(v4, ip), IPPROTO_TCP, tcp_bytes);
  return sum;
}

}  // namespace

struct Coalescer::Segment {
  absl::Span<uint8_t> packet;
  bool v4;
  bool tcp;        // otherwise only that it is no TCP segment is known
  bool candidate;  // data, and nothing out of the ordinary
  size_t ip_bytes;
  size_t header_bytes;
  size_t payload_bytes;

  const uint8_t* ip() const { return packet.data(); }
  uint8_t* header() const { return packet.data() + ip_bytes; }
  uint32_t seq() const { return LoadBe32(header() + 4); }
  bool push() const { return (header()[13] & TH_PUSH) != 0; }
};

// False: not TCP in plain IPv4 or IPv6, so it has no order to keep.
bool Coalescer::Parse(absl::Span<uint8_t> packet, Segment* segment) {
  if (packet.size() < sizeof(iphdr) + sizeof(tcphdr)) return false;
  const uint8_t* const ip = packet.data();
  segment->packet = packet;
  segment->v4 = ip[0] == 0x45;  // without options
  bool plain = true;
  if (segment->v4) {
    // Fragments have no ports to tell flows by, and no order among themselves. DF makes the identifier mean nothing
    // (RFC 6864 4.1), so it need not go up by one.
    if (ip[9] != IPPROTO_TCP || (LoadBe16(ip + 6) & (IP_MF | IP_OFFMASK)) != 0) return false;
    plain = LoadBe16(ip + 2) == packet.size() && (LoadBe16(ip + 6) & IP_DF) != 0;
    segment->ip_bytes = sizeof(iphdr);
  } else {
    if (ip[0] >> 4 != 6 || packet.size() < sizeof(ip6_hdr) + sizeof(tcphdr) || ip[6] != IPPROTO_TCP) return false;
    plain = LoadBe16(ip + 4) + sizeof(ip6_hdr) == packet.size();
    segment->ip_bytes = sizeof(ip6_hdr);
  }
  const size_t tcp_bytes = (segment->header()[12] >> 4) * size_t{4};
  segment->header_bytes = segment->ip_bytes + tcp_bytes;
  plain = plain && tcp_bytes >= sizeof(tcphdr) && packet.size() > segment->header_bytes;
  segment->payload_bytes = plain ? packet.size() - segment->header_bytes : 0;
  plain = plain && (segment->header()[13] & ~TH_PUSH) == TH_ACK;
  segment->candidate = plain;
  return true;
}

bool Coalescer::SameFlow(const Run& run, const Segment& segment) {
  const uint8_t* const head = static_cast<const uint8_t*>(run.iov[0].iov_base);
  const size_t ip_bytes = segment.ip_bytes;
  return run.pieces > 0 && run.v4 == segment.v4 &&
         memcmp(Addresses(run.v4, head).data(), Addresses(segment.v4, segment.ip()).data(), segment.v4 ? 8 : 32) == 0 &&
         memcmp(head + ip_bytes, segment.header(), 4) == 0;
}

// Of the same flow, and its next bytes.
bool Coalescer::Fits(const Run& run, const Segment& segment) {
  if (run.ended || run.pieces == kMaxPieces || segment.header_bytes != run.header_bytes ||
      segment.payload_bytes > run.segment_bytes || run.total_bytes + segment.payload_bytes > kMaxPacketBytes ||
      segment.seq() != run.next_seq) {
    return false;
  }
  const uint8_t* const head = static_cast<const uint8_t*>(run.iov[0].iov_base);
  const uint8_t* const tcp = head + segment.ip_bytes;
  // Traffic class and flow label, or type of service; time to live.
  const bool same_ip = segment.v4 ? head[1] == segment.ip()[1] && head[8] == segment.ip()[8]
                                  : memcmp(head, segment.ip(), 4) == 0 && head[7] == segment.ip()[7];
  // Acknowledgement; window; options.
  return same_ip && memcmp(tcp + 8, segment.header() + 8, 4) == 0 && memcmp(tcp + 14, segment.header() + 14, 2) == 0 &&
         memcmp(tcp + sizeof(tcphdr), segment.header() + sizeof(tcphdr),
                run.header_bytes - segment.ip_bytes - sizeof(tcphdr)) == 0;
}

Coalescer::Run& Coalescer::Start(const Segment& segment, Write write) {
  Run* run = nullptr;
  for (Run& each : runs_) {
    if (each.pieces == 0) run = &each;
  }
  if (run == nullptr) {
    run = &runs_[next_];
    next_ = (next_ + 1) % kRuns;
    WriteRun(run, write);
  }
  run->pieces = 1;
  run->iov[0] = {segment.packet.data(), segment.packet.size()};
  run->v4 = segment.v4;
  run->header_bytes = segment.header_bytes;
  run->segment_bytes = segment.payload_bytes;
  run->total_bytes = segment.packet.size();
  run->next_seq = segment.seq() + static_cast<uint32_t>(segment.payload_bytes);
  run->ended = segment.push();
  return *run;
}

void Coalescer::Append(const Segment& segment, Run* run) {
  run->iov[run->pieces++] = {segment.packet.data() + segment.header_bytes, segment.payload_bytes};
  run->total_bytes += segment.payload_bytes;
  run->next_seq += static_cast<uint32_t>(segment.payload_bytes);
  run->ended = segment.payload_bytes < run->segment_bytes || segment.push();
  if (segment.push()) {
    uint8_t* const tcp = static_cast<uint8_t*>(run->iov[0].iov_base) + segment.ip_bytes;
    tcp[13] |= TH_PUSH;
  }
}

void Coalescer::WriteRun(Run* run, Write write) {
  VnetHeader header{};
  if (run->pieces > 1) {
    uint8_t* const ip = static_cast<uint8_t*>(run->iov[0].iov_base);
    const size_t ip_bytes = run->v4 ? sizeof(iphdr) : sizeof(ip6_hdr);
    if (run->v4) {
      StoreBe16(ip + 2, run->total_bytes);
      memset(ip + 10, 0, 2);
      Checksum sum;
      sum.Add(absl::MakeConstSpan(ip, ip_bytes));
      StoreBe16(ip + 10, sum.Finish());
    } else {
      StoreBe16(ip + 4, run->total_bytes - ip_bytes);
    }
    StoreBe16(ip + ip_bytes + offsetof(tcphdr, check), PseudoHeader(run->v4, ip, run->total_bytes - ip_bytes).Folded());
    header.flags = VnetHeader::kNeedsChecksum;
    header.gso_type = run->v4 ? VnetHeader::kTcp4 : VnetHeader::kTcp6;
    header.header_bytes = static_cast<uint16_t>(run->header_bytes);
    header.segment_bytes = static_cast<uint16_t>(run->segment_bytes);
    header.checksum_start = static_cast<uint16_t>(ip_bytes);
    header.checksum_offset = offsetof(tcphdr, check);
  }
  write(header, absl::MakeConstSpan(run->iov.data(), run->pieces));
  run->pieces = 0;
}

void Coalescer::Add(absl::Span<uint8_t> packet, Write write) {
  Segment segment;
  Run* run = nullptr;
  const bool tcp = Parse(packet, &segment);
  if (tcp) {
    for (Run& each : runs_) {
      if (SameFlow(each, segment)) run = &each;
    }
    if (segment.candidate) {
      Checksum sum = PseudoHeader(segment.v4, segment.ip(), packet.size() - segment.ip_bytes);
      sum.Add(packet.subspan(segment.ip_bytes));
      segment.candidate = sum.Finish() == 0;
    }
    if (segment.candidate && run != nullptr && Fits(*run, segment)) return Append(segment, run);
  }
  if (run != nullptr) WriteRun(run, write);
  if (tcp && segment.candidate) {
    Start(segment, write);
    return;
  }
  const iovec whole{packet.data(), packet.size()};
  write(VnetHeader{}, absl::MakeConstSpan(&whole, 1));
}

void Coalescer::Flush(Write write) {
  for (Run& run : runs_) {
    if (run.pieces > 0) WriteRun(&run, write);
  }
  next_ = 0;
}

}  // namespace lattice::tunnel
