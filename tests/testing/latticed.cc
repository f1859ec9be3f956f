#include "tests/testing/latticed.h"

#include <signal.h>

#include <algorithm>
#include <functional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/testing/latticed_dp.h"
#include "userspace/base/file.h"

namespace lattice::testing {
namespace {

using nlohmann::json;

std::string ReadTrimmed(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
}

json ParseBody(const absl::StatusOr<http::ClientResponse>& answer) {
  return answer.ok() ? json::parse(answer->body, nullptr, /*allow_exceptions=*/false) : json(nullptr);
}

}  // namespace

std::vector<std::string> Latticed::CommandLine() const {
  std::vector<std::string> argv = {BinaryPath("latticed"), "--data-dir=" + data_dir_.path(),
                                   "--http-addr=" + (address_.empty() ? "127.0.0.1:0" : address_)};
  const auto is_nats = [](const std::string& arg) { return absl::StartsWith(arg, "--nats-url"); };
  if (std::none_of(args_.begin(), args_.end(), is_nats)) {
    argv.push_back(absl::StrCat("--nats-addr=127.0.0.1:", nats_port_));
  }
  argv.insert(argv.end(), args_.begin(), args_.end());
  return argv;
}

absl::Status Latticed::Start(absl::Duration deadline) {
  if (child_ != nullptr) log_ += child_->err();
  auto child = ChildProcess::Start({.argv = CommandLine(), .env = env_, .netns = ns_ == nullptr ? "" : ns_->path()});
  if (!child.ok()) return child.status();
  child_ = *std::move(child);
  if (!child_->WaitForOutput("latticed is ready", deadline)) {
    return absl::DeadlineExceededError("latticed is not ready: " + log());
  }
  const std::string text = child_->err();
  const absl::string_view kBefore = "API and dashboard at http://";
  const size_t begin = text.find(std::string(kBefore)) + kBefore.size();
  address_ = text.substr(begin, text.find('/', begin) - begin);
  const std::string nats = nats_url();
  if (!absl::SimpleAtoi(nats.substr(nats.rfind(':') + 1), &nats_port_)) nats_port_ = 0;
  return absl::OkStatus();
}

int Latticed::Stop() {
  child_->Signal(SIGTERM);
  return child_->Wait(absl::Seconds(30)).value_or(-1);
}

void Latticed::Kill() {
  child_->Signal(SIGKILL);
  child_->Wait(absl::Seconds(10));
}

CommandResult Latticed::RunToItsEnd() {
  std::vector<std::string> command = {"env"};
  for (const auto& [name, value] : env_) command.push_back(absl::StrCat(name, "=", value));
  for (std::string& word : CommandLine()) command.push_back(std::move(word));
  return RunCommand(std::move(command), {.timeout = absl::Seconds(30)});
}

std::string Latticed::nats_url() const {
  return ReadTrimmed(File("nats.url"));
}

std::string Latticed::NatsUrlOfLatticed() const {
  const std::string url = nats_url();
  return absl::StrCat("nats://_latticed:", ReadTrimmed(File("nats/server.password")), "@",
                      url.substr(url.find_last_of("/@") + 1));
}

std::string Latticed::admin_token() const {
  return ReadTrimmed(File("admin.token"));
}

absl::StatusOr<http::ClientResponse> Latticed::Raw(const std::string& method, const std::string& target,
                                                   const std::string& body, const std::string& token) const {
  http::ClientOptions options{.timeout = absl::Seconds(30)};
  if (!token.empty()) options.headers = {{"Authorization", "Bearer " + token}};
  const http::Client client(address_, options);
  absl::StatusOr<http::ClientResponse> answer = absl::UnknownError("not asked");
  Inside([&] { answer = method == "GET" ? client.Get(target) : client.Send(method, target, body); });
  return answer;
}

json Latticed::Get(const std::string& target) const {
  return ParseBody(Raw("GET", target, "", admin_token()));
}

json Latticed::Post(const std::string& target, const json& body) const {
  return ParseBody(Raw("POST", target, body.dump(), admin_token()));
}

MetricsText Latticed::Scrape() const {
  const auto answer = Raw("GET", "/metrics");
  return MetricsText::Parse(answer.ok() ? answer->body : "");
}

bool Latticed::ready() const {
  const auto answer = Raw("GET", "/readyz");
  return answer.ok() && answer->status == 200;
}

std::vector<json> Latticed::Flows(const std::string& query) const {
  std::vector<json> all;
  std::string cursor;
  do {
    const json page = Get(absl::StrCat("/api/v1/audit/flow?limit=1000&order=asc", query.empty() ? "" : "&", query,
                                       cursor.empty() ? "" : "&cursor=", cursor));
    if (!page.is_object() || page.value("code", -1) != 0) return all;
    for (const json& event : page["data"]["list"]) all.push_back(event);
    cursor = page["data"]["nextCursor"].get<std::string>();
  } while (!cursor.empty());
  return all;
}

CommandResult Latticed::Cli(std::vector<std::string> command) const {
  command.insert(command.begin(), BinaryPath("lattice"));
  command.push_back("--server-url=" + url());
  command.push_back("--api-token-file=" + File("admin.token"));
  return RunCommand(ns_ == nullptr ? command : ns_->Inside(command));
}

void Latticed::Inside(const std::function<void()>& work) const {
  if (ns_ == nullptr) {
    work();
  } else {
    ns_->Run(work);
  }
}

std::string Latticed::EnrollToFile(const std::string& name) const {
  const json created = Post("/api/v1/agent-isolation/enrollment-tokens", {{"namespace", "default"}});
  const json token = created.value("data", json::object()).value("token", json(nullptr));
  const json enrolled = Post("/api/v1/agent-isolation/register", {{"enrollmentToken", token}, {"agentName", name}});
  const json jwt = enrolled.value("data", json::object()).value("jwt", json(nullptr));
  const std::string path = File(absl::StrCat("agent-", name, ".token"));
  if (!jwt.is_string() || !WriteFileAtomically(path, jwt.get<std::string>() + "\n", 0600).ok()) return "";
  return path;
}

}  // namespace lattice::testing
