#include "tests/testing/certificates.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/command.h"
#include "userspace/base/status.h"

namespace lattice::testing {
namespace {

absl::Status OpenSsl(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "openssl");
  return RunCommand(arguments).status();
}

// `name`.pem and `name`.key; signed by ca.pem with the extension `extension`, or by itself without one.
absl::Status Make(const std::string& folder, const std::string& name, const std::string& extension) {
  const std::string base = absl::StrCat(folder, "/", name);
  std::vector<std::string> arguments = {"req",
                                        "-x509",
                                        "-newkey",
                                        "ec",
                                        "-pkeyopt",
                                        "ec_paramgen_curve:P-256",
                                        "-noenc",
                                        "-days",
                                        "2",
                                        "-subj",
                                        absl::StrCat("/CN=", name),
                                        "-keyout",
                                        base + ".key",
                                        "-out",
                                        base + ".pem"};
  if (!extension.empty()) {
    arguments.insert(arguments.end(), {"-CA", folder + "/ca.pem", "-CAkey", folder + "/ca.key", "-addext", extension,
                                       "-addext", "basicConstraints=critical,CA:FALSE"});
  }
  return OpenSsl(std::move(arguments));
}

}  // namespace

absl::Status MakeCertificates(const std::string& folder) {
  LATTICE_RETURN_IF_ERROR(Make(folder, "ca", ""));
  LATTICE_RETURN_IF_ERROR(Make(folder, "other", ""));
  LATTICE_RETURN_IF_ERROR(Make(folder, "server", "subjectAltName=IP:127.0.0.1"));
  return Make(folder, "client", "extendedKeyUsage=clientAuth");
}

}  // namespace lattice::testing
