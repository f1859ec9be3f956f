#include "userspace/audit/encoder.h"

#include <algorithm>

#include "absl/time/time.h"
#include "userspace/audit/json_text.h"
#include "userspace/flow/names.h"

namespace lattice::audit {
namespace {

// All keys, punctuation, numbers, times, addresses and enum words of a record; the sum is below 1,400.
constexpr size_t kFixedBytes = 4096;

}  // namespace

// Writes "key":value pairs into the encoder's scratch memory. `name` arguments are the
// literal text in front of the value, so that each pair costs one copy.
class ObjectWriter {
 public:
  explicit ObjectWriter(char* out) : out_(out) {}
  char* end() const { return out_; }

  void Raw(absl::string_view text) { out_ = PutText(out_, text); }
  void Text(absl::string_view name, absl::string_view value) {
    Raw(name);
    out_ = PutEscaped(out_, value);
    *out_++ = '"';
  }
  void TextIfKnown(absl::string_view name, absl::string_view value) {
    if (!value.empty()) Text(name, value);
  }
  // A word that needs no escapes.
  void Word(absl::string_view name, absl::string_view value) {
    Raw(name);
    Raw(value);
    *out_++ = '"';
  }
  template <typename T>
  void Number(absl::string_view name, T value) {
    Raw(name);
    out_ = PutNumber(out_, value);
  }
  void Ip(absl::string_view name, const IpAddress& value) {
    Raw(name);
    out_ = PutIp(out_, value);
    *out_++ = '"';
  }
  void Time(absl::string_view name, absl::Time value, PrintedSecond& cache) {
    Raw(name);
    const int64_t unix_nanos = absl::ToUnixNanos(value);
    int64_t seconds = unix_nanos / 1'000'000'000;
    int64_t nanos = unix_nanos % 1'000'000'000;
    if (nanos < 0) {
      nanos += 1'000'000'000;
      --seconds;
    }
    if (cache.unix_seconds != seconds) {
      PutSecond(cache.text, seconds);
      cache.unix_seconds = seconds;
    }
    Raw(absl::string_view(cache.text, sizeof(cache.text)));
    out_ = PutNanosZ(out_, static_cast<uint32_t>(nanos));
    *out_++ = '"';
  }
  void Protocol(absl::string_view name, uint8_t protocol) {
    switch (protocol) {  // without the allocation of ProtocolName
      case 6:
        return Word(name, "tcp");
      case 17:
        return Word(name, "udp");
      default:
        return Word(name, flow::ProtocolName(protocol));
    }
  }
  void EventId(const flow::FlowRecord& record) {
    Raw(",\"eventId\":\"");
    out_ = PutEscaped(out_, record.node);
    *out_++ = '/';
    out_ = PutEscaped(out_, record.boot);
    *out_++ = '/';
    out_ = PutNumber(out_, record.seq);
    *out_++ = '"';
  }
  // The text of flow::FlowId().
  void FlowId(const flow::FlowRecord& record) {
    Raw(",\"flowId\":\"");
    out_ = PutEscaped(out_, record.boot);
    *out_++ = '-';
    out_ = PutHex(out_, record.start_monotonic_ns);
    *out_++ = '-';
    out_ = PutHex8(out_, flow::AddressHash(record));
    *out_++ = '"';
  }

 private:
  char* out_;
};

namespace {

void PutIdentification(ObjectWriter& json, const flow::FlowRecord& record) {
  json.Number(",\"v\":", flow::kRecordVersion);
  json.EventId(record);
  json.Number(",\"seq\":", record.seq);
  json.Text(",\"node\":\"", record.node);
  json.Word(",\"event\":\"", flow::EventName(record.event));
}

// What follows the addresses, the same in both shapes.
void PutDetails(ObjectWriter& json, const flow::FlowRecord& record) {
  json.Text(",\"iface\":\"", record.iface);
  json.Word(",\"scope\":\"", flow::ScopeName(record.scope));
  json.Word(",\"mode\":\"", flow::ModeName(record.mode));
  if (record.is_flow()) {
    json.Number(",\"bytesOut\":", record.bytes_out);
    json.Number(",\"bytesIn\":", record.bytes_in);
    json.Number(",\"packetsOut\":", record.packets_out);
    json.Number(",\"packetsIn\":", record.packets_in);
    json.Number(",\"wirePacketsOut\":", record.wire_packets_out);
    json.Number(",\"wirePacketsIn\":", record.wire_packets_in);
  }
}

void PutOptional(ObjectWriter& json, const flow::FlowRecord& record) {
  json.TextIfKnown(",\"host\":\"", record.host);
  if (record.cgroup_id != 0) json.Number(",\"cgroupId\":", record.cgroup_id);
  json.TextIfKnown(",\"cgroup\":\"", record.cgroup);
  if (record.pid != 0) json.Number(",\"pid\":", record.pid);
  json.TextIfKnown(",\"comm\":\"", record.comm);
}

void PutLoss(ObjectWriter& json, const flow::FlowRecord& record) {
  json.Text(",\"stage\":\"", record.stage);
  json.Number(",\"count\":", record.lost_count);
  PrintedSecond none;
  json.Time(",\"from\":\"", record.lost_from, none);
  json.Time(",\"to\":\"", record.lost_to, none);
  if (record.lost_first_seq != 0) {
    json.Number(",\"firstSeq\":", record.lost_first_seq);
    json.Number(",\"lastSeq\":", record.lost_last_seq);
    json.TextIfKnown(",\"lostBoot\":\"", record.lost_boot);
  }
}

// From `mode` on, the same in both shapes.
void PutEnd(ObjectWriter& json, const flow::FlowRecord& record, PrintedSecond& start) {
  PutDetails(json, record);
  if (record.is_flow()) {
    json.Time(",\"start\":\"", record.start, start);
    json.Number(",\"durationMs\":", record.duration_ms);
    if (record.end_reason != flow::EndReason::kNone) {
      json.Word(",\"endReason\":\"", flow::EndReasonName(record.end_reason));
    }
    json.Number(",\"policyGeneration\":", record.policy_generation);
    json.FlowId(record);
    PutOptional(json, record);
  } else if (record.event == flow::Event::kPolicy) {
    json.Number(",\"policyGeneration\":", record.policy_generation);
    json.Text(",\"policyHash\":\"", record.policy_hash);
  } else {
    PutLoss(json, record);
  }
  json.Number(",\"monotonicNs\":", record.monotonic_ns);
  json.Raw("}");
}

}  // namespace

char* Encoder::Reserve(const flow::FlowRecord& record) {
  // node, boot: in eventId, node and flowId.
  const size_t strings = 2 * record.node.size() + 2 * record.boot.size() + record.agent_id.size() +
                         record.trace_id.size() + record.iface.size() + record.rule.size() + record.cgroup.size() +
                         record.host.size() + record.comm.size() + record.policy_hash.size() + record.stage.size() +
                         record.lost_boot.size();
  const size_t needed = kFixedBytes + kMaxEscapedPerByte * strings;
  if (needed > scratch_size_) {
    scratch_size_ = std::max(needed, 2 * scratch_size_);
    scratch_.reset(new char[scratch_size_]);
  }
  return scratch_.get();
}

void Encoder::AppendLine(const flow::FlowRecord& record, std::string& out) {
  ObjectWriter json(Reserve(record));
  json.Text("{\"identity\":\"", record.agent_id);
  if (record.is_flow()) {
    json.Ip(",\"src_ip\":\"", record.src);
    json.Ip(",\"dst_ip\":\"", record.dst);
    json.Number(",\"dst_port\":", record.dst_port);
    json.Protocol(",\"protocol\":\"", record.protocol);
    json.Word(",\"verdict\":\"", flow::VerdictName(record.verdict));
  } else {
    json.Raw(R"(,"src_ip":"","dst_ip":"","dst_port":0,"protocol":"","verdict":"")");
  }
  PutIdentification(json, record);
  json.Time(",\"ts\":\"", record.ts, ts_);
  if (record.is_flow()) {
    json.Word(",\"direction\":\"", flow::DirectionName(record.direction));
    json.Word(",\"reason\":\"", flow::ReasonName(record.reason));
    json.Text(",\"rule\":\"", record.rule);
    json.Number(",\"srcPort\":", record.src_port);
  }
  json.TextIfKnown(",\"traceId\":\"", record.trace_id);
  PutEnd(json, record, start_);
  out.append(scratch_.get(), static_cast<size_t>(json.end() - scratch_.get()));
}

void Encoder::AppendMessage(const flow::FlowRecord& record, std::string& out) {
  ObjectWriter json(Reserve(record));
  json.Text("{\"agentId\":\"", record.agent_id);
  json.Text(",\"traceId\":\"", record.trace_id);
  if (record.is_flow()) {
    json.Word(",\"direction\":\"", flow::DirectionName(record.direction));
    json.Ip(",\"dstIp\":\"", record.dst);
    json.Number(",\"dstPort\":", record.dst_port);
    json.Number(",\"bytes\":", record.bytes_out + record.bytes_in);
  } else {
    json.Raw(R"(,"direction":"","dstIp":"","dstPort":0,"bytes":0)");
  }
  json.Time(",\"ts\":\"", record.ts, ts_);
  PutIdentification(json, record);
  if (record.is_flow()) {
    json.Word(",\"verdict\":\"", flow::VerdictName(record.verdict));
    json.Word(",\"reason\":\"", flow::ReasonName(record.reason));
    json.Text(",\"rule\":\"", record.rule);
    json.Ip(",\"srcIp\":\"", record.src);
    json.Number(",\"srcPort\":", record.src_port);
    json.Protocol(",\"protocol\":\"", record.protocol);
  }
  PutEnd(json, record, start_);
  out.append(scratch_.get(), static_cast<size_t>(json.end() - scratch_.get()));
}

}  // namespace lattice::audit
