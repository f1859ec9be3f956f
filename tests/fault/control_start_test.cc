// Starts of latticed that must fail: exit code 3, and one clear line that names the flag or the package.
#include <sys/mount.h>

#include "absl/strings/str_cat.h"
#include "tests/fault/control_fault.h"
#include "tests/testing/command.h"
#include "tests/testing/latticed_dp.h"
#include "tests/testing/temp_dir.h"
#include "userspace/base/file.h"

namespace lattice::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ControlStartTest : public ControlFaultTest {
 protected:
  static CommandResult Run(std::vector<std::string> args) {
    Latticed other(std::move(args));
    return other.RunToItsEnd();
  }
};

TEST_F(ControlStartTest, InAFolderWhereAnotherOneRuns) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  const CommandResult second = Run({"--data-dir=" + server_->data_dir()});
  EXPECT_EQ(second.exit_code, 3) << second;
  EXPECT_THAT(second.err, HasSubstr(absl::StrCat("--data-dir=", server_->data_dir(), ": another latticed runs there")));
  EXPECT_TRUE(server_->ready());
}

TEST_F(ControlStartTest, OnAPortThatIsInUse) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  const CommandResult second = Run({"--http-addr=" + server_->address()});
  EXPECT_EQ(second.exit_code, 3) << second;
  EXPECT_THAT(second.err, AllOf(HasSubstr("--http-addr"), HasSubstr(server_->address()), HasSubstr("in use")));
}

TEST_F(ControlStartTest, WithItsNatsOnAPortThatIsInUse) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  const std::string url = server_->nats_url();
  const CommandResult second = Run({"--nats-addr=" + url.substr(url.rfind('/') + 1)});
  EXPECT_EQ(second.exit_code, 3) << second;
  EXPECT_THAT(second.err, AllOf(HasSubstr("--nats-addr"), HasSubstr("in use")));
}

TEST_F(ControlStartTest, WithoutANatsServer) {
  const TempDir dir;
  const TempDir empty;
  // Empty folders over those where it may be, for this command alone.
  const std::string script =
      absl::StrCat("mount --bind ", empty.path(), " /usr/sbin && mount --bind ", empty.path(),
                   " /usr/local/bin && PATH=", empty.path(), " exec ", BinaryPath("latticed"),
                   " --data-dir=", dir.File("data"), " --http-addr=127.0.0.1:0 --nats-addr=127.0.0.1:0");
  const CommandResult result = RunCommand({"unshare", "--mount", "sh", "-c", script}, {.timeout = absl::Seconds(30)});
  EXPECT_EQ(result.exit_code, 3) << result;
  EXPECT_THAT(result.err, HasSubstr("install the package nats-server"));
}

TEST_F(ControlStartTest, InAFolderThatCannotBeWritten) {
  const TempDir dir;
  ASSERT_EQ(::mount("tmpfs", dir.path().c_str(), "tmpfs", MS_RDONLY, nullptr), 0);
  for (const std::string& folder : {dir.path(), dir.File("new")}) {
    const CommandResult result = Run({"--data-dir=" + folder});
    EXPECT_EQ(result.exit_code, 3) << result;
    EXPECT_THAT(result.err, AllOf(HasSubstr("--data-dir=" + folder), HasSubstr("ead-only")));
  }
  EXPECT_EQ(::umount(dir.path().c_str()), 0);
  ASSERT_TRUE(WriteFileAtomically(dir.File("file"), "", 0600).ok());
  const CommandResult result = Run({"--data-dir=" + dir.File("file")});
  EXPECT_EQ(result.exit_code, 3) << result;
  EXPECT_THAT(result.err, HasSubstr("--data-dir=" + dir.File("file")));
}

TEST_F(ControlStartTest, WithADatabaseThatIsNone) {
  const TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("lattice.db"), std::string(8192, 'x'), 0600).ok());
  const CommandResult result = Run({"--database=sqlite://" + dir.File("lattice.db")});
  EXPECT_EQ(result.exit_code, 3) << result;
  EXPECT_THAT(result.err, HasSubstr(dir.File("lattice.db")));
}

TEST_F(ControlStartTest, WithAPostgresqlThatIsNotThere) {
  const CommandResult result = Run({"--database=postgresql://lattice:secret@127.0.0.1:1/lattice"});
  EXPECT_EQ(result.exit_code, 3) << result;
  EXPECT_THAT(result.err, AllOf(HasSubstr("127.0.0.1"), Not(HasSubstr("secret"))));
}

}  // namespace
}  // namespace lattice::testing
