#include "userspace/base/status.h"

#include <gtest/gtest.h>

#include <memory>

namespace lattice {
namespace {

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError("odd");
  return value / 2;
}

absl::StatusOr<int> Quarter(int value, int* steps) {
  LATTICE_ASSIGN_OR_RETURN(const int half, Half(value));
  ++*steps;
  LATTICE_ASSIGN_OR_RETURN(const int quarter, Half(half));
  ++*steps;
  return quarter;
}

TEST(AssignOrReturn, StopsAtTheFirstError) {
  int steps = 0;
  EXPECT_EQ(*Quarter(8, &steps), 2);
  EXPECT_EQ(steps, 2);
  steps = 0;
  EXPECT_EQ(Quarter(6, &steps).status(), absl::InvalidArgumentError("odd"));
  EXPECT_EQ(steps, 1);
}

absl::StatusOr<std::unique_ptr<int>> MoveOnly() {
  LATTICE_ASSIGN_OR_RETURN(std::unique_ptr<int> value, absl::StatusOr<std::unique_ptr<int>>(std::make_unique<int>(7)));
  return value;
}

TEST(AssignOrReturn, MovesWhatCannotBeCopied) {
  EXPECT_EQ(**MoveOnly(), 7);
}

absl::Status Both(const absl::Status& first, int* calls) {
  LATTICE_RETURN_IF_ERROR((++*calls, first));
  ++*calls;
  return absl::OkStatus();
}

TEST(ReturnIfError, EvaluatesOnceAndStopsAtAnError) {
  int calls = 0;
  EXPECT_TRUE(Both(absl::OkStatus(), &calls).ok());
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(Both(absl::AbortedError("x"), &calls), absl::AbortedError("x"));
  EXPECT_EQ(calls, 3);
}

TEST(Annotate, PutsTheContextInFrontAndKeepsTheCode) {
  EXPECT_EQ(Annotate(absl::NotFoundError("no wg0"), "while attaching"), absl::NotFoundError("while attaching: no wg0"));
  EXPECT_TRUE(Annotate(absl::OkStatus(), "while attaching").ok());
}

TEST(ErrnoStatus, HasTheErrorsCodeAndText) {
  const absl::Status status = ErrnoStatus(EACCES, "opening /x");
  EXPECT_TRUE(absl::IsPermissionDenied(status));
  EXPECT_EQ(status.message(), "opening /x: Permission denied");
}

}  // namespace
}  // namespace lattice
