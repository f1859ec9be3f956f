// The tables of the audit pipeline at size: rows a second that go in, and what reading costs then.
//
//   audit_store_bench                                    200,000 rows, SQLite and PostgreSQL
//   audit_store_bench --rows=5000000 --engine=sqlite
//
// Its figures are lines as the other programs print them (figure, value, bar, aim, met|short), after "#" what they are
// made of; exit status 1 when a bar is missed.
//
// A day of 100 agents: three of ten records deny, and the others are starts, updates and ends of flows to 2,000
// destinations, of which few are frequent. After that comes the same traffic as a busy control plane gets it: 20,000
// records a second of few agents, in the batches of a backlog ("live"). Times are of the store's own calls in this
// process, in milliseconds. With the database's durable settings: every batch is on the disk before the next.
#include <gflags/gflags.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "glog/logging.h"
#include "tests/testing/postgres.h"
#include "tests/testing/temp_dir.h"
#include "userspace/control/audit/sql_flow_store.h"

DEFINE_int64(rows, 200'000, "Events to store");
DEFINE_string(engine, "both", "sqlite, postgresql or both");
DEFINE_int64(batch, 500, "Events of one transaction");
DEFINE_int64(live_rows, 100'000, "Events to store behind the others, at 20,000 a second by their own clock");
DEFINE_int64(live_batch, 2'000, "Events of one transaction of those");
DEFINE_int32(live_agents, 4, "Agents of those");
DEFINE_bool(queries, true, "Whether to run the queries");
DEFINE_int32(repeat, 100, "How often each query runs, each time with other values");
DEFINE_bool(sync_full, true, "SQLite: synchronous=FULL; false: NORMAL");

namespace lattice::control {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kDay = 86'400 * kSecond;
constexpr int64_t kBegin = 1'770'000'000 / 86'400 * kDay;
constexpr int kAgents = 100, kDestinations = 2'000;

class Traffic {
 public:
  explicit Traffic(int64_t rows) : step_(kDay / rows) {}

  void GoLive(int64_t step, int agents) {
    step_ = step;
    agents_ = agents;
  }

  FlowEvent Next() {
    const int agent = Below(agents_);
    FlowEvent event = Begin(agent);
    const int kind = Below(1'000);
    std::vector<FlowEvent>& open = open_[agent];
    if (kind < 450 && !open.empty()) {
      const size_t index = random_() % open.size();
      const FlowEvent& before = open[index];
      Continue(before, event);
      event.event = kind < 150 ? "update" : "end";
      if (event.event == "end") {
        open[index] = open.back();
        open.pop_back();
      } else {
        open[index] = event;
      }
    } else if (kind < 750) {
      Address(event);
      event.event = "start";
      event.bytes = event.bytes_out = 60;
      event.packets_out = 1;
      open.push_back(event);
    } else if (kind < 999) {
      Address(event);
      event.event = "denied";
      event.verdict = "drop";
      event.reason = kind < 998 ? "no_rule" : "fragment_tiny";
      event.rule.clear();
      event.bytes = event.bytes_out = 60;
      event.packets_out = 1;
    } else {
      event.direction.clear();
      event.event = "policy";
      event.verdict.clear();
    }
    return event;
  }

 private:
  int Below(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }
  FlowEvent Begin(int agent) {
    FlowEvent event;
    event.agent_id = absl::StrCat("agent-", agent);
    event.node = absl::StrCat("node-", agent, ".example.net");
    event.boot = "0123456789ab";
    event.seq = ++seq_[agent];
    event.event_id = absl::StrCat(event.node, "/", event.boot, "/", event.seq);
    event.ts_ns = now_ += step_;
    event.direction = "egress";
    event.verdict = "allow";
    event.reason = "allow_rule";
    event.src_ip = absl::StrCat("10.42.0.", agent);
    event.iface = "wg0";
    event.scope = "iface";
    event.mode = "enforce";
    event.policy_generation = 7;
    return event;
  }
  void Address(FlowEvent& event) {
    // Few destinations are frequent.
    const int destination = static_cast<int>(std::pow(kDestinations, std::uniform_real_distribution<>(0, 1)(random_)));
    event.dst_ip = absl::StrCat("203.", destination / 250, ".113.", destination % 250);
    event.dst_port = destination % 3 == 0 ? 80 : destination == 1'999 ? 9'999 : 443;
    event.rule = absl::StrCat("203.", destination / 250, ".0.0/16");
    event.protocol = destination % 500 == 7 ? "icmp" : "tcp";
    event.src_port = 32'768 + Below(20'000);
    event.host = destination % 2 == 0 ? absl::StrCat("host", destination, ".example.com") : "";
    event.trace_id = Below(4) == 0 ? absl::StrCat("trace-", now_ / kSecond / 600, "-", Below(50)) : "";
    event.start_ns = event.ts_ns;
    event.flow_id = absl::StrCat(event.boot, "-", now_, "-", Below(1'000'000));
  }
  void Continue(const FlowEvent& before, FlowEvent& event) {
    FlowEvent next = before;
    next.event_id = event.event_id;
    next.seq = event.seq;
    next.ts_ns = event.ts_ns;
    next.bytes_out += 1'000 + Below(10'000);
    next.bytes_in += 1'000 + Below(100'000);
    next.bytes = next.bytes_out + next.bytes_in;
    next.packets_out += 10;
    next.packets_in += 20;
    next.duration_ms = (next.ts_ns - next.start_ns) / 1'000'000;
    event = std::move(next);
  }

  std::mt19937_64 random_{1};
  int64_t step_;
  int agents_ = kAgents;
  int64_t now_ = kBegin;
  int64_t seq_[kAgents] = {};
  std::vector<FlowEvent> open_[kAgents];
};

double CpuSeconds() {
  timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double Millis(absl::Duration d) {
  return absl::ToDoubleMilliseconds(d);
}

class Bench {
 public:
  Bench(const char* engine, SqlFlowStore& store) : engine_(engine), store_(store) {}

  void Fill() {
    Traffic traffic(FLAGS_rows);
    Append("append", traffic, FLAGS_rows, FLAGS_batch);
    traffic.GoLive(kSecond / 20'000, FLAGS_live_agents);
    live_us_ = Append("append, live", traffic, FLAGS_live_rows, FLAGS_live_batch);
  }

  // Microseconds of this process's CPU a row.
  double Append(const char* name, Traffic& traffic, int64_t rows, int64_t batch_rows) {
    double cpu = 0;
    absl::Duration in_store, last;
    int64_t last_rows = 0;
    for (int64_t row = 0; row < rows;) {
      IngestBatch batch;
      for (; row < rows && static_cast<int64_t>(batch.events.size()) < batch_rows; ++row) {
        batch.events.push_back(traffic.Next());
      }
      const absl::Time begin = absl::Now();
      const double cpu_begin = CpuSeconds();
      auto result = store_.Append(batch);
      CHECK(result.ok()) << result.status();
      CHECK_EQ(result->stored, batch.events.size());
      const absl::Duration took = absl::Now() - begin;
      cpu += CpuSeconds() - cpu_begin;
      in_store += took;
      if (row * 10 > rows * 9) last += took, last_rows += static_cast<int64_t>(batch.events.size());
    }
    // A busy machine changes the first two more than the third.
    std::printf("# %-10s  %s: %.0f rows/s; the last tenth: %.0f rows/s; %.1f us of this process's CPU a row\n", engine_,
                name, static_cast<double>(rows) / absl::ToDoubleSeconds(in_store),
                static_cast<double>(last_rows) / absl::ToDoubleSeconds(last), 1e6 * cpu / static_cast<double>(rows));
    std::fflush(stdout);
    return 1e6 * cpu / static_cast<double>(rows);
  }

  void Run(const char* name, const std::function<absl::Status(int)>& query) {
    std::vector<double> times;
    for (int i = 0; i < FLAGS_repeat; ++i) {
      const absl::Time begin = absl::Now();
      const absl::Status status = query(i);
      CHECK(status.ok()) << name << ": " << status;
      times.push_back(Millis(absl::Now() - begin));
    }
    std::sort(times.begin(), times.end());
    const double p99 = times[times.size() * 99 / 100];
    std::printf("# %-10s  %-44s p50 %8.2f  p99 %8.2f ms\n", engine_, name, times[times.size() / 2], p99);
    std::fflush(stdout);
    if (absl::StartsWith(name, "list")) slowest_list_ = std::max(slowest_list_, p99);
    if (absl::StartsWith(name, "overview")) overview_ = std::max(overview_, p99);
  }

  // Whether each bar is met.
  bool Figures() const {
    bool met = Figure("append, live (us of CPU a row)", live_us_, 30, 20);
    met &= Figure("slowest list query, p99 (ms)", slowest_list_, 50, 10);
    return Figure("overview, hour and day, p99 (ms)", overview_, 200, 100) && met;
  }

  void List(const char* name, const std::function<FlowFilter(int)>& filter) {
    Run(name, [&](int i) {
      FlowQuery query{.filter = filter(i), .ascending = i % 4 == 3};
      return store_.Query(query, absl::Now() + absl::Minutes(1)).status();
    });
  }

  void Lists() {
    const auto agent = [](int i) { return absl::StrCat("agent-", i % kAgents); };
    List("list: newest", [](int) { return FlowFilter{}; });
    List("list: agent", [&](int i) { return FlowFilter{.agents = {{agent(i)}}}; });
    List("list: three agents", [&](int i) {
      return FlowFilter{.agents = {{agent(i)}, {agent(i + 1)}, {agent(i + 2)}}};
    });
    List("list: not agent", [&](int i) { return FlowFilter{.agents = {{agent(i), true}}}; });
    List("list: denied", [](int) { return FlowFilter{.verdicts = {{"drop"}}}; });
    List("list: agent, denied", [&](int i) { return FlowFilter{.agents = {{agent(i)}}, .verdicts = {{"drop"}}}; });
    List("list: an hour of agent", [&](int i) {
      const int64_t from = kBegin + i % 24 * 3600 * kSecond;
      return FlowFilter{.from_ns = from, .to_ns = from + 3600 * kSecond, .agents = {{agent(i)}}};
    });
    List("list: common port", [](int) { return FlowFilter{.ports = {{"443"}}}; });
    List("list: rare port", [](int) { return FlowFilter{.ports = {{"9999"}}}; });
    List("list: absent port", [](int i) { return FlowFilter{.ports = {{absl::StrCat(10'000 + i)}}}; });
    List("list: agent, rare port", [&](int i) { return FlowFilter{.agents = {{agent(i)}}, .ports = {{"9999"}}}; });
    List("list: denied, rare port", [&](int) { return FlowFilter{.verdicts = {{"drop"}}, .ports = {{"9999"}}}; });
    List("list: rare address",
         [](int i) { return FlowFilter{.destinations = {{absl::StrCat("203.7.113.", i % 250, "/32")}}}; });
    List("list: common network",
         [](int i) { return FlowFilter{.destinations = {{absl::StrCat("203.", i % 4, ".0.0/16")}}}; });
    List("list: rare network",
         [](int i) { return FlowFilter{.destinations = {{absl::StrCat("203.7.113.", i % 64 * 4, "/30")}}}; });
    List("list: absent network", [](int) { return FlowFilter{.destinations = {{"2001:db8::/32"}}}; });
    List("list: source", [](int i) { return FlowFilter{.sources = {{absl::StrCat("10.42.0.", i % kAgents, "/32")}}}; });
    List("list: trace", [](int i) {
      return FlowFilter{.trace_ids = {{absl::StrCat("trace-", kBegin / kSecond / 600 + i % 100, "-", i % 50)}}};
    });
    List("list: host",
         [](int i) { return FlowFilter{.hosts = {{absl::StrCat("host", 1'000 + 2 * i, ".example.com")}}}; });
    List("list: rule", [](int i) { return FlowFilter{.rules = {{absl::StrCat("203.", i % 8, ".0.0/16")}}}; });
    List("list: event=policy", [](int) { return FlowFilter{.events = {{"policy"}}}; });
    List("list: event=loss (absent)", [](int) { return FlowFilter{.events = {{"loss"}}}; });
    List("list: icmp", [](int) { return FlowFilter{.protocols = {{"icmp"}}}; });
    List("list: rare reason", [](int) { return FlowFilter{.reasons = {{"fragment_tiny"}}}; });
    List("list: agent, address", [&](int i) {
      return FlowFilter{.agents = {{agent(i)}}, .destinations = {{absl::StrCat("203.0.113.", 1 + i, "/32")}}};
    });
    std::optional<PageKey> after;
    FlowQuery query{.limit = 1'000};
    Run("list: next 1,000, page after page", [&](int) {
      query.after = after;
      auto page = store_.Query(query, absl::Now() + absl::Minutes(1));
      if (page.ok()) after = page->next;
      return page.status();
    });
  }

  void Reports() {
    const int64_t end = kBegin + kDay;
    const FlowFilter hour{.from_ns = end - 3600 * kSecond, .to_ns = end}, day{.from_ns = kBegin, .to_ns = end};
    const absl::Time deadline = absl::InfiniteFuture();
    for (const auto& [name, filter] : {std::pair("hour", hour), std::pair("day", day)}) {
      const auto run = [&](const char* what, const std::function<absl::Status()>& report) {
        Run(absl::StrCat(what, ", ", name).c_str(), [&](int) { return report(); });
      };
      run("timeline", [&] { return store_.Timeline(filter, 200, deadline).status(); });
      run("top destinations",
          [&] { return store_.Top(filter, TopBy::kDestination, TopMetric::kBytes, 10, deadline).status(); });
      run("top denied",
          [&] { return store_.Top(filter, TopBy::kDestination, TopMetric::kDenied, 10, deadline).status(); });
      run("top rules", [&] { return store_.Top(filter, TopBy::kRule, TopMetric::kFlows, 10, deadline).status(); });
      run("hints", [&] { return store_.Hints(filter, 50, deadline).status(); });
      run("agents", [&] { return store_.Agents(filter, deadline).status(); });
      run("overview (all its parts)", [&]() -> absl::Status {
        absl::Status status = store_.Timeline(filter, 200, deadline).status();
        status.Update(store_.Top(filter, TopBy::kDestination, TopMetric::kBytes, 10, deadline).status());
        status.Update(store_.Top(filter, TopBy::kDestination, TopMetric::kDenied, 10, deadline).status());
        status.Update(store_.Agents(filter, deadline).status());
        status.Update(store_.ReadCompleteness(deadline).status());
        return status;
      });
    }
    Run("completeness", [&](int) { return store_.ReadCompleteness(deadline).status(); });
  }

 private:
  bool Figure(const char* name, double value, double bar, double aim) const {
    std::printf("%s: %s at %lld rows, %.1f, %.0f, %.0f, %s\n", engine_, name, static_cast<long long>(FLAGS_rows), value,
                bar, aim, value <= bar ? "met" : "short");
    return value <= bar;
  }

  const char* engine_;
  SqlFlowStore& store_;
  double live_us_ = 0, slowest_list_ = 0, overview_ = 0;
};

bool Measure(const char* engine, const std::string& url) {
  auto database = sql::Database::Open(url, {.sync_full = FLAGS_sync_full});
  CHECK(database.ok()) << database.status();
  auto store = SqlFlowStore::Create(**database);
  CHECK(store.ok()) << store.status();
  Bench bench(engine, **store);
  bench.Fill();
  if (engine == std::string("postgresql")) {
    // What autovacuum does within a minute.
    auto connection = (*database)->Connect();
    CHECK(connection.ok() && (*connection)->ExecuteScript("ANALYZE").ok());
  }
  if (!FLAGS_queries) return true;
  bench.Lists();
  bench.Reports();
  return bench.Figures();
}

}  // namespace
}  // namespace lattice::control

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  using lattice::control::Measure;
  bool met = true;
  if (FLAGS_engine != "postgresql") {
    lattice::testing::TempDir dir;
    met &= Measure("sqlite", absl::StrCat("sqlite://", dir.File("lattice.db")));
  }
  if (FLAGS_engine != "sqlite") {
    auto server = lattice::testing::PostgresServer::Start(
        {.fsync = true, .settings = {"shared_buffers=1GB", "max_wal_size=4GB"}});
    CHECK(server.ok()) << server.status();
    auto url = (*server)->CreateDatabase("bench");
    CHECK(url.ok()) << url.status();
    met &= Measure("postgresql", *url);
  }
  return met ? 0 : 1;
}
