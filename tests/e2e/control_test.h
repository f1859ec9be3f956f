// The ground of the tests of node and control plane together: OverlayTest, latticed in the node's namespace, and
// an enrolled agent, "agent-001".
#ifndef TESTS_E2E_CONTROL_TEST_H_
#define TESTS_E2E_CONTROL_TEST_H_

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/overlay_test.h"
#include "tests/testing/latticed.h"

namespace lattice::testing {

class ControlTest : public OverlayTest {
 protected:
  void SetUp() override {
    OverlayTest::SetUp();
    server_ = std::make_unique<Latticed>(std::vector<std::string>{}, &node());
    const absl::Status started = server_->Start();
    ASSERT_TRUE(started.ok()) << started;
    token_ = server_->EnrollToFile("agent-001");
    ASSERT_FALSE(token_.empty()) << server_->log();
  }
  void TearDown() override {
    if (HasFailure()) std::cerr << "latticed said:\n" << server_->log();
    OverlayTest::TearDown();
    server_ = nullptr;
  }
  void StartPublishing(std::vector<std::string> args) {
    args.insert(args.end(), {"--agent-name=agent-001", "--agent-token-file=" + token_,
                             "--nats-url=" + server_->nats_url(), "--flow-idle-timeout=1s"});
    StartDp(std::move(args));
  }
  // From a port of its own each: as many flows.
  void SendDatagrams(int count) {
    const SocketAddress to("10.42.0.10", 7000);
    for (int i = 0; i < count; ++i) {
      const UniqueFd fd = node().Socket(AF_INET, SOCK_DGRAM, 0);
      ASSERT_EQ(::sendto(fd.get(), "x", 1, 0, to.get(), to.length()), 1);
    }
  }
  // Until the table has as many records as the file.
  ::testing::AssertionResult AllArrive(absl::Duration deadline = absl::Seconds(30)) {
    size_t stored = 0, written = 0;
    const bool all = WaitUntil(
        [&] {
          written = dp_->Records().size();
          stored = server_->Flows().size();
          return stored >= written;
        },
        deadline);
    if (all) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "stored " << stored << " of " << written;
  }

  std::unique_ptr<Latticed> server_;
  std::string token_;
};

}  // namespace lattice::testing

#endif  // TESTS_E2E_CONTROL_TEST_H_
