#include "userspace/base/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "tests/testing/temp_dir.h"
#include "userspace/base/unique_fd.h"

namespace lattice {
namespace {

using ::lattice::testing::TempDir;
using ::testing::HasSubstr;

mode_t PermissionsOf(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
}

size_t FilesIn(const std::string& folder) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

TEST(ReadFile, GivesAllBytes) {
  TempDir dir;
  const std::string content = std::string(100'000, 'x') + std::string("\0\n", 2);
  ASSERT_TRUE(WriteFileAtomically(dir.File("f"), content, 0600).ok());
  EXPECT_EQ(*ReadFile(dir.File("f")), content);
  EXPECT_FALSE(ReadFile("/proc/self/status")->empty());  // its size is 0
}

TEST(ReadFile, NamesThePathInItsErrors) {
  TempDir dir;
  const absl::Status none = ReadFile(dir.File("none")).status();
  EXPECT_TRUE(absl::IsNotFound(none)) << none;
  EXPECT_THAT(std::string(none.message()), HasSubstr(dir.File("none")));
  const absl::Status folder = ReadFile(dir.path()).status();
  EXPECT_THAT(std::string(folder.message()), HasSubstr("reading " + dir.path()));
}

TEST(WriteFileAtomically, WritesWithModeAndLeavesNothingElse) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("f"), "one", 0600).ok());
  EXPECT_EQ(PermissionsOf(dir.File("f")), 0600u);
  ASSERT_TRUE(WriteFileAtomically(dir.File("f"), "", 0640).ok());
  EXPECT_EQ(*ReadFile(dir.File("f")), "");
  EXPECT_EQ(PermissionsOf(dir.File("f")), 0640u);
  EXPECT_EQ(FilesIn(dir.path()), 1u);
}

TEST(WriteFileAtomically, TakesAwayWhatAKilledOneLeft) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("f.tmp"), "the half of something longer", 0644).ok());
  ASSERT_TRUE(WriteFileAtomically(dir.File("f"), "new", 0600).ok());
  EXPECT_EQ(*ReadFile(dir.File("f")), "new");
  EXPECT_EQ(PermissionsOf(dir.File("f")), 0600u);
  EXPECT_EQ(FilesIn(dir.path()), 1u);
}

TEST(WriteFileAtomically, ReplacesAndNeverTruncates) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("f"), "the old content", 0600).ok());
  // A reader that has the old file open goes on reading it.
  const UniqueFd reader(open(dir.File("f").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(WriteFileAtomically(dir.File("f"), "new", 0600).ok());
  char buffer[64] = {};
  EXPECT_EQ(read(reader.get(), buffer, sizeof(buffer)), 15);
  EXPECT_STREQ(buffer, "the old content");
  EXPECT_EQ(*ReadFile(dir.File("f")), "new");
}

TEST(WriteFileAtomically, KeepsTheOldFileWhenTheNewOneDoesNotFit) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("f"), "old", 0600).ok());
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {.rlim_cur = 10, .rlim_max = before.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = WriteFileAtomically(dir.File("f"), std::string(1000, 'x'), 0600);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, SIG_DFL);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(dir.File("f")));
  EXPECT_EQ(*ReadFile(dir.File("f")), "old");
  EXPECT_EQ(FilesIn(dir.path()), 1u);
}

TEST(WriteFileAtomically, FailsWhereTheTargetIsAFolderOrInNone) {
  TempDir dir;
  ASSERT_TRUE(MakeDirectories(dir.File("folder"), 0700).ok());
  EXPECT_FALSE(WriteFileAtomically(dir.File("folder"), "x", 0600).ok());
  EXPECT_EQ(FilesIn(dir.path()), 1u);
  const absl::Status none = WriteFileAtomically(dir.File("none/f"), "x", 0600);
  EXPECT_TRUE(absl::IsNotFound(none)) << none;
  EXPECT_THAT(std::string(none.message()), HasSubstr(dir.File("none/f")));
}

TEST(WriteAll, WritesMoreThanAPipeTakesAtOnce) {
  int pipes[2];
  ASSERT_EQ(pipe2(pipes, O_CLOEXEC), 0);
  const UniqueFd read_end(pipes[0]);
  UniqueFd write_end(pipes[1]);
  const std::string data(1 << 20, 'x');  // a pipe holds 64 KiB
  size_t got = 0;
  std::thread reader([&] {
    char buffer[4096];
    ssize_t n;
    while ((n = read(read_end.get(), buffer, sizeof(buffer))) > 0) got += static_cast<size_t>(n);
  });
  EXPECT_TRUE(WriteAll(write_end.get(), data).ok());
  write_end.reset();
  reader.join();
  EXPECT_EQ(got, data.size());
}

TEST(WriteAll, TellsOfAFullDisk) {
  const UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  const absl::Status status = WriteAll(full.get(), "x");
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(WriteAll(full.get(), "").ok());
}

TEST(MakeDirectories, MakesTheWholePathAndKeepsWhatIsThere) {
  TempDir dir;
  ASSERT_TRUE(MakeDirectories(dir.File("a/b/c"), 0700).ok());
  EXPECT_EQ(PermissionsOf(dir.File("a/b")), 0700u);
  ASSERT_TRUE(MakeDirectories(dir.File("a/b//c/"), 0755).ok());
  EXPECT_EQ(PermissionsOf(dir.File("a/b/c")), 0700u);
  EXPECT_TRUE(MakeDirectories("/", 0755).ok());
}

TEST(MakeDirectories, FailsWhereAFileIsInTheWay) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("file"), "", 0600).ok());
  for (const char* path : {"file", "file/sub"}) {
    const absl::Status status = MakeDirectories(dir.File(path), 0755);
    EXPECT_FALSE(status.ok()) << path;
    EXPECT_THAT(std::string(status.message()), HasSubstr(dir.File("file")));
  }
}

TEST(ReadFile, RefusesWhatWouldNeverEnd) {
  TempDir dir;
  ASSERT_EQ(mkfifo(dir.File("fifo").c_str(), 0600), 0);
  for (const std::string& path : {dir.File("fifo"), std::string("/dev/zero")}) {
    const absl::StatusOr<std::string> read = ReadFile(path);
    EXPECT_EQ(read.status().code(), absl::StatusCode::kFailedPrecondition) << read.status();
    EXPECT_THAT(read.status().message(), HasSubstr(path));
  }
}

TEST(ReadFile, TakesNoMoreThanItMay) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("file"), "12345", 0600).ok());
  EXPECT_EQ(ReadFile(dir.File("file"), 5).value(), "12345");
  EXPECT_EQ(ReadFile(dir.File("file"), 4).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace lattice
