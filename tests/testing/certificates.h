// A certificate authority of the test's own, and what it signed.
//
//   TempDir dir;
//   ASSERT_TRUE(MakeCertificates(dir.path()).ok());
//   … dir.File("ca.pem"), dir.File("server.pem"), dir.File("server.key"), dir.File("client.pem"),
//   dir.File("client.key")
//
// The server's certificate is for 127.0.0.1 only; "other.pem" is an authority that signed nothing.
#ifndef TESTS_TESTING_CERTIFICATES_H_
#define TESTS_TESTING_CERTIFICATES_H_

#include <string>

#include "absl/status/status.h"

namespace lattice::testing {

// Writes the files into `folder`, which exists. Needs the openssl command.
absl::Status MakeCertificates(const std::string& folder);

}  // namespace lattice::testing

#endif  // TESTS_TESTING_CERTIFICATES_H_
