#include "tools/lattice/server_client.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/http/client.h"

namespace lattice::cli {
namespace {

constexpr char kLocal[] = "http://127.0.0.1:8080";

std::string Environment(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

std::string DefaultTokenFile() {
  return ConfigDir() + "/admin.token";
}

// With the code of `status` and the server's own text.
absl::StatusOr<std::string> ReadEnvelope(const http::ClientResponse& response, const std::string& server) {
  const absl::Status status = http::StatusOf(response);
  const nlohmann::json json = nlohmann::json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("code")) {
    if (!status.ok()) return absl::Status(status.code(), absl::StrCat(server, ": ", status.message()));
    return absl::InternalError(
        absl::StrCat(server, ": the answer is not of a Lattice control plane; check --server-url"));
  }
  // Upstream's control plane has 200 for success.
  const auto code = json.find("code");
  if (status.ok() && code->is_number_integer() && (*code == 0 || *code == 200)) {
    const auto data = json.find("data");
    return data == json.end() ? "null" : data->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  std::string message = "unknown error";
  if (const auto text = json.find("msg"); text != json.end() && text->is_string()) message = text->get<std::string>();
  return absl::Status(status.ok() ? absl::StatusCode::kUnknown : status.code(), message);
}

}  // namespace

std::string ConfigDir() {
  return Environment("LATTICE_CONFIG_DIR", "/etc/lattice");
}

ServerClient::ServerClient(Args& args, Login login)
    : login_(login),
      server_url_(args.Text("server-url", Environment("LATTICE_SERVER_URL", login == Login::kOptional ? "" : kLocal),
                            "URL", "The control plane, http://HOST:PORT or https://HOST:PORT.")) {
  if (login == Login::kNone) return;
  token_file_ = &args.Text("api-token-file",
                           Environment("LATTICE_API_TOKEN_FILE", login == Login::kOptional ? "" : DefaultTokenFile()),
                           "FILE", "Your token for the control plane.");
}

absl::Status ServerClient::Resolve() {
  if (login_ == Login::kOptional) {
    if (server_url_.empty() && token_file_->empty()) return absl::OkStatus();
    // Who gives one of them means a control plane.
    if (server_url_.empty()) server_url_ = kLocal;
    if (token_file_->empty()) *token_file_ = DefaultTokenFile();
  }
  while (absl::EndsWith(server_url_, "/")) server_url_.pop_back();
  const bool known = absl::StartsWith(server_url_, "http://") || absl::StartsWith(server_url_, "https://");
  const size_t scheme = server_url_.find("://");
  if (!known || server_url_.find('/', scheme + 3) != std::string::npos || server_url_.size() == scheme + 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("--server-url=", server_url_, ": expected http://HOST:PORT or https://HOST:PORT"));
  }
  if (token_file_ == nullptr) return absl::OkStatus();
  absl::StatusOr<std::string> token = ReadFile(*token_file_, 64 << 10);
  if (!token.ok()) {
    return absl::Status(token.status().code(),
                        absl::StrCat("--api-token-file=", *token_file_, ": ", token.status().message(),
                                     "; latticed writes an administrator's token to admin.token in its --data-dir"));
  }
  token_ = std::string(absl::StripAsciiWhitespace(*token));
  if (token_.empty() || token_.find_first_of("\r\n") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--api-token-file=", *token_file_, ": expected a token in one line"));
  }
  return absl::OkStatus();
}

absl::Status ServerClient::ForEachLine(absl::string_view target,
                                       const std::function<bool(absl::string_view)>& on_line) const {
  http::ClientOptions options;
  if (!token_.empty()) options.headers.emplace_back("Authorization", absl::StrCat("Bearer ", token_));
  const absl::Status done = http::Client(server_url_, options).ForEachLine(target, on_line);
  if (done.ok()) return done;
  // An answer that is an error holds the envelope.
  const nlohmann::json json = nlohmann::json::parse(done.message().begin(), done.message().end(), nullptr, false);
  const auto text = json.is_object() ? json.find("msg") : json.end();
  if (!json.is_object() || text == json.end() || !text->is_string()) return done;
  return absl::Status(done.code(), text->get<std::string>());
}

absl::StatusOr<std::string> ServerClient::Call(const std::string& method, absl::string_view target,
                                               absl::string_view body) const {
  http::ClientOptions options;
  if (!token_.empty()) options.headers.emplace_back("Authorization", absl::StrCat("Bearer ", token_));
  const http::Client client(server_url_, options);
  const absl::StatusOr<http::ClientResponse> response =
      method == "GET" ? client.Get(target) : client.Send(method, target, body);
  if (absl::IsUnavailable(response.status())) {
    return absl::UnavailableError(
        absl::StrCat(response.status().message(), "; is latticed running there (--server-url)?"));
  }
  LATTICE_RETURN_IF_ERROR(response.status());
  return ReadEnvelope(*response, server_url_);
}

}  // namespace lattice::cli
