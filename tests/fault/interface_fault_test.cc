// The interface goes and comes back, as `wg-quick down` and `up` do it: tcx links die with the device.
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/fault/fault_test.h"
#include "tests/testing/tcx_chain.h"
#include "tests/testing/temp_dir.h"
#include "userspace/base/file.h"

namespace lattice::testing {
namespace {

using InterfaceFaultTest = FaultTest;

// More rules than are possible.
std::string TooLarge() {
  std::string text;
  for (int i = 0; i < 140'000; ++i) {
    absl::StrAppend(&text, 11 + i % 100, ".", i / 100 % 256, ".", i / 25600, ".", i % 7, "/32\n");
  }
  return text;
}

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
  // The stream tells of each time: nothing may have crossed while there was no device, but nobody knows
  // what did between its coming and ours.
  const auto gaps = dp_->Records([](const AuditRecord& r) { return r["stage"] == "unenforced"; });
  EXPECT_EQ(gaps.size(), 3u);
  ASSERT_EQ(dp_->Stop(), 0) << dp_->log();
}

TEST_F(InterfaceFaultTest, WaitIfaceStartsFirstAndAttachesWhenTheDeviceComes) {
  tun_ = nullptr;
  ASSERT_TRUE(WaitUntil([&] { return !RunCommand({"ip", "-n", ns_->name(), "link", "show", "wg0"}).ok(); }));
  ASSERT_NO_FATAL_FAILURE(StartDp({"--wait-iface", "--egress-allow=192.0.2.9:53"}));
  EXPECT_EQ(Enforcing(), 0);
  // Judged now, not when the device comes.
  EXPECT_NE(dp_->ApplyPolicy(TooLarge()).exit_code, 0);
  EXPECT_TRUE(dp_->ApplyPolicy("192.0.2.9:54").ok());
  absl::SleepFor(absl::Seconds(2));
  const absl::Time made = absl::Now();
  MakeDevice();
  ASSERT_TRUE(WaitUntil([&] { return Enforcing() == 2; }));
  TunCounter out(*tun_, [](absl::string_view packet) { return IsFor(packet, "192.0.2.9"); });
  Send("192.0.2.9", 1000, 53, 2);
  EXPECT_TRUE(WaitUntil([&] { return out.count() == 1; }));
  const auto gap = dp_->WaitForRecord([](const AuditRecord& r) { return r["stage"] == "unenforced"; });
  ASSERT_TRUE(gap.has_value());
  absl::Time from;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, (*gap)["from"], &from, nullptr)) << *gap;
  EXPECT_LE(from, made);
  EXPECT_GT(from, made - absl::Seconds(1.9)) << "not from the start of the waiting";
}

TEST_F(InterfaceFaultTest, APolicyThatDoesNotFitIsRefusedAlsoWhileWaiting) {
  tun_ = nullptr;
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("policy"), TooLarge(), 0644).ok());
  LatticedDp dp(*ns_, {"--wait-iface", "--policy-file=" + dir.File("policy")});
  const CommandResult end = dp.RunToItsEnd();
  EXPECT_EQ(end.exit_code, 3) << end;
  EXPECT_THAT(end.err, ::testing::HasSubstr("140000"));
  EXPECT_TRUE(FolderEntries(dp.pin_folder()).empty());
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
  absl::Status started = dp_->Start();
  ASSERT_TRUE(started.ok()) << started;
  dp_->Kill();
  const auto gaps = [&] {
    return dp_->Records([](const AuditRecord& r) { return r["stage"] == "unenforced"; }).size();
  };
  EXPECT_EQ(gaps(), 0u) << "the pins went on";
  tun_ = nullptr;
  MakeDevice();
  started = dp_->Start();
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_TRUE(WaitUntil([&] { return gaps() == 1; }));
  EXPECT_THAT(dp_->log(), ::testing::HasSubstr("while no latticed-dp ran, not in place: tc_egress of wg0"));
  EXPECT_EQ(Enforcing(), 2);
  auto programs = TcxPrograms(*ns_, "wg0", TcxHook::kEgress);
  ASSERT_TRUE(programs.ok()) << programs.status();
  EXPECT_EQ(programs->size(), 1u);
}

}  // namespace
}  // namespace lattice::testing
