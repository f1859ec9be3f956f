// From the kernel's ring to the table of the real latticed with its own NATS server: a BPF program fills the ring of a
// real data plane, and the daemon's own recorder and publisher carry the records on, all on this machine. Prints
//   figure, value, bar, aim, met|short
// and exits 1 when a bar is missed, or a record is missing or twice in the table.
//
//   audit_pipeline_bench                              15 s at 20,000 records a second, then 3 s at 50,000
//   audit_pipeline_bench --seconds=60 --burst_seconds=10
//
// The alternative is what older control planes do: a plain subscriber, and for each message an INSERT of its own into
// an equal table of an SQLite database as it is by default: rollback journal, each commit on the disk. Its messages are
// there before it begins, so it never waits for one.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gflags/gflags.h>
#include <glog/logging.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "lattice_ring_producer.skel.h"
#include "tests/testing/flow_records.h"
#include "tests/testing/latticed.h"
#include "tests/testing/nats_server.h"
#include "tests/testing/netns.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/tun.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/publisher.h"
#include "userspace/control/audit/event_message.h"
#include "userspace/control/audit/store_rows.h"
#include "userspace/control/audit/store_text.h"
#include "userspace/control/schema/audit_schema.h"
#include "userspace/datapath/datapath.h"
#include "userspace/datapath/detach.h"
#include "userspace/dp/nats_sink.h"
#include "userspace/dp/recorder.h"
#include "userspace/policy/rule.h"
#include "userspace/sql/database.h"

DEFINE_int32(seconds, 15, "How long records come steadily");
DEFINE_int32(rate, 20'000, "How many a second");
DEFINE_int32(burst_seconds, 3, "How long they come in a burst");
DEFINE_int32(burst_rate, 50'000, "How many a second");
DEFINE_int32(alternative_rows, 5'000, "Messages that the alternative stores");

namespace lattice::testing {
namespace {

constexpr double kBurstBar = 20, kBurstAim = 50;    // thousand rows a second
constexpr double kBehindBar = 2, kBehindAim = 0.5;  // seconds of load
constexpr double kRssBar = 150, kRssAim = 100;      // MiB
constexpr double kRatioBar = 10, kRatioAim = 20;

struct Produce {  // struct produce of ring_producer.bpf.c
  uint64_t first;
  uint32_t records;
  uint32_t written;
};

bool Figure(const char* name, double value, double bar, double aim, bool less_is_better) {
  const bool met = less_is_better ? value <= bar : value >= bar;
  std::printf("%s, %.1f, %.1f, %.1f, %s\n", name, value, bar, aim, met ? "met" : "short");
  std::fflush(stdout);
  return met;
}

double Seconds(absl::Time since) {
  return absl::ToDoubleSeconds(absl::Now() - since);
}

double OwnCpu() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

std::string Slurp(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

double CpuOf(pid_t pid) {
  const std::string stat = Slurp(absl::StrCat("/proc/", pid, "/stat"));
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(stat.rfind(')') + 2), ' ');
  double user = 0, system = 0;
  CHECK(absl::SimpleAtod(fields.at(11), &user) && absl::SimpleAtod(fields.at(12), &system)) << stat;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// The children of `pid`: latticed's NATS server.
double CpuOfChildren(pid_t pid) {
  double cpu = 0;
  const std::string children = Slurp(absl::StrCat("/proc/", pid, "/task/", pid, "/children"));
  for (absl::string_view child : absl::StrSplit(children, ' ', absl::SkipWhitespace())) {
    int id = 0;
    if (absl::SimpleAtoi(child, &id)) cpu += CpuOf(id);
  }
  return cpu;
}

// The most it ever had.
double RssMiB(pid_t pid) {
  const std::string status = Slurp(absl::StrCat("/proc/", pid, "/status"));
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    double kib = 0;
    if (absl::ConsumePrefix(&line, "VmHWM:") && absl::ConsumeSuffix(&line, "kB") && absl::SimpleAtod(line, &kib)) {
      return kib / 1024;
    }
  }
  return 0;
}

// A data plane of our own whose ring a program fills, and the daemon's recorder and publisher behind it.
class Writer {
 public:
  explicit Writer(const std::string& nats_url) : sink_({.nats = {.urls = {nats_url}}}) {
    auto ns = NetNamespace::Create("pipe");
    CHECK(ns.ok()) << ns.status();
    ns_ = *std::move(ns);
    auto tun = TunDevice::Create(*ns_, "wg0", {"198.18.0.1/32"});
    CHECK(tun.ok()) << tun.status();
    tun_ = *std::move(tun);
    pins_ = absl::StrCat("/sys/fs/bpf/lat-t-", ::getpid(), "-pipe");
    ns_->Run([&] {
      datapath::Options options;
      options.iface = "wg0";
      options.pin_path = pins_;
      auto datapath = datapath::Datapath::Create(options, policy::RuleSet());
      CHECK(datapath.ok()) << datapath.status();
      datapath_ = *std::move(datapath);
    });
    producer_.reset(lattice_ring_producer::open());
    CHECK(producer_ != nullptr);
    PCHECK(bpf_map__reuse_fd(producer_->maps.flow_ring, datapath_->flow_ring_fd()) == 0);
    PCHECK(lattice_ring_producer::load(producer_.get()) == 0);
    StartThreads();
  }
  ~Writer() {
    const absl::Status stopped = recorder_->Stop(absl::Seconds(60), /*end_all=*/false);
    LOG_IF(ERROR, !stopped.ok()) << stopped;
    publisher_->Stop(absl::Seconds(5));
    datapath_.reset();
    ns_->Run([&] {
      const auto detached = datapath::Detach("wg0", pins_);
      LOG_IF(ERROR, !detached.ok()) << detached.status();
    });
    ::rmdir(pins_.c_str());
  }

  // `rate` records a second for `seconds`, kept up over a ring that is full for a moment. How many.
  uint64_t Run(int rate, int seconds) {
    const auto total = static_cast<uint64_t>(rate) * static_cast<uint64_t>(seconds);
    const absl::Time begin = absl::Now();
    for (uint64_t number = 0; number < total;) {
      const uint64_t due = std::min(total, static_cast<uint64_t>(Seconds(begin) * rate));
      uint32_t written = 0;
      if (due > number) written = Put(static_cast<uint32_t>(std::min<uint64_t>(4096, due - number)));
      number += written;
      if (written == 0 || number >= due) absl::SleepFor(absl::Milliseconds(2));
    }
    return total;
  }
  uint64_t published() const { return publisher_->counters().published; }

 private:
  void StartThreads() {
    auto audit = audit::AuditFile::Open(
        audit::RealFileSystem(), RealClock(),
        {.path = home_.File("audit.jsonl"), .node = "bench", .boot = "bench", .agent_id = "bench", .iface = "wg0"});
    CHECK(audit.ok()) << audit.status();
    audit::PublisherOptions options;
    options.audit_path = home_.File("audit.jsonl");
    auto publisher = audit::Publisher::Create(audit::RealFileSystem(), RealClock(), sink_, options);
    CHECK(publisher.ok()) << publisher.status();
    publisher_ = *std::move(publisher);
    auto recorder = dp::Recorder::Create(
        *datapath_, *std::move(audit),
        {.agent_id = "bench",
         .iface = "wg0",
         .ledger_path = home_.File("ledger"),
         .on_written = [this](uint64_t records, const audit::Head& newest) { publisher_->Written(records, newest); }});
    CHECK(recorder.ok()) << recorder.status();
    recorder_ = *std::move(recorder);
    publisher_->Start();
    recorder_->Start();
  }
  uint32_t Put(uint32_t records) {
    Produce argument = {number_, records, 0};
    LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &argument, .ctx_size_in = sizeof argument);
    PCHECK(bpf_prog_test_run_opts(bpf_program__fd(producer_->progs.produce), &run) == 0);
    number_ += argument.written;
    return argument.written;
  }

  TempDir home_;
  std::string pins_;
  std::unique_ptr<NetNamespace> ns_;
  std::unique_ptr<TunDevice> tun_;
  std::unique_ptr<datapath::Datapath> datapath_;
  std::unique_ptr<lattice_ring_producer, void (*)(lattice_ring_producer*)> producer_{nullptr,
                                                                                     lattice_ring_producer::destroy};
  dp::NatsSink sink_;
  std::unique_ptr<audit::Publisher> publisher_;
  std::unique_ptr<dp::Recorder> recorder_;
  uint64_t number_ = 0;
};

double Stored(const Latticed& server) {
  return server.Scrape().Sum("latticed_ingest_stored_total");
}

// Until the table has `rows`.
void AwaitStored(const Latticed& server, uint64_t rows) {
  const absl::Time deadline = absl::Now() + absl::Minutes(5);
  while (Stored(server) < static_cast<double>(rows)) {
    CHECK(absl::Now() < deadline) << "the table has " << Stored(server) << " of " << rows << " rows\n" << server.log();
    absl::SleepFor(absl::Milliseconds(20));
  }
}

// Each number of our records once, and nothing else of ours.
bool Complete(const Latticed& server, uint64_t rows) {
  auto database = sql::Database::Open("sqlite://" + server.File("lattice.db"));
  CHECK(database.ok()) << database.status();
  auto connection = (*database)->Connect();
  CHECK(connection.ok()) << connection.status();
  auto counted = (*connection)
                     ->Query(
                         "SELECT count(*), count(DISTINCT seq), min(seq), max(seq) FROM la_flow_events "
                         "WHERE node = 'bench' AND event = 'end'");
  CHECK(counted.ok()) << counted.status();
  const sql::Row& row = (*counted)[0];
  const auto wanted = static_cast<int64_t>(rows);
  std::printf("# %lld records produced, %lld rows, %lld different numbers from %lld to %lld\n",
              static_cast<long long>(wanted), static_cast<long long>(row[0].integer()),
              static_cast<long long>(row[1].integer()), static_cast<long long>(row[2].integer()),
              static_cast<long long>(row[3].integer()));
  return row[0].integer() == wanted && row[1].integer() == wanted;
}

// Rows a second of the alternative.
double Alternative() {
  auto server = NatsServer::Start();
  CHECK(server.ok()) << server.status();
  auto subscriber = NatsSubscriber::Subscribe((*server)->url(), "lattice.audit.flow");
  CHECK(subscriber.ok()) << subscriber.status();
  TempDir dir;
  {
    auto audit = audit::AuditFile::Open(audit::RealFileSystem(), RealClock(),
                                        {.path = dir.File("audit.jsonl"), .node = "n", .boot = "b"});
    CHECK(audit.ok()) << audit.status();
    for (int i = 0; i < FLAGS_alternative_rows; ++i) {
      flow::FlowRecord record = EndRecord(static_cast<uint64_t>(i));
      (*audit)->Add(record);
    }
    CHECK((*audit)->Close().ok());
  }
  dp::NatsSink sink({.nats = {.urls = {(*server)->url()}}, .jetstream = false});
  audit::PublisherOptions options;
  options.audit_path = dir.File("audit.jsonl");
  auto publisher = audit::Publisher::Create(audit::RealFileSystem(), RealClock(), sink, options);
  CHECK(publisher.ok()) << publisher.status();
  (*publisher)->Start();
  const auto all = static_cast<uint64_t>(FLAGS_alternative_rows);
  while ((*publisher)->counters().published < all) absl::SleepFor(absl::Milliseconds(1));

  auto database = sql::Database::Open("sqlite://" + dir.File("alternative.db"));
  CHECK(database.ok()) << database.status();
  auto connection = (*database)->Connect();
  CHECK(connection.ok()) << connection.status();
  CHECK((*connection)
            ->ExecuteScript("PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL; PRAGMA cache_size=-2000; "
                            "PRAGMA temp_store=DEFAULT")
            .ok());
  const auto mode = (*connection)->Query("PRAGMA journal_mode");
  CHECK(mode.ok() && (*mode)[0][0].text() == "delete");
  CHECK((*connection)->ExecuteScript(control::AuditMigrations()[0].sqlite).ok());
  const absl::Time begin = absl::Now();
  for (uint64_t i = 0; i < all; ++i) {
    const auto message = (*subscriber)->Next(absl::Seconds(10));
    CHECK(message.has_value()) << "only " << i << " messages came";
    auto event = control::DecodeMessage(message->payload, {.seq = i + 1, .time_ns = absl::GetCurrentTimeNanos()});
    CHECK(event.ok()) << event.status();
    const std::string id = control::NewRowIds(1)[0];
    std::vector<sql::Param> params;
    const std::string dst = control::AddressKey(event->dst_ip), src = control::AddressKey(event->src_ip);
    control::AppendParams(*event, id, absl::GetCurrentTimeNanos(), dst, src, params);
    CHECK((*connection)->Execute(control::InsertEvent(), params, absl::InfiniteFuture()).ok());
  }
  return static_cast<double>(all) / Seconds(begin);
}

// What each process used since the last call.
class CpuMeter {
 public:
  explicit CpuMeter(pid_t latticed) : latticed_(latticed) { Take(); }
  void Print(const char* during) {
    const auto before = std::exchange(last_, {});
    Take();
    std::printf("# CPU seconds during the %s: recorder, publisher and producer %.1f, latticed %.1f, nats-server %.1f\n",
                during, last_[0] - before[0], last_[1] - before[1], last_[2] - before[2]);
  }

 private:
  void Take() { last_ = {OwnCpu(), CpuOf(latticed_), CpuOfChildren(latticed_)}; }
  const pid_t latticed_;
  std::array<double, 3> last_ = {};
};

int Main() {
  Latticed server({"--require_agent_auth=false"});
  const absl::Status started = server.Start();
  CHECK(started.ok()) << started;
  bool met = true;
  double burst = 0;
  uint64_t rows = 0;
  {
    Writer writer(server.nats_url());
    CpuMeter cpu(server.pid());
    absl::Time begin = absl::Now();
    rows = writer.Run(FLAGS_rate, FLAGS_seconds);
    const double load = Seconds(begin), behind = static_cast<double>(rows) - Stored(server);
    AwaitStored(server, rows);
    cpu.Print("steady load");
    std::printf(
        "# %d records a second for %.1f s: %.0f were on their way at the end, all were stored %.2f s after it\n",
        FLAGS_rate, load, behind, Seconds(begin) - load);
    met &= Figure("behind after the steady load (seconds of it)", behind / FLAGS_rate, kBehindBar, kBehindAim, true);
    met &= Figure("kernel to table, steady (thousand rows a second)", static_cast<double>(rows) / Seconds(begin) / 1e3,
                  0.95 * FLAGS_rate / 1e3, 1.0 * FLAGS_rate / 1e3, false);

    begin = absl::Now();
    const uint64_t more = writer.Run(FLAGS_burst_rate, FLAGS_burst_seconds);
    const double produced = Seconds(begin);
    rows += more;
    AwaitStored(server, rows);
    burst = static_cast<double>(more) / Seconds(begin);
    cpu.Print("burst");
    std::printf("# burst of %d a second: the ring took it within %.1f s (%d s), all were stored after %.1f s\n",
                FLAGS_burst_rate, produced, FLAGS_burst_seconds, Seconds(begin));
    met &= Figure("kernel to table, burst until all is stored (thousand rows a second)", burst / 1e3, kBurstBar,
                  kBurstAim, false);
    met &= Figure("latticed RSS at its highest (MiB)", RssMiB(server.pid()), kRssBar, kRssAim, true);
  }
  const bool complete = Complete(server, rows);
  server.Stop();
  const double alternative = Alternative();
  std::printf("# an INSERT for each message: %.0f rows a second; latticed in the burst: %.0f\n", alternative, burst);
  met &=
      Figure("latticed / an INSERT for each message (rows a second)", burst / alternative, kRatioBar, kRatioAim, false);
  return met && complete ? 0 : 1;
}

}  // namespace
}  // namespace lattice::testing

int main(int argc, char** argv) {
  FLAGS_logtostderr = true;
  FLAGS_minloglevel = google::GLOG_WARNING;
  google::InitGoogleLogging(argv[0]);
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  return lattice::testing::Main();
}
