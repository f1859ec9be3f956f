#include "userspace/metrics/registry.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "glog/logging.h"

namespace lattice::metrics {
namespace {

// Their values are chosen by whoever sends packets: one scan would make a series per packet.
constexpr absl::string_view kUnboundedLabels[] = {"address", "agent", "agent_name", "dst",  "dst_ip", "host",
                                                  "ip",      "peer",  "pod",        "port", "src",    "src_ip"};

constexpr char kOther[] = "other";

// https://prometheus.io/docs/concepts/data_model: [a-zA-Z_:][a-zA-Z0-9_:]*, without ':' in a label.
bool IsName(absl::string_view name, bool colon_allowed) {
  if (name.empty() || absl::ascii_isdigit(name[0])) return false;
  return std::all_of(name.begin(), name.end(),
                     [&](char c) { return absl::ascii_isalnum(c) || c == '_' || (c == ':' && colon_allowed); });
}

absl::string_view TypeName(Type type) {
  switch (type) {
    case Type::kCounter:
      return "counter";
    case Type::kGauge:
      return "gauge";
    case Type::kHistogram:
      return "histogram";
  }
  return "untyped";
}

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  // As short as can be, so that a bucket bound reads "0.005", and exact beyond that.
  const std::string text = absl::StrFormat("%.15g", value);
  double parsed = 0;
  return absl::SimpleAtod(text, &parsed) && parsed == value ? text : absl::StrFormat("%.17g", value);
}

std::string EscapedHelp(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\n", "\\n"}});
}

std::string EscapedLabel(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\n", "\\n"}, {"\"", "\\\""}});
}

// {a="x",b="y"}; `extra` is a ready pair or empty.
std::string Labels(const std::vector<std::string>& names, const LabelValues& values, absl::string_view extra = {}) {
  if (names.empty() && extra.empty()) return "";
  std::string text = "{";
  for (size_t i = 0; i < names.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ",", names[i], "=\"", EscapedLabel(values[i]), "\"");
  }
  if (!extra.empty()) absl::StrAppend(&text, names.empty() ? "" : ",", extra);
  return absl::StrCat(text, "}");
}

}  // namespace

void Histogram::Observe(double value) {
  // A bound belongs to its bucket ("le"). NaN is in +Inf.
  const size_t bucket = static_cast<size_t>(
      std::find_if(bounds_.begin(), bounds_.end(), [&](double bound) { return value <= bound; }) - bounds_.begin());
  absl::MutexLock lock(&mutex_);
  ++buckets_[bucket];
  sum_ += value;
}

Collection::Value& Collection::At(FamilyId family, Type type, const LabelValues& labels) {
  CHECK_LT(family.index, families_.size());
  Series& series = families_[family.index];
  CHECK(series.type == type) << "family number " << family.index << " is a " << TypeName(series.type);
  CHECK_EQ(labels.size(), series.labels) << "family number " << family.index;
  if (auto it = series.values.find(labels); it != series.values.end()) return it->second;
  // The last place is kept for "other".
  if (series.values.size() + 1 < series.max_series || series.labels == 0) return series.values[labels];
  return series.values[LabelValues(series.labels, kOther)];
}

void Collection::Count(FamilyId family, const LabelValues& labels, uint64_t value) {
  At(family, Type::kCounter, labels).count += value;
}

void Collection::Set(FamilyId family, const LabelValues& labels, double value) {
  At(family, Type::kGauge, labels).gauge = value;
}

FamilyId Registry::Declare(Type type, absl::string_view name, absl::string_view help,
                           std::vector<std::string> label_names, size_t max_series) {
  CHECK(IsName(name, /*colon_allowed=*/true)) << name;
  CHECK(!help.empty()) << name;
  CHECK_GT(max_series, 0u) << name;
  CHECK_EQ(type == Type::kCounter, absl::EndsWith(name, "_total")) << name << ": only and all counters end in _total";
  for (const Family& family : families_) CHECK(family.name != name) << name << " is declared twice";
  for (const std::string& label : label_names) {
    CHECK(IsName(label, /*colon_allowed=*/false) && label != "le") << name << "{" << label << "}";
    CHECK(std::find(std::begin(kUnboundedLabels), std::end(kUnboundedLabels), label) == std::end(kUnboundedLabels))
        << name << "{" << label << "}: its values are not bounded";
  }
  families_.push_back({type, std::string(name), std::string(help), std::move(label_names), max_series});
  return {families_.size() - 1};
}

void Registry::CheckNewSeries(FamilyId family, Type type, const LabelValues& labels) {
  CHECK_LT(family.index, families_.size());
  const Family& declared = families_[family.index];
  CHECK(declared.type == type) << declared.name << " is a " << TypeName(declared.type);
  CHECK_EQ(labels.size(), declared.label_names.size()) << declared.name;
  size_t series = 0;
  const auto check = [&](const auto& held) {
    if (held.family.index != family.index) return;
    CHECK(held.labels != labels) << declared.name << Labels(declared.label_names, labels) << " is added twice";
    ++series;
  };
  for (const auto& held : counters_) check(held);
  for (const auto& held : gauges_) check(held);
  for (const auto& held : histograms_) check(held);
  CHECK_LT(series, declared.max_series) << declared.name;
}

Counter& Registry::AddCounter(FamilyId family, LabelValues labels) {
  CheckNewSeries(family, Type::kCounter, labels);
  return counters_.emplace_back(family, std::move(labels)).metric;
}

Gauge& Registry::AddGauge(FamilyId family, LabelValues labels) {
  CheckNewSeries(family, Type::kGauge, labels);
  return gauges_.emplace_back(family, std::move(labels)).metric;
}

Histogram& Registry::AddHistogram(FamilyId family, std::vector<double> bounds, LabelValues labels) {
  CheckNewSeries(family, Type::kHistogram, labels);
  CHECK(std::is_sorted(bounds.begin(), bounds.end())) << families_[family.index].name;
  return histograms_.emplace_back(family, std::move(labels), std::move(bounds)).metric;
}

void Registry::AddCollector(std::function<void(Collection&)> collector) {
  collectors_.push_back(std::move(collector));
}

void Registry::RenderHistograms(size_t family, std::string* out) const {
  const Family& f = families_[family];
  for (const auto& held : histograms_) {
    if (held.family.index != family) continue;
    absl::MutexLock lock(&held.metric.mutex_);
    uint64_t total = 0;
    for (size_t i = 0; i < held.metric.buckets_.size(); ++i) {
      total += held.metric.buckets_[i];
      const std::string bound = i < held.metric.bounds_.size() ? Number(held.metric.bounds_[i]) : "+Inf";
      absl::StrAppend(out, f.name, "_bucket", Labels(f.label_names, held.labels, absl::StrCat("le=\"", bound, "\"")),
                      " ", total, "\n");
    }
    const std::string labels = Labels(f.label_names, held.labels);
    absl::StrAppend(out, f.name, "_sum", labels, " ", Number(held.metric.sum_), "\n");
    absl::StrAppend(out, f.name, "_count", labels, " ", total, "\n");
  }
}

std::string Registry::Render() const {
  Collection collection;
  for (const Family& family : families_) {
    collection.families_.push_back({family.type, family.label_names.size(), family.max_series, {}});
  }
  for (const auto& held : counters_) collection.Count(held.family, held.labels, held.metric.value());
  for (const auto& held : gauges_) collection.Set(held.family, held.labels, held.metric.value());
  for (const auto& collector : collectors_) collector(collection);

  std::string out;
  for (size_t i = 0; i < families_.size(); ++i) {
    const Family& family = families_[i];
    std::string samples;
    for (const auto& [labels, value] : collection.families_[i].values) {
      absl::StrAppend(&samples, family.name, Labels(family.label_names, labels), " ",
                      family.type == Type::kCounter ? absl::StrCat(value.count) : Number(value.gauge), "\n");
    }
    RenderHistograms(i, &samples);
    if (samples.empty()) continue;
    absl::StrAppend(&out, "# HELP ", family.name, " ", EscapedHelp(family.help), "\n# TYPE ", family.name, " ",
                    TypeName(family.type), "\n", samples);
  }
  return out;
}

}  // namespace lattice::metrics
