// A plain connection of a test to a NATS server, by the library itself.
#ifndef TESTS_TESTING_NATS_CLIENT_H_
#define TESTS_TESTING_NATS_CLIENT_H_

#include <nats/nats.h>

#include <string>

namespace lattice::testing {

// It reconnects by itself. `url` may carry user:password@ or token@; with `tls_ca_file` it speaks TLS.
natsStatus ConnectNatsClient(const std::string& url, const std::string& tls_ca_file, natsConnection** connection);

}  // namespace lattice::testing

#endif  // TESTS_TESTING_NATS_CLIENT_H_
