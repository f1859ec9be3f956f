// Three nats-servers that form a cluster with JetStream, each with a folder and ports of its own.
//
//   auto cluster = NatsCluster::Start();
//   (*cluster)->server(0).Kill();
//
// It ends with this object. One thread.
#ifndef TESTS_TESTING_NATS_CLUSTER_H_
#define TESTS_TESTING_NATS_CLUSTER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/testing/nats_server.h"

namespace lattice::testing {

class NatsCluster {
 public:
  // All three listen when this returns; that JetStream has a leader takes a moment more, as after a real start.
  static absl::StatusOr<std::unique_ptr<NatsCluster>> Start();

  static constexpr size_t kServers = 3;
  NatsServer& server(size_t i) { return *servers_[i]; }
  std::vector<std::string> urls() const;

 private:
  std::vector<std::unique_ptr<NatsServer>> servers_;
};

// A TCP port of 127.0.0.1 that is free now; 0 if none.
int FreePort();

}  // namespace lattice::testing

#endif  // TESTS_TESTING_NATS_CLUSTER_H_
