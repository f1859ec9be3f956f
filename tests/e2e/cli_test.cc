// `lattice dp` beside a daemon: which interface a command is about, and what it says without one.
#include <algorithm>

#include "tests/e2e/overlay_test.h"
#include "tests/testing/temp_dir.h"
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

TEST_F(CliTest, WithoutADaemonTheHostIsCheckedAndStatusSaysWhatToDo) {
  const TempDir empty;
  const CommandResult doctor = Lattice({"doctor", "--pin-path=/sys/fs/bpf/lat-t-none"});
  EXPECT_EQ(doctor.exit_code, 0) << doctor;
  EXPECT_THAT(doctor.out, HasSubstr("kernel.bpf"));
  EXPECT_THAT(doctor.out, HasSubstr("none is named"));
  const CommandResult status = Lattice({"status", "--pin-path=" + empty.path()});
  EXPECT_EQ(status.exit_code, 1) << status;
  EXPECT_THAT(status.err, HasSubstr("no latticed-dp runs here, or it has another --pin-path; start one, or name"));
}

TEST_F(CliTest, WithoutThePrivilegeThatIsAllThatIsSaid) {
  ASSERT_NO_FATAL_FAILURE(StartDp({}));
  const auto as_nobody = [&](std::vector<std::string> words) {
    words.insert(words.begin(),
                 {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", BinaryPath("lattice"), "dp"});
    return RunCommand(node().Inside(std::move(words)));
  };
  const CommandResult status = as_nobody({"status", "--pin-path=" + dp_->pin_path()});
  EXPECT_EQ(status.exit_code, 1) << status;
  EXPECT_THAT(status.err, HasSubstr("reading " + dp_->pin_path() + " is not permitted: run as root"));
  const CommandResult doctor = as_nobody({"doctor", "--iface=wg0"});
  EXPECT_EQ(doctor.exit_code, 1) << doctor;
  EXPECT_EQ(std::count(doctor.out.begin(), doctor.out.end(), '\n'), 2) << "the head and a line: " << doctor;
  EXPECT_THAT(doctor.out, HasSubstr("run as root"));
}

TEST(CliHelp, IsAskedForByOneLetterToo) {
  for (const std::vector<std::string>& argv : {std::vector<std::string>{BinaryPath("latticed-dp"), "-h"},
                                               {BinaryPath("latticed-dp"), "--iface=wg0", "-h"},
                                               {BinaryPath("lattice"), "-h"},
                                               {BinaryPath("lattice"), "dp", "status", "-h"}}) {
    const CommandResult help = RunCommand(argv);
    EXPECT_TRUE(help.ok()) << help;
    EXPECT_THAT(help.out, HasSubstr("--")) << help;
  }
}

}  // namespace
}  // namespace lattice::testing
