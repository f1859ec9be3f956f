// How many flow records a second go from the kernel's ring into the audit file: the daemon's own recorder
// on one CPU, a BPF program that fills the ring of a real data plane on the other. Prints
//   figure, value, bar, aim, met|short
// exit status 1 when the bar is missed or a single record is. The producer waits while the ring is full, as
// the tables of the data plane do, so the value is the rate of the recorder; the time ends when the last line
// is in the file.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "glog/logging.h"
#include "lattice_ring_producer.skel.h"
#include "tests/testing/netns.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/tun.h"
#include "userspace/audit/audit_file.h"
#include "userspace/base/clock.h"
#include "userspace/datapath/datapath.h"
#include "userspace/datapath/detach.h"
#include "userspace/dp/recorder.h"
#include "userspace/policy/rule.h"

namespace lattice::testing {
namespace {

constexpr double kBar = 200, kAim = 500;  // thousand records a second
constexpr uint64_t kRecords = 2'000'000;

struct Produce {  // struct produce of ring_producer.bpf.c
  uint64_t first;
  uint32_t records;
  uint32_t written;
};

std::unique_ptr<lattice_ring_producer, void (*)(lattice_ring_producer*)> LoadProducer(int ring_fd) {
  std::unique_ptr<lattice_ring_producer, void (*)(lattice_ring_producer*)> skeleton(lattice_ring_producer::open(),
                                                                                    lattice_ring_producer::destroy);
  CHECK(skeleton != nullptr);
  PCHECK(bpf_map__reuse_fd(skeleton->maps.flow_ring, ring_fd) == 0);
  PCHECK(lattice_ring_producer::load(skeleton.get()) == 0);
  return skeleton;
}

void ProduceAll(int program) {
  for (uint64_t number = 0; number < kRecords;) {
    Produce argument = {number, static_cast<uint32_t>(std::min<uint64_t>(4096, kRecords - number)), 0};
    LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &argument, .ctx_size_in = sizeof argument);
    PCHECK(bpf_prog_test_run_opts(program, &run) == 0);
    number += argument.written;
    if (argument.written == 0) absl::SleepFor(absl::Microseconds(200));
  }
}

// Lines that the producer's records became.
uint64_t CountLines(const std::string& folder) {
  uint64_t lines = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".jsonl") continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) lines += line.find("\"event\":\"end\"") != std::string::npos;
  }
  return lines;
}

double Rate(datapath::Datapath& datapath, const std::string& folder) {
  auto audit = audit::AuditFile::Open(
      audit::RealFileSystem(), RealClock(),
      {.path = folder + "/audit.jsonl", .node = "bench", .boot = "bench", .iface = "wg0", .spool_cap_bytes = 0});
  CHECK(audit.ok()) << audit.status();
  auto recorder = dp::Recorder::Create(datapath, *std::move(audit),
                                       {.agent_id = "bench",
                                        .iface = "wg0",
                                        .ledger_path = folder + "/ledger",
                                        .on_written = [](uint64_t, const audit::Head&) {}});
  CHECK(recorder.ok()) << recorder.status();
  const auto producer = LoadProducer(datapath.flow_ring_fd());
  (*recorder)->Start();
  const int64_t start = RealClock().MonotonicNs();
  std::thread thread([&] { ProduceAll(bpf_program__fd(producer->progs.produce)); });
  thread.join();
  const absl::Status stopped = (*recorder)->Stop(absl::Seconds(60), /*end_all=*/false);
  CHECK(stopped.ok()) << stopped;
  return static_cast<double>(kRecords) * 1e6 / static_cast<double>(RealClock().MonotonicNs() - start);
}

int Main() {
  auto ns = NetNamespace::Create("ring");
  CHECK(ns.ok()) << ns.status();
  auto tun = TunDevice::Create(**ns, "wg0", {"198.18.0.1/32"});
  CHECK(tun.ok()) << tun.status();
  TempDir home;
  datapath::Options options;
  options.iface = "wg0";
  options.pin_path = absl::StrCat("/sys/fs/bpf/lat-t-", ::getpid(), "-ring");
  double rate = 0;
  (*ns)->Run([&] {
    auto datapath = datapath::Datapath::Create(options, policy::RuleSet());
    CHECK(datapath.ok()) << datapath.status();
    rate = Rate(**datapath, home.path());
    datapath->reset();
    const auto detached = datapath::Detach("wg0", options.pin_path);
    LOG_IF(ERROR, !detached.ok()) << detached.status();
  });
  LOG_IF(WARNING, ::rmdir(options.pin_path.c_str()) != 0 && errno != ENOENT) << options.pin_path;
  const uint64_t lines = CountLines(home.path());
  const bool met = rate >= kBar && lines == kRecords;
  std::printf("flow records kernel ring to file (thousand a second), %.0f, %.0f, %.0f, %s\n", rate, kBar, kAim,
              met ? "met" : "short");
  std::printf("# %llu records produced, %llu lines in the file\n", static_cast<unsigned long long>(kRecords),
              static_cast<unsigned long long>(lines));
  return met ? 0 : 1;
}

}  // namespace
}  // namespace lattice::testing

int main(int, char** argv) {
  FLAGS_logtostderr = true;
  FLAGS_minloglevel = google::GLOG_WARNING;
  google::InitGoogleLogging(argv[0]);
  return lattice::testing::Main();
}
