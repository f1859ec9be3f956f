// Where a server listens, and what it says when it cannot.
#include "userspace/http/listen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "absl/strings/str_cat.h"
#include "tests/testing/temp_dir.h"
#include "userspace/base/file.h"

namespace lattice::http {
namespace {

using ::lattice::testing::TempDir;
using ::testing::HasSubstr;
using ::testing::Not;

mode_t ModeOf(const std::string& path) {
  struct stat status;
  return lstat(path.c_str(), &status) == 0 ? status.st_mode : 0;
}

// A socket file whose process is gone.
void MakeDeadSocket(const std::string& path) {
  sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(name.sun_path, sizeof(name.sun_path) - 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0) << strerror(errno);
}

struct AddressCase {
  const char* name;
  const char* address;
  const char* host = nullptr;  // nullptr: refused
  const char* port = nullptr;
};

class SplitHostPortOf : public ::testing::TestWithParam<AddressCase> {};

TEST_P(SplitHostPortOf, TakesAnAddressApartOrRefusesIt) {
  const AddressCase& c = GetParam();
  std::string host, port;
  ASSERT_EQ(SplitHostPort(c.address, &host, &port), c.host != nullptr);
  if (c.host == nullptr) return;
  EXPECT_EQ(host, c.host);
  EXPECT_EQ(port, c.port);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, SplitHostPortOf,
    ::testing::Values(
        AddressCase{.name = "V4", .address = "127.0.0.1:9478", .host = "127.0.0.1", .port = "9478"},
        AddressCase{.name = "Name", .address = "localhost:0", .host = "localhost", .port = "0"},
        AddressCase{.name = "V6", .address = "[::1]:65535", .host = "::1", .port = "65535"},
        AddressCase{.name = "V6Zone", .address = "[fe80::1%lo]:1", .host = "fe80::1%lo", .port = "1"},
        AddressCase{.name = "ZerosBefore", .address = "h:00080", .host = "h", .port = "80"},
        AddressCase{.name = "Nothing", .address = ""}, AddressCase{.name = "NoPort", .address = "127.0.0.1"},
        AddressCase{.name = "NoHost", .address = ":9478"}, AddressCase{.name = "EmptyPort", .address = "h:"},
        AddressCase{.name = "PortByName", .address = "h:http"}, AddressCase{.name = "NegativePort", .address = "h:-1"},
        AddressCase{.name = "PortAboveSixteenBits", .address = "h:65536"},
        AddressCase{.name = "PortAboveItsType", .address = "h:99999999999"},
        AddressCase{.name = "V6WithoutBrackets", .address = "::1:80"},
        AddressCase{.name = "EmptyBrackets", .address = "[]:80"},
        AddressCase{.name = "NoClosingBracket", .address = "[::1:80"},
        AddressCase{.name = "V6WithoutPort", .address = "[::1]"},
        AddressCase{.name = "BlankInThePort", .address = "h:8 0"}),
    [](const auto& c) { return c.param.name; });

TEST(Listener, TakesAFreePortOfBothFamilies) {
  for (const char* address : {"127.0.0.1:0", "[::1]:0", "localhost:0"}) {
    const auto listener = Listener::Open(address, "--metrics-addr");
    ASSERT_TRUE(listener.ok()) << listener.status();
    EXPECT_THAT(listener->address(), Not(::testing::EndsWith(":0")));
    EXPECT_FALSE(listener->is_unix());
  }
}

TEST(Listener, NamesFlagAddressAndRemedyWhenThePortIsInUse) {
  const auto first = Listener::Open("127.0.0.1:0", "--metrics-addr");
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = Listener::Open(first->address(), "--metrics-addr");
  ASSERT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  const std::string text(second.status().message());
  EXPECT_THAT(text, HasSubstr(absl::StrCat("--metrics-addr=", first->address(), ": the port is in use")));
  EXPECT_THAT(text, HasSubstr("give another port"));
}

struct BadAddress {
  const char* address;
  const char* want;
};

TEST(Listener, RefusesWhatIsNoAddressOfThisHost) {
  for (const BadAddress& c : {BadAddress{"9478", "expected HOST:PORT"}, BadAddress{"", "--metrics-addr=: expected"},
                              BadAddress{"no.such.host.invalid:1", "--metrics-addr=no.such.host.invalid:1: "}}) {
    const auto listener = Listener::Open(c.address, "--metrics-addr");
    EXPECT_TRUE(absl::IsInvalidArgument(listener.status())) << listener.status();
    EXPECT_THAT(std::string(listener.status().message()), HasSubstr(c.want));
  }
}

// An address that its interface brings later: the environment, so that a service manager tries again.
TEST(Listener, AnAddressThatIsNotThereYetIsNoErrorOfTheFlag) {
  const auto listener = Listener::Open("192.0.2.1:9478", "--metrics-addr");
  EXPECT_TRUE(absl::IsFailedPrecondition(listener.status())) << listener.status();
  EXPECT_THAT(std::string(listener.status().message()), HasSubstr("not an address of this host, or not yet"));
}

TEST(UnixListener, IsForItsOwnerOnlyAndGoesWithTheServer) {
  TempDir dir;
  const mode_t before = umask(0);
  {
    const auto listener = Listener::Open(dir.File("s"), "--socket");
    ASSERT_TRUE(listener.ok()) << listener.status();
    EXPECT_TRUE(listener->is_unix());
    EXPECT_EQ(ModeOf(dir.File("s")), S_IFSOCK | 0600);
  }
  umask(before);
  EXPECT_EQ(ModeOf(dir.File("s")), 0u);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(UnixListener, ReplacesTheSocketOfADeadProcess) {
  TempDir dir;
  MakeDeadSocket(dir.File("s"));
  const auto listener = Listener::Open(dir.File("s"), "--socket");
  EXPECT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(ModeOf(dir.File("s")), S_IFSOCK | 0600);
}

TEST(UnixListener, RefusesALiveSocketAndLeavesIt) {
  TempDir dir;
  const auto first = Listener::Open(dir.File("s"), "--socket");
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = Listener::Open(dir.File("s"), "--socket");
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another process listens there"));
  EXPECT_EQ(ModeOf(dir.File("s")), S_IFSOCK | 0600);
}

TEST(UnixListener, RefusesWhatIsNotASocketAndLeavesIt) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("s"), "precious", 0644).ok());
  const auto listener = Listener::Open(dir.File("s"), "--socket");
  EXPECT_THAT(std::string(listener.status().message()), HasSubstr("is not a socket"));
  EXPECT_EQ(*ReadFile(dir.File("s")), "precious");
}

TEST(UnixListener, RefusesAPathThatIsTooLongOrInNoFolder) {
  const auto too_long = Listener::Open(absl::StrCat("/tmp/", std::string(110, 'x')), "--socket");
  EXPECT_THAT(std::string(too_long.status().message()), HasSubstr("at most 107"));
  const auto no_folder = Listener::Open("/no/such/folder/s", "--socket");
  EXPECT_TRUE(absl::IsNotFound(no_folder.status())) << no_folder.status();
  EXPECT_THAT(std::string(no_folder.status().message()), HasSubstr("--socket=/no/such/folder/s"));
}

TEST(UnixListener, DoesNotRemoveASocketThatTookItsPlace) {
  TempDir dir;
  {
    const auto listener = Listener::Open(dir.File("s"), "--socket");
    ASSERT_TRUE(listener.ok()) << listener.status();
    ASSERT_EQ(unlink(dir.File("s").c_str()), 0);
    MakeDeadSocket(dir.File("s"));
  }
  EXPECT_NE(ModeOf(dir.File("s")), 0u);
}

}  // namespace
}  // namespace lattice::http
