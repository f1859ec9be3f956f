// What the process may still do after DropPrivileges and RestrictSystemCalls, tried in a child of
// each test, since neither can be taken back.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/testing/temp_dir.h"
#include "userspace/base/file.h"
#include "userspace/dp/privileges.h"
#include "userspace/dp/seccomp.h"

namespace lattice::dp {
namespace {

using ::testing::ExitedWithCode;
using ::testing::HasSubstr;
using ::testing::KilledBySignal;

// In the child: prints and ends with 1.
void Fail(const std::string& what) {
  fprintf(stderr, "%s: %s\n", what.c_str(), strerror(errno));
  _exit(1);
}

void Expect(bool ok, const char* what) {
  if (!ok) Fail(what);
}

// Runs `work` confined as the daemon is, in a child that ends with 0.
[[noreturn]] void Confined(const std::function<void()>& work) {
  if (const absl::Status dropped = DropPrivileges(); !dropped.ok()) Fail(dropped.ToString());
  if (const absl::Status set = RestrictSystemCalls(SeccompMode::kEnforce); !set.ok()) Fail(set.ToString());
  work();
  _exit(0);
}

std::string StatusLine(const char* key) {
  const auto status = ReadFile("/proc/thread-self/status");
  const size_t at = status.ok() ? status->find(key) : std::string::npos;
  if (at == std::string::npos) return "";
  return status->substr(at, status->find('\n', at) - at);
}

class ConfinementTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "dropping capabilities needs them: run as root";
  }
};

TEST_F(ConfinementTest, OnlyBpfAndNetAdminStayInEverySet) {
  EXPECT_EXIT(Confined([] {
                // CAP_NET_ADMIN is 12, CAP_BPF is 39.
                for (const char* key : {"CapPrm:", "CapEff:", "CapBnd:"}) {
                  if (StatusLine(key) != absl::StrCat(key, "\t0000008000001000")) Fail(StatusLine(key));
                }
                for (const char* key : {"CapInh:", "CapAmb:"}) {
                  if (StatusLine(key) != absl::StrCat(key, "\t0000000000000000")) Fail(StatusLine(key));
                }
                Expect(StatusLine("NoNewPrivs:") == "NoNewPrivs:\t1", "no_new_privs");
                Expect(StatusLine("Seccomp:") == "Seccomp:\t2", "seccomp");
              }),
              ExitedWithCode(0), "");
}

TEST_F(ConfinementTest, DroppingIsRefusedWhileAnotherThreadRuns) {
  EXPECT_EXIT(
      {
        std::thread other([] { pause(); });
        const absl::Status dropped = DropPrivileges();
        fprintf(stderr, "%s\n", dropped.ToString().c_str());
        _exit(absl::IsFailedPrecondition(dropped) ? 0 : 1);
      },
      ExitedWithCode(0), "2 threads");
}

TEST_F(ConfinementTest, FilesThreadsSocketsAndNamesWorkOn) {
  testing::TempDir dir;
  EXPECT_EXIT(Confined([&] {
                const std::string path = dir.File("a");
                Expect(WriteFileAtomically(path, "text", 0640).ok(), "write, fsync, rename");
                Expect(ReadFile(path).ok() && unlink(path.c_str()) == 0, "read, unlink");
                int value = 0;
                std::thread([&] { value = 7; }).join();
                Expect(value == 7, "thread");
                char random[16];
                Expect(getrandom(random, sizeof(random), 0) == sizeof(random), "getrandom");
                for (const int family : {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK}) {
                  Expect(socket(family, family == AF_NETLINK ? SOCK_RAW : SOCK_STREAM, 0) >= 0, "socket");
                }
                addrinfo* found = nullptr;
                Expect(getaddrinfo("localhost", "4222", nullptr, &found) == 0, "getaddrinfo");
              }),
              ExitedWithCode(0), "");
}

TEST_F(ConfinementTest, MapsCanBeMadeAndProgramsCanNotBeLoaded) {
  EXPECT_EXIT(Confined([] {
                bpf_attr attr = {};
                attr.map_type = BPF_MAP_TYPE_ARRAY;
                attr.key_size = 4;
                attr.value_size = 8;
                attr.max_entries = 1;
                Expect(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)) >= 0, "map");
                Expect(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)) < 0 && errno == EPERM, "program");
              }),
              ExitedWithCode(0), "");
}

TEST_F(ConfinementTest, OtherSocketsProcessesAndNamespacesAreRefused) {
  EXPECT_EXIT(Confined([] {
                Expect(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == EPERM, "packet socket");
                Expect(socket(AF_ALG, SOCK_SEQPACKET, 0) < 0 && errno == EPERM, "crypto socket");
                Expect(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr) < 0 && errno == EPERM, "fork");
                Expect(syscall(SYS_clone3, nullptr, 0) < 0 && errno == ENOSYS, "clone3, so that glibc takes clone");
                Expect(chown("/", 0, 0) < 0 && errno == EPERM, "chown");
              }),
              ExitedWithCode(0), "");
}

// Each of these ends the process; enforcement stays by the pins.
TEST_F(ConfinementTest, WhatOnlyAnIntruderCallsKillsTheProcess) {
  EXPECT_EXIT(Confined([] { execl("/bin/true", "true", nullptr); }), KilledBySignal(SIGSYS), "");
  EXPECT_EXIT(Confined([] { syscall(SYS_ptrace, 0, 0, 0, 0); }), KilledBySignal(SIGSYS), "");
  EXPECT_EXIT(Confined([] { unshare(CLONE_NEWUSER); }), KilledBySignal(SIGSYS), "");
  EXPECT_EXIT(Confined([] { syscall(SYS_io_uring_setup, 0, nullptr); }), KilledBySignal(SIGSYS), "");
}

TEST_F(ConfinementTest, OffChangesNothing) {
  EXPECT_EXIT(
      {
        const absl::Status off = RestrictSystemCalls(SeccompMode::kOff);
        _exit(off.ok() && StatusLine("Seccomp:") == "Seccomp:\t0" && socket(AF_PACKET, SOCK_RAW, 0) >= 0 ? 0 : 1);
      },
      ExitedWithCode(0), "");
}

TEST_F(ConfinementTest, AFolderOfAnotherUserIsNotWritableWithoutDacOverride) {
  testing::TempDir dir;
  EXPECT_TRUE(CheckWritable(dir.File("new")).ok());
  ASSERT_EQ(chmod(dir.path().c_str(), 0700), 0);
  ASSERT_EQ(chown(dir.path().c_str(), 65534, 65534), 0);
  const absl::Status refused = CheckWritable(dir.File("new"));
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(refused.message(), HasSubstr(dir.path()));
  EXPECT_EQ(access(dir.File("new").c_str(), F_OK), -1);
  EXPECT_EQ(errno, ENOENT) << "the capabilities are back: the folder can be searched";
  ASSERT_EQ(chown(dir.path().c_str(), 0, 0), 0);
}

TEST(Seccomp, KnowsItsThreeModes) {
  EXPECT_EQ(*ParseSeccompMode("enforce"), SeccompMode::kEnforce);
  EXPECT_EQ(*ParseSeccompMode("log"), SeccompMode::kLog);
  EXPECT_EQ(*ParseSeccompMode("off"), SeccompMode::kOff);
  EXPECT_FALSE(ParseSeccompMode("").ok());
}

}  // namespace
}  // namespace lattice::dp
