// Answers of a DNS server by name, for tests: bytes by RFC 1035, without compression.
#ifndef TESTS_TESTING_DNS_ANSWER_H_
#define TESTS_TESTING_DNS_ANSWER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "userspace/sandbox/dns_message.h"

namespace lattice::testing {

class DnsAnswerBuilder {
 public:
  using Bytes = std::vector<uint8_t>;

  explicit DnsAnswerBuilder(sandbox::DnsQuestion question, int code = 0)
      : question_(std::move(question)), flags_(static_cast<uint16_t>(0x8180 | code)) {}

  DnsAnswerBuilder& Raw(absl::string_view owner, uint16_t type, uint32_t ttl_s, const Bytes& data) {
    ++answers_;
    Add(answer_, owner, type, ttl_s, data);
    return *this;
  }
  DnsAnswerBuilder& Address(absl::string_view owner, const IpAddress& address, uint32_t ttl_s) {
    const auto& bytes = address.bytes();
    return address.is_v4() ? Raw(owner, sandbox::kDnsA, ttl_s, Bytes(bytes.begin() + 12, bytes.end()))
                           : Raw(owner, sandbox::kDnsAaaa, ttl_s, Bytes(bytes.begin(), bytes.end()));
  }
  DnsAnswerBuilder& Alias(absl::string_view owner, absl::string_view target, uint32_t ttl_s) {
    return Raw(owner, 5, ttl_s, Name(target));
  }
  DnsAnswerBuilder& Soa(absl::string_view zone, uint32_t ttl_s, uint32_t minimum_s) {
    Bytes data = Name("ns.example.com");
    const Bytes mail = Name("root.example.com");
    data.insert(data.end(), mail.begin(), mail.end());
    for (const uint32_t number : {1u, 2u, 3u, 4u, minimum_s}) Put32(data, number);
    ++authorities_;
    Add(authority_, zone, 6, ttl_s, data);
    return *this;
  }
  DnsAnswerBuilder& Truncated() {
    flags_ |= 0x0200;
    return *this;
  }

  Bytes Message() const {
    Bytes message;
    for (const uint16_t field : {question_.id, flags_, uint16_t{1}, answers_, authorities_, uint16_t{0}})
      Put16(message, field);
    const Bytes name = Name(question_.name);
    message.insert(message.end(), name.begin(), name.end());
    Put16(message, question_.type);
    Put16(message, 1);
    message.insert(message.end(), answer_.begin(), answer_.end());
    message.insert(message.end(), authority_.begin(), authority_.end());
    return message;
  }

 private:
  static void Put16(Bytes& out, uint16_t value) {
    out.push_back(static_cast<uint8_t>(value >> 8));
    out.push_back(static_cast<uint8_t>(value));
  }
  static void Put32(Bytes& out, uint32_t value) {
    Put16(out, static_cast<uint16_t>(value >> 16));
    Put16(out, static_cast<uint16_t>(value));
  }
  static Bytes Name(absl::string_view name) {
    Bytes out;
    for (const absl::string_view label : absl::StrSplit(name, '.')) {
      out.push_back(static_cast<uint8_t>(label.size()));
      out.insert(out.end(), label.begin(), label.end());
    }
    out.push_back(0);
    return out;
  }
  static void Add(Bytes& out, absl::string_view owner, uint16_t type, uint32_t ttl_s, const Bytes& data) {
    const Bytes name = Name(owner);
    out.insert(out.end(), name.begin(), name.end());
    Put16(out, type);
    Put16(out, 1);
    Put32(out, ttl_s);
    Put16(out, static_cast<uint16_t>(data.size()));
    out.insert(out.end(), data.begin(), data.end());
  }

  const sandbox::DnsQuestion question_;
  uint16_t flags_;
  uint16_t answers_ = 0, authorities_ = 0;
  Bytes answer_, authority_;
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_DNS_ANSWER_H_
