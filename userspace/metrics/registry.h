// Metrics and their Prometheus text exposition (format 0.0.4).
//
//   Registry registry;
//   const FamilyId written = registry.Declare(Type::kCounter, "lattice_dp_audit_records_written_total",
//                                             "Records written to the local audit file.");
//   Counter& counter = registry.AddCounter(written);          // a value this process holds
//   registry.AddCollector([&](Collection& out) {              // values read from the kernel at each scrape
//     out.Count(packets, {"wg0", "egress", "allow"}, ReadCounter());
//   });
//   std::string body = registry.Render();
//
// Promise: Render() is always a valid exposition: each family once, each series once, values escaped,
// no more series in a family than it was declared with. Labels that would be unbounded
// (an address, a port, an agent) cannot be declared.
//
// Threads: Declare, Add* and Render on one thread. The Counter, Gauge and Histogram they return live as
// long as the registry and may be used by any thread. Collectors run inside Render.
#ifndef USERSPACE_METRICS_REGISTRY_H_
#define USERSPACE_METRICS_REGISTRY_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace lattice::metrics {

// The Content-Type of Render().
inline constexpr char kContentType[] = "text/plain; version=0.0.4; charset=utf-8";

enum class Type { kCounter, kGauge, kHistogram };

class Counter {
 public:
  void Increment(uint64_t by = 1) { value_.fetch_add(by, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class Histogram {
 public:
  // Upper bounds in ascending order, without +Inf.
  explicit Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), buckets_(bounds_.size() + 1) {}
  void Observe(double value);

 private:
  friend class Registry;
  const std::vector<double> bounds_;
  mutable absl::Mutex mutex_;
  std::vector<uint64_t> buckets_ ABSL_GUARDED_BY(mutex_);  // not cumulative; the last is +Inf
  double sum_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Names a declared family; of the registry that returned it only.
struct FamilyId {
  size_t index;
};

// A value per label, in the order of the declaration.
using LabelValues = std::vector<std::string>;

// Series of counters and gauges, as one scrape sees them.
class Collection {
 public:
  // A counter. The same series twice in one scrape adds up.
  void Count(FamilyId family, const LabelValues& labels, uint64_t value);
  // A gauge. The same series twice: the last one.
  void Set(FamilyId family, const LabelValues& labels, double value);

 private:
  friend class Registry;
  struct Value {
    uint64_t count = 0;
    double gauge = 0;
  };
  struct Series {
    Type type = Type::kCounter;
    size_t labels = 0;
    size_t max_series = 0;
    std::map<LabelValues, Value> values;
  };
  Value& At(FamilyId family, Type type, const LabelValues& labels);
  std::vector<Series> families_;
};

class Registry {
 public:
  // A family holds this many series unless it is declared with another limit.
  static constexpr size_t kDefaultMaxSeries = 256;

  // Series over `max_series` are one series whose label values are all "other". Names come from our
  // source, so a bad, a second or an unbounded one (kUnboundedLabels in registry.cc) is a CHECK.
  FamilyId Declare(Type type, absl::string_view name, absl::string_view help, std::vector<std::string> label_names = {},
                   size_t max_series = kDefaultMaxSeries);

  // A series with a value of its own, from 0. The same labels twice is a CHECK.
  Counter& AddCounter(FamilyId family, LabelValues labels = {});
  Gauge& AddGauge(FamilyId family, LabelValues labels = {});
  Histogram& AddHistogram(FamilyId family, std::vector<double> bounds, LabelValues labels = {});

  // Called at each Render() to give the values of series that nobody holds in this process. What it borrows
  // must outlive the registry.
  void AddCollector(std::function<void(Collection&)> collector);

  std::string Render() const;

 private:
  struct Family {
    Type type;
    std::string name;
    std::string help;
    std::vector<std::string> label_names;
    size_t max_series;
  };
  template <typename T>
  struct Held {
    FamilyId family;
    LabelValues labels;
    T metric;
    template <typename... Args>
    Held(FamilyId f, LabelValues l, Args&&... args)
        : family(f), labels(std::move(l)), metric(std::forward<Args>(args)...) {}
  };
  void CheckNewSeries(FamilyId family, Type type, const LabelValues& labels);
  void RenderHistograms(size_t family, std::string* out) const;

  std::vector<Family> families_;
  // Deques, so that references stay good.
  std::deque<Held<Counter>> counters_;
  std::deque<Held<Gauge>> gauges_;
  std::deque<Held<Histogram>> histograms_;
  std::vector<std::function<void(Collection&)>> collectors_;
};

}  // namespace lattice::metrics

#endif  // USERSPACE_METRICS_REGISTRY_H_
