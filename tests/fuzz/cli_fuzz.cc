// The command line `lattice`: its arguments, and the daemon's answers as text for people.
// No argument and no answer, of whatever version of the daemon, ends the program.
//
// Byte 0 parts the input: arguments from each other, an answer from the one before.
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "tools/lattice/args.h"
#include "tools/lattice/render.h"
#include "userspace/dp/flow_views.h"
#include "userspace/http/client.h"

namespace lattice::cli {
namespace {

void CheckArgs(const std::vector<std::string>& words) {
  Args args("lattice dp some", "Does something.");
  std::string& iface = args.Text("iface", "wg0", "NAME", "Interface.");
  bool& follow = args.Switch("follow", "Go on.");
  uint64_t& limit = args.Number("limit", 10, "At most.");
  std::string& file = args.Positional("FILE", "A file.");
  const absl::Status parsed = args.Parse(words);
  if (!parsed.ok()) {
    CHECK(absl::IsInvalidArgument(parsed) && !parsed.message().empty()) << parsed;
    return;
  }
  CHECK(!args.HelpText().empty());
  if (args.help()) return;
  // The same values written in another form are the same values.
  Args again("lattice dp some", "Does something.");
  const std::string& same_iface = again.Text("iface", "", "NAME", "Interface.");
  const bool& same_follow = again.Switch("follow", "Go on.");
  const uint64_t& same_limit = again.Number("limit", 0, "At most.");
  const std::string& same_file = again.Positional("FILE", "A file.");
  CHECK(again
            .Parse({file, "--iface=" + iface, "--limit", std::to_string(limit),
                    std::string("--follow=") + (follow ? "true" : "false")})
            .ok());
  CHECK(same_iface == iface && same_follow == follow && same_limit == limit && same_file == file);
}

template <typename T>
void CheckAnswer(const absl::StatusOr<T>& text) {
  if (text.ok()) return;
  CHECK(absl::IsInternal(text.status()) || absl::IsInvalidArgument(text.status())) << text.status();
  CHECK(!text.status().message().empty());
}

void CheckRender(absl::string_view json, absl::string_view before) {
  for (const auto render : {RenderStatus, RenderRuleHits, PolicyText, RenderCheck, RenderReceipt, RenderFlows,
                            RenderDenied, RenderRecord}) {
    CheckAnswer(render(json));
  }
  CheckAnswer(IsEnforcing(json));
  CheckAnswer(RenderTop(json, "", 10));
  CheckAnswer(RenderTop(json, before, 10));
}

// What the client asks is what the daemon reads.
void CheckQuery(absl::string_view text) {
  const std::string escaped = http::EscapeQuery(text);
  CHECK_EQ(escaped.find_first_of("&=?#+ \"\n"), std::string::npos) << escaped;
  const auto by = dp::ParseTopBy(text);
  CHECK(by.ok() || absl::IsInvalidArgument(by.status()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string> parts = absl::StrSplit(text, '\0');
  CheckArgs(parts);
  CheckRender(parts[0], parts.size() > 1 ? parts[1] : "");
  CheckQuery(parts[0]);
  return 0;
}

}  // namespace lattice::cli
