#include "userspace/sandbox/dns_message.h"

#include <arpa/nameser.h>

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace lattice::sandbox {
namespace {

constexpr size_t kMaxHostName = 253;
constexpr size_t kMaxLabel = 63;
constexpr int kMaxAliases = 16;
constexpr uint32_t kSoaBytes = 22;  // at least: two names of one byte, five numbers

struct Entry {
  std::string owner;
  uint16_t type = 0;
  uint32_t ttl_s = 0;
  std::string target;  // of an alias
  IpAddress address;
};

bool IsLabel(absl::string_view label) {
  if (label.empty() || label.size() > kMaxLabel || label.front() == '-' || label.back() == '-') return false;
  return std::all_of(label.begin(), label.end(),
                     [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'; });
}

void Put16(std::vector<uint8_t>& out, uint16_t value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}

bool SameQuestion(absl::Span<const uint8_t> message, const DnsQuestion& question) {
  std::array<char, NS_MAXDNAME> name;
  const uint8_t* const end = message.data() + message.size();
  const uint8_t* at = message.data() + NS_HFIXEDSZ;
  const int length = ns_name_uncompress(message.data(), end, at, name.data(), name.size());
  if (length < 0) return false;
  at += length;
  return end - at >= NS_QFIXEDSZ && absl::EqualsIgnoreCase(name.data(), question.name) &&
         ns_get16(at) == question.type && ns_get16(at + NS_INT16SZ) == ns_c_in;
}

// Nothing: the record is malformed. `entry` stays without an owner where it says nothing to us.
std::optional<Entry> ReadEntry(ns_msg& message, const ns_rr& record) {
  Entry entry;
  if (ns_rr_class(record) != ns_c_in) return entry;
  const uint8_t* const data = ns_rr_rdata(record);
  const size_t bytes = ns_rr_rdlen(record);
  entry.type = ns_rr_type(record);
  switch (entry.type) {
    case ns_t_a:
      if (bytes != 4) return std::nullopt;
      entry.address = IpAddress::FromV4({data[0], data[1], data[2], data[3]});
      break;
    case ns_t_aaaa:
      if (bytes != 16) return std::nullopt;
      entry.address = IpAddress::FromBytes(data);
      break;
    case ns_t_cname: {
      std::array<char, NS_MAXDNAME> target;
      if (ns_name_uncompress(ns_msg_base(message), ns_msg_end(message), data, target.data(), target.size()) < 0)
        return std::nullopt;
      entry.target = target.data();
      break;
    }
    default:
      return entry;
  }
  entry.owner = ns_rr_name(record);
  entry.ttl_s = ns_rr_ttl(record) > INT32_MAX ? 0 : ns_rr_ttl(record);  // RFC 2181 8
  return entry;
}

DnsAnswer Follow(const std::vector<Entry>& entries, const DnsQuestion& question) {
  DnsAnswer answer{.kind = DnsAnswer::Kind::kNoAddress, .ttl_s = UINT32_MAX};
  absl::string_view name = question.name;
  for (int alias = 0; alias <= kMaxAliases; ++alias) {
    const Entry* next = nullptr;
    for (const Entry& entry : entries) {
      if (entry.owner.empty() || !absl::EqualsIgnoreCase(entry.owner, name)) continue;
      if (entry.type == ns_t_cname) next = &entry;
      if (entry.type != question.type || answer.addresses.size() == kMaxDnsAddresses) continue;
      answer.addresses.push_back(entry.address);
      answer.ttl_s = std::min(answer.ttl_s, entry.ttl_s);
    }
    if (!answer.addresses.empty()) {
      answer.kind = DnsAnswer::Kind::kAddresses;
      return answer;
    }
    if (next == nullptr) break;
    name = next->target;
    answer.ttl_s = std::min(answer.ttl_s, next->ttl_s);
  }
  return answer;
}

// RFC 2308 5. Without the zone's SOA it is not to be kept.
uint32_t NegativeTtl(ns_msg& message) {
  for (int i = 0; i < ns_msg_count(message, ns_s_ns); ++i) {
    ns_rr record;
    if (ns_parserr(&message, ns_s_ns, i, &record) != 0) return 0;
    if (ns_rr_type(record) != ns_t_soa || ns_rr_rdlen(record) < kSoaBytes) continue;
    const uint32_t minimum = ns_get32(ns_rr_rdata(record) + ns_rr_rdlen(record) - NS_INT32SZ);
    return std::min<uint32_t>(ns_rr_ttl(record), minimum);
  }
  return 0;
}

}  // namespace

absl::StatusOr<std::string> HostName(absl::string_view text) {
  std::string name = absl::AsciiStrToLower(text);
  if (!name.empty() && name.back() == '.') name.pop_back();
  const std::vector<absl::string_view> labels = absl::StrSplit(name, '.');
  // A number at the end is an address or a part of one, never a top-level domain.
  const bool number = std::all_of(labels.back().begin(), labels.back().end(), absl::ascii_isdigit);
  if (name.size() > kMaxHostName || number || !std::all_of(labels.begin(), labels.end(), IsLabel))
    return absl::InvalidArgumentError(absl::StrCat("\"", absl::CEscape(text.substr(0, 300)), "\" is no host name"));
  return name;
}

std::vector<uint8_t> MakeDnsQuery(const DnsQuestion& question) {
  std::vector<uint8_t> message;
  Put16(message, question.id);
  Put16(message, 0x0100);  // recursion desired
  Put16(message, 1);       // question
  for (int i = 0; i < 3; ++i) Put16(message, 0);
  for (const absl::string_view label : absl::StrSplit(question.name, '.')) {
    message.push_back(static_cast<uint8_t>(label.size()));
    message.insert(message.end(), label.begin(), label.end());
  }
  message.push_back(0);
  Put16(message, question.type);
  Put16(message, ns_c_in);
  return message;
}

std::optional<DnsAnswer> ReadDnsAnswer(absl::Span<const uint8_t> message, const DnsQuestion& question) {
  if (message.size() < NS_HFIXEDSZ || message.size() > NS_MAXMSG) return std::nullopt;
  const uint16_t flags = static_cast<uint16_t>(ns_get16(&message[2]));
  // An answer, to a plain query, with one question: ours.
  if (ns_get16(&message[0]) != question.id || (flags & 0xf800) != 0x8000 || ns_get16(&message[4]) != 1 ||
      !SameQuestion(message, question)) {
    return std::nullopt;
  }
  // Before it is parsed: it may be cut anywhere.
  if ((flags & 0x0200) != 0) return DnsAnswer{.kind = DnsAnswer::Kind::kTruncated};
  const int code = flags & 0xf;
  if (code != ns_r_noerror && code != ns_r_nxdomain) return DnsAnswer{};
  ns_msg parsed;
  if (ns_initparse(message.data(), static_cast<int>(message.size()), &parsed) != 0) return DnsAnswer{};
  std::vector<Entry> entries;
  for (int i = 0; i < ns_msg_count(parsed, ns_s_an); ++i) {
    ns_rr record;
    if (ns_parserr(&parsed, ns_s_an, i, &record) != 0) return DnsAnswer{};
    std::optional<Entry> entry = ReadEntry(parsed, record);
    if (!entry.has_value()) return DnsAnswer{};
    entries.push_back(*std::move(entry));
  }
  DnsAnswer answer;
  if (code == ns_r_nxdomain) {
    answer.kind = DnsAnswer::Kind::kNoName;
  } else {
    answer = Follow(entries, question);
  }
  if (answer.kind != DnsAnswer::Kind::kAddresses) answer.ttl_s = NegativeTtl(parsed);
  return answer;
}

}  // namespace lattice::sandbox
