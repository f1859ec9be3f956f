#include "userspace/base/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace lattice {
namespace {

int OpenNull() {
  return open("/dev/null", O_RDONLY | O_CLOEXEC);
}
bool IsOpen(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

TEST(UniqueFd, ClosesAtTheEndOfItsScope) {
  int raw = -1;
  {
    const UniqueFd fd(OpenNull());
    raw = fd.get();
    EXPECT_TRUE(fd.ok());
    EXPECT_TRUE(IsOpen(raw));
  }
  EXPECT_FALSE(IsOpen(raw));
}

TEST(UniqueFd, HandsOverByMoveAndClosesWhatItHeld) {
  UniqueFd first(OpenNull()), second(OpenNull());
  const int first_raw = first.get(), second_raw = second.get();
  second = std::move(first);
  EXPECT_FALSE(IsOpen(second_raw));
  EXPECT_EQ(second.get(), first_raw);
  EXPECT_FALSE(first.ok());  // NOLINT(bugprone-use-after-move): a moved-from one is empty
  UniqueFd third(std::move(second));
  EXPECT_EQ(third.get(), first_raw);
  EXPECT_TRUE(IsOpen(first_raw));
}

TEST(UniqueFd, SurvivesAMoveToItself) {
  UniqueFd fd(OpenNull());
  UniqueFd& same = fd;
  fd = std::move(same);
  EXPECT_TRUE(fd.ok() && IsOpen(fd.get()));
}

TEST(UniqueFd, ReleasesWithoutClosing) {
  UniqueFd fd(OpenNull());
  const int raw = fd.release();
  EXPECT_FALSE(fd.ok());
  fd.reset();
  EXPECT_TRUE(IsOpen(raw));
  close(raw);
}

}  // namespace
}  // namespace lattice
