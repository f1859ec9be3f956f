// The stream LATTICE_AUDIT on a NATS server as `latticed` makes it, and a look at what it holds.
//
//   auto stream = AuditStream::Connect((*server)->url());
//   ASSERT_TRUE((*stream)->Make().ok());
//   EXPECT_THAT((*stream)->Ids(), ElementsAre("node/boot/1", …));
//
// It reconnects by itself. One thread.
#ifndef TESTS_TESTING_AUDIT_STREAM_H_
#define TESTS_TESTING_AUDIT_STREAM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace lattice::testing {

struct StoredNatsMessage {
  uint64_t sequence = 0;
  std::string subject;
  std::string payload;
  std::string msg_id;
  std::string agent_token;
};

struct AuditStreamOptions {
  bool deny_delete = true;
  int64_t max_messages = -1;
  int32_t max_message_bytes = -1;
};

class AuditStream {
 public:
  // `url` may carry user:password@ or token@. With `tls_ca_file` it speaks TLS.
  static absl::StatusOr<std::unique_ptr<AuditStream>> Connect(const std::string& url,
                                                              const std::string& tls_ca_file = "");
  ~AuditStream();

  absl::Status Make(const AuditStreamOptions& options = {});
  absl::Status Delete();
  // The number of messages; -1 while that can't be asked.
  int64_t Count();
  uint64_t LastSequence();
  std::vector<StoredNatsMessage> Messages();
  // Of the messages of one subject: how often each id is there.
  std::map<std::string, int> Ids(const std::string& subject = "lattice.audit.flow");

 private:
  struct Impl;
  explicit AuditStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_AUDIT_STREAM_H_
