#include "userspace/dp/preflight.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/audit/segment.h"
#include "userspace/audit/signing.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/datapath/lock.h"
#include "userspace/datapath/probe.h"
#include "userspace/dp/policy_control.h"
#include "userspace/dp/privileges.h"

namespace lattice::dp {
namespace {

class Findings {
 public:
  void Add(const absl::Status& status) {
    if (!status.ok()) found_.push_back(status);
  }
  bool empty() const { return found_.empty(); }
  absl::Status Result() const {
    if (found_.empty()) return absl::OkStatus();
    const auto input = std::find_if(found_.begin(), found_.end(),
                                    [](const absl::Status& status) { return absl::IsInvalidArgument(status); });
    const absl::StatusCode code = input == found_.end() ? found_.front().code() : input->code();
    const auto text = [](std::string* out, const absl::Status& status) { absl::StrAppend(out, status.message()); };
    return absl::Status(code, absl::StrJoin(found_, "\n", text));
  }

 private:
  std::vector<absl::Status> found_;
};

absl::StatusCode CodeOf(const datapath::Check& check) {
  if (check.name == "interface.exists") return absl::StatusCode::kNotFound;
  if (absl::StartsWith(check.name, "capability.")) return absl::StatusCode::kPermissionDenied;
  return absl::StatusCode::kFailedPrecondition;
}

absl::Status StatusOf(const datapath::Check& check) {
  return absl::Status(CodeOf(check), absl::StrCat(check.name, ": ", check.detail, "; ", check.remedy));
}

// Where another daemon is at work, what is wrong with its pins is its business: that alone is told.
// Without the capabilities nothing else can be asked of the kernel: then they alone are named.
void CheckHost(const Options& options, Findings* findings) {
  if (const absl::Status free = datapath::InterfaceLock::CheckFree(options.iface()); !free.ok()) {
    return findings->Add(free);
  }
  std::vector<datapath::Check> failed;
  for (datapath::Check& check : datapath::Probe(options.datapath)) {
    if (check.ok || !check.fatal) continue;
    if (check.name == "interface.exists" && options.datapath.wait_iface) continue;
    failed.push_back(std::move(check));
  }
  const auto is_capability = [](const datapath::Check& check) { return absl::StartsWith(check.name, "capability."); };
  const bool powerless = std::any_of(failed.begin(), failed.end(), is_capability);
  for (const datapath::Check& check : failed) {
    if (!powerless || is_capability(check)) findings->Add(StatusOf(check));
  }
}

void CheckAudit(const Options& options, Findings* findings) {
  const std::string folder = audit::FolderOf(options.audit.path);
  if (options.make_audit_folder) {
    const absl::Status made = MakeDirectories(folder, 0750);
    if (!made.ok()) return findings->Add(Annotate(made, "--audit-log"));
  }
  const auto remedy = [&](const absl::Status& status) {
    if (status.ok()) return status;
    return absl::Status(status.code(), absl::StrCat("--audit-log=", options.audit.path, ": ", status.message(),
                                                    "; the folder must exist and belong to root"));
  };
  // The folder too: rotation renames in it.
  findings->Add(remedy(CheckWritable(folder)));
  findings->Add(remedy(CheckWritable(options.audit.path)));
  const absl::Status key = audit::SigningKey::Load(options.audit_key).status();
  if (!key.ok() && !absl::IsNotFound(key)) findings->Add(Annotate(key, "--audit-key"));
}

// Read again later, when the capabilities are gone.
void CheckFile(absl::string_view flag, const std::string& path, Findings* findings) {
  if (path.empty()) return;
  const absl::Status readable = CheckReadable(path);
  if (readable.ok()) return;
  findings->Add(absl::Status(readable.code(), absl::StrCat(flag, "=", path, ": ", readable.message(),
                                                           "; it must be readable for root without capabilities")));
}

void CheckFiles(const Options& options, Findings* findings) {
  const std::pair<const char*, const std::string*> files[] = {
      {"--nats-credentials", &options.nats.credentials_file}, {"--nats-password-file", &options.nats.password_file},
      {"--nats-token-file", &options.nats.token_file},        {"--nats-tls-ca", &options.nats.tls_ca_file},
      {"--nats-tls-cert", &options.nats.tls_cert_file},       {"--nats-tls-key", &options.nats.tls_key_file},
      {"--agent-token-file", &options.agent_token_file},
  };
  for (const auto& [flag, path] : files) CheckFile(flag, *path, findings);
}

}  // namespace

absl::StatusOr<LoadedPolicy> Preflight(const Options& options, const PolicySource& source) {
  Findings findings;
  absl::StatusOr<LoadedPolicy> policy = source.Load();
  findings.Add(policy.status());
  if (policy.ok()) {
    CheckFile("--policy-file", options.policy.file, &findings);
    findings.Add(CheckPolicy(*policy, options.datapath.policy_memory_bytes).status());
  }
  CheckHost(options, &findings);
  CheckAudit(options, &findings);
  CheckFiles(options, &findings);
  if (!options.nats.urls.empty()) findings.Add(Annotate(nats::Validate(options.nats), "--nats-url"));
  LATTICE_RETURN_IF_ERROR(findings.Result());
  return policy;
}

}  // namespace lattice::dp
