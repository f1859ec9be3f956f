// lattice audit query | export | tail | top: the records of the control plane.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/event_line.h"
#include "tools/lattice/flow_query.h"
#include "tools/lattice/format.h"
#include "tools/lattice/server_client.h"
#include "userspace/http/client.h"

namespace lattice::cli {
namespace {

constexpr char kFlows[] = "/api/v1/audit/flow";

// Whether to go on; otherwise `*code` is the exit code.
bool Begin(Args& args, ServerClient& server, const Words& words, ExitCode* code) {
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) {
    *code = Fail(parsed);
    return false;
  }
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    *code = kOk;
    return false;
  }
  if (const absl::Status resolved = server.Resolve(); !resolved.ok()) {
    *code = Fail(resolved);
    return false;
  }
  return true;
}

// What the reader must know of the answer besides its rows.
void PrintCompleteness(const nlohmann::json& data) {
  const auto number = [&](const char* key) {
    const auto found = data.find(key);
    return found != data.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
  };
  if (const uint64_t gaps = number("gaps"); gaps > 0) {
    absl::FPrintF(stderr, "lattice: not complete: %s records are missing, see lattice audit reconcile\n",
                  HumanCount(gaps));
  }
  if (const uint64_t lost = number("lost"); lost > 0) {
    absl::FPrintF(stderr, "lattice: %s records are lost, their loss records say why: --event loss\n", HumanCount(lost));
  }
}

}  // namespace

ExitCode RunAuditQuery(const Words& words) {
  Args args("lattice audit query", "The newest records that the control plane has, oldest of them first.");
  ServerClient server(args, ServerClient::Login::kToken);
  FlowQuery query(args, FlowQuery::Range::kFromTo);
  const uint64_t& limit = args.Number("limit", 100, "Records at most, up to 1000; lattice audit export has no limit.");
  const bool& json = args.Switch("json", "Print a line of JSON each.");
  ExitCode code = kOk;
  if (!Begin(args, server, words, &code)) return code;
  const absl::StatusOr<std::string> data = server.Get(absl::StrCat(kFlows, "?", query.ToString(), "&limit=", limit));
  if (!data.ok()) return Fail(data.status());
  const auto page = nlohmann::json::parse(*data, nullptr, /*allow_exceptions=*/false);
  const auto list = page.is_object() ? page.find("list") : page.end();
  if (!page.is_object() || list == page.end() || !list->is_array()) {
    return Fail(absl::InternalError("the answer is not one that this version knows"));
  }
  for (auto event = list->rbegin(); event != list->rend(); ++event) {
    const std::string text = event->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    const absl::StatusOr<std::string> line = json ? text + "\n" : EventLine(text);
    if (!line.ok()) return Fail(line.status());
    absl::PrintF("%s", *line);
  }
  if (list->empty()) query.PrintNothingFits();
  PrintCompleteness(page);
  return kOk;
}

ExitCode RunAuditExport(const Words& words) {
  Args args("lattice audit export", "All records of a range, to stdout.");
  ServerClient server(args, ServerClient::Login::kToken);
  FlowQuery query(args, FlowQuery::Range::kFromTo, "-24h");
  const std::string& format = args.Text("format", "ndjson", "FORMAT", "ndjson or csv.");
  ExitCode code = kOk;
  if (!Begin(args, server, words, &code)) return code;
  if (format != "ndjson" && format != "csv") {
    return Fail(absl::InvalidArgumentError(absl::StrCat("--format=", format, ": expected ndjson or csv")));
  }
  bool written = true;
  uint64_t lines = 0;
  const absl::Status done = server.ForEachLine(
      absl::StrCat(kFlows, "?", query.ToString(), "&order=asc&format=", format), [&](absl::string_view line) {
        ++lines;
        written = std::fwrite(line.data(), 1, line.size(), stdout) == line.size() && std::fputc('\n', stdout) != EOF;
        return written;
      });
  if (!done.ok()) return Fail(absl::Status(done.code(), absl::StrCat("the export is not complete: ", done.message())));
  if (!written || std::fflush(stdout) != 0) return Fail(absl::DataLossError("the export can't be written"));
  if (lines == (format == "csv" ? 1 : 0)) query.PrintNothingFits();
  return kOk;
}

ExitCode RunAuditTail(const Words& words) {
  Args args("lattice audit tail", "Records as the control plane gets them, until interrupted.");
  ServerClient server(args, ServerClient::Login::kToken);
  FlowQuery query(args, FlowQuery::Range::kNone);
  const bool& json = args.Switch("json", "Print a line of JSON each.");
  const uint64_t& count = args.Number("count", 0, "Records before it ends; 0 is without end.");
  ExitCode code = kOk;
  if (!Begin(args, server, words, &code)) return code;
  uint64_t seen = 0;
  bool cut = false;
  absl::Status failed;
  const std::string parameters = query.ToString();
  const absl::Status ended = server.ForEachLine(
      absl::StrCat(kFlows, "/stream", parameters.empty() ? "" : "?", parameters), [&](absl::string_view line) {
        if (line == "event: cut") cut = true;
        if (cut || !absl::ConsumePrefix(&line, "data: ")) return !cut;
        const absl::StatusOr<std::string> text = json ? absl::StrCat(line, "\n") : EventLine(line);
        failed = text.status();
        if (!text.ok()) return false;
        absl::PrintF("%s", *text);
        return std::fflush(stdout) == 0 && ++seen != count;
      });
  if (!ended.ok()) return Fail(ended);
  if (!failed.ok()) return Fail(failed);
  if (cut) return Fail(absl::UnavailableError("the control plane cut the tail: this reader was too slow"));
  if (count != 0 && seen == count) return kOk;
  return Fail(absl::UnavailableError("the control plane ended the tail"));
}

ExitCode RunAuditTop(const Words& words) {
  Args args("lattice audit top", "What has most bytes, flows or denials.");
  ServerClient server(args, ServerClient::Login::kToken);
  const std::string& by = args.Text("by", "dst", "KEY", "dst, agent, port or rule.");
  const std::string& metric = args.Text("metric", "bytes", "WORD", "bytes, flows or denied.");
  const FlowQuery query(args, FlowQuery::Range::kSummary);
  const uint64_t& rows = args.Number("rows", 20, "Rows at most.");
  const bool& json = args.Switch("json", "Print JSON.");
  ExitCode code = kOk;
  if (!Begin(args, server, words, &code)) return code;
  const absl::StatusOr<std::string> data =
      server.Get(absl::StrCat(kFlows, "/top?by=", http::EscapeQuery(by), "&metric=", http::EscapeQuery(metric), "&",
                              query.ToString(), "&limit=", rows));
  if (!data.ok()) return Fail(data.status());
  if (json) {
    absl::PrintF("%s\n", *data);
    return kOk;
  }
  const auto answer = nlohmann::json::parse(*data, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("list")) return Fail(absl::InternalError("the answer has no list"));
  // What it is ordered by comes first; of what was denied there is nothing else to say.
  std::vector<std::string> columns = {metric};
  for (const char* other : {"bytes", "flows", "denied"}) {
    if (metric != "denied" && metric != other) columns.emplace_back(other);
  }
  std::vector<std::string> heads = {by};
  for (const std::string& column : columns) heads.push_back(absl::StrCat(">", absl::AsciiStrToUpper(column)));
  Table table(std::move(heads));
  for (const auto& entry : answer["list"]) {
    std::vector<std::string> cells = {Printable(entry.value("key", ""))};
    for (const std::string& column : columns) {
      const uint64_t value = entry.value(column, uint64_t{0});
      cells.push_back(column == "bytes" ? HumanBytes(value) : HumanCount(value));
    }
    table.Row(std::move(cells));
  }
  if (table.empty()) {
    query.PrintNothingFits();
  } else {
    absl::PrintF("%s", table.ToString());
  }
  return kOk;
}

}  // namespace lattice::cli
