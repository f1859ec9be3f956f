#include "tests/testing/metrics_text.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "glog/logging.h"

namespace lattice::testing {
namespace {

// `text` is what is between the braces: a="x",b="y\"z". Our own names and values hold no escapes but \" and \\.
MetricLabels ParseLabels(absl::string_view text) {
  MetricLabels labels;
  size_t at = 0;
  while (at < text.size()) {
    const size_t equals = text.find("=\"", at);
    if (equals == absl::string_view::npos) break;
    const std::string name(text.substr(at, equals - at));
    std::string value;
    size_t i = equals + 2;
    for (; i < text.size() && text[i] != '"'; ++i) {
      if (text[i] == '\\' && i + 1 < text.size()) ++i;
      value += text[i];
    }
    labels[name] = value;
    at = i + 2;  // the quote and the comma
  }
  return labels;
}

}  // namespace

MetricsText MetricsText::Parse(absl::string_view text) {
  MetricsText parsed;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (absl::StartsWith(line, "#")) continue;
    const size_t space = line.rfind(' ');
    Series series;
    if (space == absl::string_view::npos || !absl::SimpleAtod(line.substr(space + 1), &series.value)) {
      LOG(ERROR) << "no sample: " << line;
      continue;
    }
    const absl::string_view id = line.substr(0, space);
    const size_t brace = id.find('{');
    series.name = std::string(id.substr(0, brace));
    if (brace != absl::string_view::npos) series.labels = ParseLabels(id.substr(brace + 1, id.size() - brace - 2));
    parsed.series_.push_back(std::move(series));
  }
  return parsed;
}

std::vector<MetricsText::Series> MetricsText::Matching(const std::string& name, const MetricLabels& labels) const {
  std::vector<Series> matching;
  for (const Series& series : series_) {
    if (series.name != name) continue;
    bool all = true;
    for (const auto& [key, value] : labels) {
      const auto found = series.labels.find(key);
      all = all && found != series.labels.end() && found->second == value;
    }
    if (all) matching.push_back(series);
  }
  return matching;
}

bool MetricsText::Has(const std::string& name, const MetricLabels& labels) const {
  return !Matching(name, labels).empty();
}

double MetricsText::Sum(const std::string& name, const MetricLabels& labels) const {
  double sum = 0;
  for (const Series& series : Matching(name, labels)) sum += series.value;
  return sum;
}

}  // namespace lattice::testing
