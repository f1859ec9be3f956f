#include "userspace/datapath/libbpf_log.h"

#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdarg>

#include "absl/strings/str_cat.h"

namespace lattice::datapath {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

// As libbpf does it.
void Print(const char* format, ...) {
  const libbpf_print_fn_t print = libbpf_set_print(nullptr);
  libbpf_set_print(print);
  va_list args;
  va_start(args, format);
  print(LIBBPF_WARN, format, args);
  va_end(args);
}

TEST(LibbpfLog, AVerifiersLongLogKeepsItsEndWhichTellsTheReason) {
  LibbpfLog log;
  std::string instructions;
  for (int i = 0; i < 20'000; ++i) absl::StrAppend(&instructions, i, ": (bf) r1 = r6\n");
  Print("libbpf: prog 'tc_egress': -- BEGIN PROG LOAD LOG --\n%sinvalid access to packet\n", instructions.c_str());
  EXPECT_THAT(log.LastLines(), EndsWith("invalid access to packet"));
  EXPECT_THAT(log.LastLines(), HasSubstr("19999: "));
  EXPECT_THAT(log.LastLines(), Not(HasSubstr("BEGIN")));
  EXPECT_TRUE(log.VerifierSpoke()) << "far in front of the last lines";
}

TEST(LibbpfLog, OtherMessagesAreNotTheVerifiers) {
  LibbpfLog log;
  Print("libbpf: map '%s': failed to create: %s(%d)\n", "flows4", "Operation not permitted", -1);
  EXPECT_THAT(log.LastLines(), HasSubstr("flows4"));
  EXPECT_FALSE(log.VerifierSpoke());
}

}  // namespace
}  // namespace lattice::datapath
