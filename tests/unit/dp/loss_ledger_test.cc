// A loss is told once, also over a restart of the daemon.
#include "userspace/dp/loss_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/temp_dir.h"
#include "userspace/base/file.h"
#include "userspace/flow/record.h"

namespace lattice::dp {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

class LossLedgerTest : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  const std::string path_ = dir_.File("audit.jsonl.told");
};

TEST_F(LossLedgerTest, TellsTheDifferenceSinceTheLastTelling) {
  LossLedger ledger(path_);
  ASSERT_TRUE(ledger.Load(/*adopted=*/false, kStart).ok());
  EXPECT_TRUE(ledger.Compare(0, 0, kStart + absl::Seconds(1)).empty());
  const auto losses = ledger.Compare(7, 0, kStart + absl::Seconds(2));
  ASSERT_EQ(losses.size(), 1u);
  EXPECT_EQ(losses[0].stage, flow::kStageDeniedTable);
  EXPECT_EQ(losses[0].count, 7u);
  EXPECT_EQ(losses[0].from, kStart + absl::Seconds(1));
  EXPECT_EQ(losses[0].to, kStart + absl::Seconds(2));
  ASSERT_TRUE(ledger.Told().ok());
  EXPECT_TRUE(ledger.Compare(7, 0, kStart + absl::Seconds(3)).empty());
  EXPECT_EQ(ledger.Compare(9, 5, kStart + absl::Seconds(4)).size(), 2u);
}

TEST_F(LossLedgerTest, WhatWasNotToldIsToldAgainFromTheSameMoment) {
  LossLedger ledger(path_);
  ASSERT_TRUE(ledger.Load(false, kStart).ok());
  EXPECT_EQ(ledger.Compare(0, 3, kStart + absl::Seconds(1))[0].count, 3u);
  const auto again = ledger.Compare(0, 4, kStart + absl::Seconds(2));
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].stage, flow::kStageUntracked);
  EXPECT_EQ(again[0].count, 4u);
  EXPECT_EQ(again[0].from, kStart);
}

TEST_F(LossLedgerTest, ARestartOverAdoptedPinsGoesOnWhereTheLastOneWas) {
  {
    LossLedger first(path_);
    ASSERT_TRUE(first.Load(false, kStart).ok());
    first.Compare(10, 20, kStart);
    ASSERT_TRUE(first.Told().ok());
  }
  LossLedger second(path_);
  ASSERT_TRUE(second.Load(/*adopted=*/true, kStart).ok());
  const auto losses = second.Compare(12, 20, kStart + absl::Seconds(1));
  ASSERT_EQ(losses.size(), 1u);
  EXPECT_EQ(losses[0].count, 2u) << "what came while no daemon ran";
}

TEST_F(LossLedgerTest, NewPinsBeginAnew) {
  ASSERT_TRUE(WriteFileAtomically(path_, "10 20\n", 0640).ok());
  LossLedger ledger(path_);
  ASSERT_TRUE(ledger.Load(/*adopted=*/false, kStart).ok());
  EXPECT_EQ(ledger.Compare(1, 0, kStart)[0].count, 1u);
}

struct BadLedger {
  const char* name;
  const char* text;
};

class LoadBadLedger : public LossLedgerTest, public ::testing::WithParamInterface<BadLedger> {};

TEST_P(LoadBadLedger, IsRefusedWithTheRemedy) {
  ASSERT_TRUE(WriteFileAtomically(path_, GetParam().text, 0640).ok());
  LossLedger ledger(path_);
  const absl::Status loaded = ledger.Load(/*adopted=*/true, kStart);
  EXPECT_EQ(loaded.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(loaded.message(), ::testing::AllOf(::testing::HasSubstr(path_), ::testing::HasSubstr("remove it")));
  EXPECT_EQ(ledger.counts().denied_table, 0u);
}

INSTANTIATE_TEST_SUITE_P(Cases, LoadBadLedger,
                         ::testing::Values(BadLedger{.name = "Nothing", .text = ""},
                                           BadLedger{.name = "Words", .text = "nonsense\n"},
                                           BadLedger{.name = "OneNumber", .text = "10\n"},
                                           BadLedger{.name = "ThreeNumbers", .text = "10 20 30\n"},
                                           // Of "10 2000\n", say.
                                           BadLedger{.name = "NoLineEnd", .text = "10 20"},
                                           BadLedger{.name = "TwoLines", .text = "10\n20\n"},
                                           BadLedger{.name = "TextAfterThem", .text = "10 20\nx"},
                                           BadLedger{.name = "BlankBeforeThem", .text = "\t10 20\n"},
                                           BadLedger{.name = "Sign", .text = "+10 20\n"},
                                           BadLedger{.name = "Negative", .text = "10 -20\n"},
                                           BadLedger{.name = "Hexadecimal", .text = "0x10 20\n"},
                                           BadLedger{.name = "Fraction", .text = "10.5 20\n"},
                                           BadLedger{.name = "AboveSixtyFourBits", .text = "18446744073709551616 0\n"}),
                         [](const auto& bad) { return bad.param.name; });

}  // namespace
}  // namespace lattice::dp
