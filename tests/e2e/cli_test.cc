// `lattice dp` beside a daemon: which interface a command is about, and what it says without one.
#include "tests/e2e/overlay_test.h"
#include "userspace/base/file.h"

namespace lattice::testing {
namespace {

using ::testing::HasSubstr;

class CliTest : public OverlayTest {
 protected:
  CommandResult Lattice(std::vector<std::string> words) {
    words.insert(words.begin(), {BinaryPath("lattice"), "dp"});
    return RunCommand(node().Inside(std::move(words)));
  }
  std::string Socket() { return "--admin-socket=" + dp_->admin_socket(); }
};

TEST_F(CliTest, ADaemonRefusesWhoMeansAnotherInterface) {
  ASSERT_NO_FATAL_FAILURE(StartDp({}));
  const std::string policy = dp_->File("open.policy");
  ASSERT_TRUE(WriteFileAtomically(policy, "0.0.0.0/0\n", 0600).ok());
  const std::vector<std::vector<std::string>> commands = {{"status"},
                                                          {"policy", "show"},
                                                          {"policy", "check", policy},
                                                          {"policy", "apply", policy},
                                                          {"flows"},
                                                          {"flows", "--follow"},
                                                          {"top", "--once"},
                                                          {"detach"},
                                                          {"detach", "--force"}};
  for (std::vector<std::string> command : commands) {
    command.insert(command.end(), {"--iface=eth9", Socket()});
    const CommandResult refused = Lattice(std::move(command));
    EXPECT_EQ(refused.exit_code, 2) << refused;
    EXPECT_THAT(refused.err, HasSubstr(dp_->admin_socket() + " belongs to wg0, not to eth9")) << refused;
  }
  const CommandResult doctor = Lattice({"doctor", "--iface=eth9", Socket()});
  EXPECT_EQ(doctor.exit_code, 1);
  EXPECT_THAT(doctor.out, HasSubstr("belongs to wg0, not to eth9"));

  const CommandResult status = dp_->Cli({"status"});
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(status.out, HasSubstr("generation 1,")) << "nothing was applied";
}

TEST_F(CliTest, TheDaemonAtASocketTellsItsInterface) {
  ASSERT_NO_FATAL_FAILURE(StartDp({}));
  const CommandResult status = Lattice({"status", Socket()});
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(status.out, HasSubstr("wg0  enforcing"));
  const CommandResult nobody = Lattice({"detach", "--admin-socket=" + dp_->File("nobody")});
  EXPECT_EQ(nobody.exit_code, 1) << nobody;
  EXPECT_THAT(nobody.err, HasSubstr("nobody listens at " + dp_->File("nobody")));
  const CommandResult detached = Lattice({"detach", Socket()});
  EXPECT_TRUE(detached.ok()) << detached;
  EXPECT_THAT(detached.out, HasSubstr("nothing of Lattice is left on wg0"));
}

}  // namespace
}  // namespace lattice::testing
