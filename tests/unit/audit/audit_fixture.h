// An audit file on the fake file system, and what tests want to know of it.
#ifndef TESTS_UNIT_AUDIT_AUDIT_FIXTURE_H_
#define TESTS_UNIT_AUDIT_AUDIT_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/fake_file_system.h"
#include "tests/testing/flow_records.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/decoder.h"
#include "userspace/audit/segment.h"
#include "userspace/audit/verify.h"

namespace lattice::audit {

class AuditFixture : public ::testing::Test {
 protected:
  static constexpr char kPath[] = "d/audit.jsonl";

  AuditFixture() {
    options_.path = kPath;
    options_.node = "node-1";
    options_.boot = "bootaaaaaaaa";
    options_.agent_id = "agent-1";
    options_.iface = "wg0";
  }

  void Open() {
    absl::StatusOr<std::unique_ptr<AuditFile>> audit = AuditFile::Open(fs_, clock_, options_);
    ASSERT_TRUE(audit.ok()) << audit.status();
    audit_ = *std::move(audit);
  }
  // The process ends without a word and starts again.
  void Restart() {
    options_.min_next_seq = audit_->next_seq();
    audit_.reset();
    Open();
  }
  void Add(uint64_t count = 1) {
    for (uint64_t i = 0; i < count; ++i) {
      flow::FlowRecord record = testing::StartRecord(made_++);
      audit_->Add(record);
    }
  }
  absl::Status Write(uint64_t count = 1) {
    Add(count);
    return audit_->Commit();
  }

  // Of one file, in order. Whatever is no record fails the test.
  std::vector<flow::FlowRecord> RecordsOf(const std::string& path) {
    std::vector<flow::FlowRecord> records;
    for (const auto& line : absl::StrSplit(fs_.Content(path), '\n', absl::SkipEmpty())) {
      absl::StatusOr<DecodedLine> decoded = DecodeLine(line);
      EXPECT_TRUE(decoded.ok()) << decoded.status() << " in " << path << ": " << line;
      if (decoded.ok()) records.push_back(std::move(decoded->record));
    }
    return records;
  }
  std::vector<Segment> Segments() { return ListSegments(fs_, kPath).value(); }
  // Of all segments, in order.
  std::vector<flow::FlowRecord> Records() {
    std::vector<flow::FlowRecord> all;
    for (const Segment& segment : Segments()) {
      for (flow::FlowRecord& record : RecordsOf(segment.path)) all.push_back(std::move(record));
    }
    return all;
  }
  std::vector<flow::FlowRecord> Losses() {
    std::vector<flow::FlowRecord> losses;
    for (flow::FlowRecord& record : Records()) {
      if (record.event == flow::Event::kLoss) losses.push_back(std::move(record));
    }
    return losses;
  }
  void ExpectNumbersWithoutHoles() {
    const std::vector<flow::FlowRecord> records = Records();
    for (size_t i = 1; i < records.size(); ++i) {
      if (records[i].boot == records[i - 1].boot) {
        EXPECT_EQ(records[i].seq, records[i - 1].seq + 1);
      }
    }
  }
  void ExpectVerified() {
    const absl::StatusOr<VerifyReport> report = VerifyChain(fs_, kPath, {});
    ASSERT_TRUE(report.ok()) << report.status();
    for (const Problem& problem : report->problems) {
      ADD_FAILURE() << problem.path << ":" << problem.line << ": " << ProblemKindName(problem.kind) << ": "
                    << problem.text;
    }
  }
  // The number of lines that end in '\n' is that of all lines: no half line.
  void ExpectWholeLines() {
    const std::string content = fs_.Content(kPath);
    EXPECT_TRUE(content.empty() || content.back() == '\n');
  }

  testing::FakeFileSystem fs_;
  testing::FakeClock clock_;
  AuditFileOptions options_;
  std::unique_ptr<AuditFile> audit_;
  uint64_t made_ = 0;
};

}  // namespace lattice::audit

#endif  // TESTS_UNIT_AUDIT_AUDIT_FIXTURE_H_
