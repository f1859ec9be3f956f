// Theory of operation
//
// A question waits for the Lookup of its name, which asks for both families at once. Each family asks one server after
// the other (DnsQuery), until one answers or all have failed; a silent one has Options::try_for. As soon as one family
// has addresses, the other gets no further server: names must not wait for servers that drop one type. Every answer
// goes through `ready_` and a timer that is due at once, so that none comes from within Resolve() or from within the
// stack, and whoever is told may do anything.
#include "userspace/sandbox/resolver.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace lattice::sandbox {
namespace {

constexpr uint32_t kMinTtlS = 1, kMaxTtlS = 3600, kMaxNegativeTtlS = 300;
// Where only one family could be asked.
constexpr uint32_t kMaxHalfTtlS = 60;

}  // namespace

Resolver::Resolver(EventLoop& loop, const Clock& clock, OverlayStack& overlay, Options options)
    : loop_(loop), clock_(clock), overlay_(overlay), options_(std::move(options)) {
  CHECK(options_.ipv4 || options_.ipv6);
}

Resolver::~Resolver() {
  loop_.RemoveTimer(timer_);
  loop_.RemoveTimer(deliver_timer_);
}

Resolver::QuestionId Resolver::Resolve(absl::string_view name, Answer answer) {
  const QuestionId id = ++last_id_;
  const bool full = questions_.size() >= options_.max_pending;
  questions_.emplace(id, Question{.answer = std::move(answer)});
  const absl::StatusOr<std::string> host = HostName(name);
  if (!host.ok()) {
    Ready(id, host.status());
  } else if (options_.servers.empty()) {
    Ready(id, absl::FailedPreconditionError(absl::StrCat("no DNS server for ", *host, ": give one by --dns")));
  } else if (std::optional<Result> known = Known(*host)) {
    Ready(id, *std::move(known));
  } else if (full) {
    Ready(id, absl::ResourceExhaustedError(absl::StrCat(options_.max_pending, " names are being resolved already")));
  } else {
    Look(*host, id);
  }
  return id;
}

void Resolver::Cancel(QuestionId id) {
  const auto question = questions_.find(id);
  if (question == questions_.end()) return;
  Lookup* const lookup = question->second.lookup;
  questions_.erase(question);
  if (lookup == nullptr) return;
  lookup->waiting.erase(std::find(lookup->waiting.begin(), lookup->waiting.end(), id));
  if (lookup->waiting.empty()) Drop(*lookup);
}

void Resolver::SetServers(std::vector<Endpoint> servers) {
  options_.servers = std::move(servers);
  answered_last_ = 0;
  oldest_ = {};
  kept_.clear();
  // Names on their way are asked for anew.
  for (auto& [name, lookup] : std::exchange(lookups_, {})) {
    for (Family& family : lookup->families) tries_.Remove(family);
    patience_.Remove(*lookup);
    for (const QuestionId id : lookup->waiting) {
      if (options_.servers.empty()) {
        Ready(id, absl::FailedPreconditionError(absl::StrCat("no DNS server for ", name, ": give one by --dns")));
      } else {
        Look(name, id);
      }
    }
  }
}

std::optional<Resolver::Result> Resolver::Known(const std::string& name) {
  const auto kept = kept_.find(name);
  if (kept == kept_.end()) return std::nullopt;
  if (kept->second->until_ns > clock_.MonotonicNs()) return kept->second->result;
  oldest_.Remove(*kept->second);
  kept_.erase(kept);
  return std::nullopt;
}

void Resolver::Keep(const std::string& name, const Result& result, uint32_t ttl_s, uint32_t at_most_s) {
  auto kept = std::make_unique<Kept>();
  kept->name = name;
  kept->result = result;
  kept->until_ns = clock_.MonotonicNs() + int64_t{std::clamp(ttl_s, kMinTtlS, at_most_s)} * 1'000'000'000;
  oldest_.Push(*kept);
  kept_[name] = std::move(kept);  // nothing was: it would have answered
  if (kept_.size() <= options_.max_cached) return;
  const std::string oldest = oldest_.Pop()->name;
  kept_.erase(oldest);
}

void Resolver::Look(const std::string& name, QuestionId id) {
  std::unique_ptr<Lookup>& lookup = lookups_[name];
  const bool first = lookup == nullptr;
  if (first) lookup = std::make_unique<Lookup>();
  lookup->waiting.push_back(id);
  questions_[id].lookup = lookup.get();
  if (!first) return;
  Lookup& mine = *lookup;
  mine.name = name;
  mine.until_ns = clock_.MonotonicNs() + absl::ToInt64Nanoseconds(options_.patience);
  patience_.Push(mine);
  WakeAt(mine.until_ns);
  const std::array<bool, 2> wanted = {options_.ipv4, options_.ipv6};
  for (size_t i = 0; i < 2; ++i) {
    mine.families[i].lookup = &mine;
    mine.families[i].type = i == 0 ? kDnsA : kDnsAaaa;
    mine.families[i].server = answered_last_;
    mine.families[i].open = wanted[i];
  }
  // The second may be what ends the lookup.
  if (wanted[0]) Try(mine.families[0]);
  if (wanted[1]) Try(mine.families[1]);
  overlay_.Turn();
}

// Asks the family's server; where that can't even be sent, the next.
void Resolver::Try(Family& family) {
  while (family.open) {
    const Endpoint& server = options_.servers[family.server % options_.servers.size()];
    auto query = DnsQuery::Ask(overlay_.stack(), server, family.lookup->name, family.type,
                               [this, &family](DnsAnswer answer) { OnAnswer(family, std::move(answer)); });
    if (query.ok()) {
      family.query = *std::move(query);
      family.try_until_ns = clock_.MonotonicNs() + absl::ToInt64Nanoseconds(options_.try_for);
      tries_.Push(family);
      return WakeAt(family.try_until_ns);
    }
    ++family.failures;
    ++family.server;
    if (family.failures >= options_.servers.size()) return Close(family, std::nullopt);
  }
}

// From within the stack.
void Resolver::OnAnswer(Family& family, DnsAnswer answer) {
  if (answer.kind == DnsAnswer::Kind::kFailure) return NextServer(family, /*failed=*/true);
  answered_last_ = family.server % options_.servers.size();
  Close(family, std::move(answer));
}

// A server that is silent is asked again when the others were; one that cannot say is not.
void Resolver::NextServer(Family& family, bool failed) {
  tries_.Remove(family);
  family.query = nullptr;
  if (failed) ++family.failures;
  const Family& other = family.lookup->families[family.type == kDnsA ? 1 : 0];
  const bool other_has = other.answer.has_value() && other.answer->kind == DnsAnswer::Kind::kAddresses;
  if (other_has || family.failures >= options_.servers.size()) return Close(family, std::nullopt);
  ++family.server;
  Try(family);
}

void Resolver::Close(Family& family, std::optional<DnsAnswer> answer) {
  tries_.Remove(family);
  family.query = nullptr;
  family.open = false;
  family.answer = std::move(answer);
  Lookup& lookup = *family.lookup;
  if (!lookup.families[0].open && !lookup.families[1].open) Finish(lookup);
}

void Resolver::Finish(Lookup& lookup) {
  const Result result = Conclude(lookup);
  for (const QuestionId id : lookup.waiting) {
    questions_[id].lookup = nullptr;
    Ready(id, result);
  }
  Drop(lookup);
}

// What is known of the name now; kept as far as both families have been answered.
Resolver::Result Resolver::Conclude(const Lookup& lookup) {
  std::vector<IpAddress> addresses;
  uint32_t ttl_s = kMaxTtlS, negative_ttl_s = kMaxNegativeTtlS;
  bool all = true, any = false;
  for (const Family& family : lookup.families) {
    const bool wanted = family.type == kDnsA ? options_.ipv4 : options_.ipv6;
    if (!wanted) continue;
    if (!family.answer.has_value()) {
      all = false;
      continue;
    }
    any = true;
    addresses.insert(addresses.end(), family.answer->addresses.begin(), family.answer->addresses.end());
    uint32_t& least = family.answer->addresses.empty() ? negative_ttl_s : ttl_s;
    least = std::min(least, family.answer->ttl_s);
  }
  if (!addresses.empty()) {
    const Result result = std::move(addresses);
    Keep(lookup.name, result, ttl_s, all ? kMaxTtlS : kMaxHalfTtlS);
    return result;
  }
  if (!any || !all) return absl::UnavailableError(absl::StrCat("no DNS server could say where ", lookup.name, " is"));
  const Result result = absl::NotFoundError(absl::StrCat(lookup.name, ": no such name, or it has no address"));
  if (negative_ttl_s > 0) Keep(lookup.name, result, negative_ttl_s, kMaxNegativeTtlS);
  return result;
}

void Resolver::Drop(Lookup& lookup) {
  for (Family& family : lookup.families) tries_.Remove(family);
  patience_.Remove(lookup);
  const std::string name = lookup.name;
  lookups_.erase(name);
}

void Resolver::Ready(QuestionId id, Result result) {
  ready_.emplace_back(id, std::move(result));
  if (deliver_timer_ == 0) deliver_timer_ = loop_.AddOnce(absl::ZeroDuration(), [this] { Deliver(); });
}

void Resolver::Deliver() {
  deliver_timer_ = 0;
  for (auto& [id, result] : std::exchange(ready_, {})) {
    const auto question = questions_.find(id);
    if (question == questions_.end()) continue;  // cancelled
    const Answer answer = std::move(question->second.answer);
    questions_.erase(question);
    answer(std::move(result));
  }
}

void Resolver::RunDue() {
  timer_ = 0;
  wake_ns_ = INT64_MAX;
  const int64_t now = clock_.MonotonicNs();
  while (Lookup* const lookup = patience_.front()) {
    if (lookup->until_ns > now) break;
    Finish(*lookup);
  }
  while (Family* const family = tries_.front()) {
    if (family->try_until_ns > now) break;
    NextServer(*family, /*failed=*/false);
  }
  if (const Lookup* const lookup = patience_.front()) WakeAt(lookup->until_ns);
  if (const Family* const family = tries_.front()) WakeAt(family->try_until_ns);
  overlay_.Turn();
}

void Resolver::WakeAt(int64_t due_ns) {
  if (due_ns >= wake_ns_) return;
  if (timer_ != 0) loop_.RemoveTimer(timer_);
  wake_ns_ = due_ns;
  timer_ = loop_.AddOnce(absl::Nanoseconds(std::max<int64_t>(due_ns - clock_.MonotonicNs(), 0)), [this] { RunDue(); });
}

}  // namespace lattice::sandbox
