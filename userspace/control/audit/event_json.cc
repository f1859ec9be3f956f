#include "userspace/control/audit/event_json.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "userspace/audit/json_text.h"
#include "userspace/control/audit/event_fields.h"

namespace lattice::control {
namespace {

void AppendCell(absl::string_view text, std::string& out) {
  const bool formula = !text.empty() && absl::string_view("=+-@\t\r\n").find(text.front()) != absl::string_view::npos;
  if (!formula && text.find_first_of(",\"\r\n") == absl::string_view::npos) {
    out.append(text.data(), text.size());
    return;
  }
  out += '"';
  if (formula) out += '\'';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

}  // namespace

std::string TimeText(int64_t ns) {
  if (ns == 0) return "";
  std::string text(audit::kMaxIpText, '\0');
  char* end = text.data();
  const int64_t second = ns >= 0 ? ns / 1'000'000'000 : -((-ns + 999'999'999) / 1'000'000'000);
  audit::PutSecond(end, second);
  end = audit::PutNanosZ(end + 19, static_cast<uint32_t>(ns - second * 1'000'000'000));
  text.resize(static_cast<size_t>(end - text.data()));
  return text;
}

void AppendJsonText(absl::string_view text, std::string& out) {
  const size_t before = out.size();
  out.resize(before + 2 + audit::kMaxEscapedPerByte * text.size());
  char* end = out.data() + before;
  *end++ = '"';
  end = audit::PutEscaped(end, text);
  *end++ = '"';
  out.resize(static_cast<size_t>(end - out.data()));
}

void AppendEventJson(const FlowEvent& event, std::string& out) {
  out += "{\"id\":";
  AppendJsonText(event.id, out);
  for (const EventField& field : EventFields()) {
    const bool text = field.kind == FieldKind::kText;
    const bool empty = text ? (event.*field.text()).empty() : event.*field.number() == 0;
    if (empty && !field.always) continue;
    absl::StrAppend(&out, ",\"", field.key, "\":");
    if (text) {
      AppendJsonText(event.*field.text(), out);
    } else if (field.kind == FieldKind::kNumber) {
      absl::StrAppend(&out, event.*field.number());
    } else {
      AppendJsonText(TimeText(event.*field.number()), out);
    }
  }
  out += '}';
}

std::string CsvHeader() {
  std::string line = "id";
  for (const EventField& field : EventFields()) absl::StrAppend(&line, ",", field.key);
  return line + "\r\n";
}

void AppendEventCsv(const FlowEvent& event, std::string& out) {
  AppendCell(event.id, out);
  for (const EventField& field : EventFields()) {
    out += ',';
    if (field.kind == FieldKind::kText) {
      AppendCell(event.*field.text(), out);
    } else if (field.kind == FieldKind::kNumber) {
      absl::StrAppend(&out, event.*field.number());
    } else {
      out += TimeText(event.*field.number());
    }
  }
  out += "\r\n";
}

}  // namespace lattice::control
