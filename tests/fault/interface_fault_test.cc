// The interface goes and comes back, as `wg-quick down` and `up` do it: tcx links die with the device.
#include <filesystem>

#include "tests/fault/fault_test.h"
#include "tests/testing/tcx_chain.h"

namespace lattice::testing {
namespace {

using InterfaceFaultTest = FaultTest;

TEST_F(InterfaceFaultTest, TheProgramsComeBackWithTheDeviceAndTheMetricTellsTheTruthMeanwhile) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.9:53"}));
  Send("192.0.2.9", 1000, 53, 1);
  EXPECT_EQ(Enforcing(), 2);
  for (int round = 0; round < 3; ++round) {
    tun_ = nullptr;
    EXPECT_TRUE(WaitUntil([&] { return Enforcing() == 0; }));
    EXPECT_TRUE(dp_->Scrape().Has("lattice_dp_enforcing", {{"iface", "wg0"}})) << "0, not absent";
    EXPECT_NE(RunCommand(ns_->Inside({"curl", "-sSf", "--max-time", "5", "http://127.0.0.1:9478/readyz"})).exit_code,
              0);
    MakeDevice();
    ASSERT_TRUE(WaitUntil([&] { return Enforcing() == 2; })) << dp_->Cli({"status"});
    TunCounter out(*tun_, [](absl::string_view packet) { return IsFor(packet, "192.0.2.9"); });
    Send("192.0.2.9", 2000, 53, 2);
    EXPECT_TRUE(WaitUntil([&] { return out.count() == 1; }));
    EXPECT_TRUE(dp_->running());
  }
  ASSERT_EQ(dp_->Stop(), 0) << dp_->log();
}

TEST_F(InterfaceFaultTest, WaitIfaceStartsFirstAndAttachesWhenTheDeviceComes) {
  tun_ = nullptr;
  ASSERT_TRUE(WaitUntil([&] { return !RunCommand({"ip", "-n", ns_->name(), "link", "show", "wg0"}).ok(); }));
  ASSERT_NO_FATAL_FAILURE(StartDp({"--wait-iface", "--egress-allow=192.0.2.9:53"}));
  EXPECT_EQ(Enforcing(), 0);
  MakeDevice();
  ASSERT_TRUE(WaitUntil([&] { return Enforcing() == 2; }));
  TunCounter out(*tun_, [](absl::string_view packet) { return IsFor(packet, "192.0.2.9"); });
  Send("192.0.2.9", 1000, 53, 2);
  EXPECT_TRUE(WaitUntil([&] { return out.count() == 1; }));
}

TEST_F(InterfaceFaultTest, PinsThatSomebodyRemovesAreMissedAndMadeAgain) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.9:53"}));
  const std::vector<std::string> pins = FolderEntries(dp_->pin_folder());
  std::filesystem::remove_all(dp_->pin_folder());
  EXPECT_TRUE(dp_->WaitForLog("somebody removed pins")) << dp_->log();
  EXPECT_THAT(FolderEntries(dp_->pin_folder()), ::testing::UnorderedElementsAreArray(pins));
  // Once more, and no check before the end.
  std::filesystem::remove_all(dp_->pin_folder());
  ASSERT_EQ(dp_->Stop(), 0) << dp_->log();
  EXPECT_THAT(dp_->log(), ::testing::HasSubstr("stays enforced by the pins"));
  auto programs = TcxPrograms(*ns_, "wg0", TcxHook::kEgress);
  ASSERT_TRUE(programs.ok()) << programs.status();
  EXPECT_EQ(programs->size(), 1u);
}

TEST_F(InterfaceFaultTest, ADeviceMadeAnewWhileTheDaemonIsDeadIsTakenOverByTheNext) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.9:53"}));
  dp_->Kill();
  tun_ = nullptr;
  MakeDevice();
  const absl::Status started = dp_->Start();
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_EQ(Enforcing(), 2);
  auto programs = TcxPrograms(*ns_, "wg0", TcxHook::kEgress);
  ASSERT_TRUE(programs.ok()) << programs.status();
  EXPECT_EQ(programs->size(), 1u);
}

}  // namespace
}  // namespace lattice::testing
