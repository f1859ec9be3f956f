#include "userspace/datapath/pins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/temp_dir.h"
#include "userspace/base/file.h"
#include "userspace/datapath/bpffs.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/options.h"

namespace lattice::datapath {
namespace {

using lattice::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Pins, NamesAreTheDocumentedOnes) {
  EXPECT_EQ(PinFolder(kDefaultPinPath, "wg0"), "/sys/fs/bpf/lattice/wg0");
  EXPECT_EQ(PinFolder(kDefaultPinPath, "wg0.5"), "/sys/fs/bpf/lattice/wg0:5") << "bpffs takes no dot";
  EXPECT_EQ(InterfaceOfFolder("wg0:5"), "wg0.5");
  EXPECT_EQ(LinkPinName("tc_egress"), "link_tc_egress");
  EXPECT_EQ(CgroupLinkPinName(2, "ingress"), "link_cgroup2_ingress");
  EXPECT_TRUE(IsLinkPin("link_tc_egress"));
  EXPECT_FALSE(IsLinkPin("flows4"));
}

TEST(Pins, AFolderThatIsNotThereIsEmpty) {
  TempDir dir;
  EXPECT_THAT(ListPins(dir.File("none")).value(), IsEmpty());
  EXPECT_TRUE(RemovePin(dir.File("none")).ok());
  EXPECT_TRUE(RemovePinFolder(dir.File("none")).ok());
}

TEST(Pins, RemovingAFolderTakesAllItHolds) {
  TempDir dir;
  const std::string folder = dir.File("wg0");
  ASSERT_TRUE(MakeDirectories(folder, 0700).ok());
  for (const char* name : {"/b", "/a"}) ASSERT_TRUE(WriteFileAtomically(folder + name, "", 0600).ok());
  EXPECT_THAT(ListPins(folder).value(), ElementsAre("a", "b"));
  EXPECT_TRUE(RemovePinFolder(folder).ok());
  EXPECT_THAT(ListPins(dir.path()).value(), IsEmpty());
}

TEST(Pins, TheRemedyIsTheCommandThatFindsThesePins) {
  EXPECT_THAT(DetachRemedy("wg0", kDefaultPinPath), HasSubstr("lattice dp detach --iface wg0`"));
  EXPECT_THAT(DetachRemedy("wg0", kDefaultPinPath), Not(HasSubstr("--pin-path")));
  EXPECT_THAT(DetachRemedy("wg0", "/sys/fs/bpf/x"), HasSubstr("--iface wg0 --pin-path /sys/fs/bpf/x`"));
}

TEST(KernelObject, AReadOnlyFileSystemIsTheUnitsMatter) {
  const absl::Status status = BpfError(EROFS, "pinning /sys/fs/bpf/x");
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("ReadWritePaths="));
}

TEST(Bpffs, AnOrdinaryFileSystemIsRefusedWithTheMountCommand) {
  TempDir dir;
  EXPECT_FALSE(IsOnBpffs(dir.File("deep/below")).value());
  const absl::Status status = MountBpffsIfMissing(dir.File("pins"));
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("mount -t bpf bpf"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(dir.File("pins")));
}

}  // namespace
}  // namespace lattice::datapath
