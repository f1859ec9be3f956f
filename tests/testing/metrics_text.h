// A scrape in the Prometheus text format, as a test asks it. Any thread.
//
//   metrics.Sum("lattice_dp_packets_total", {{"verdict", "deny"}})   // over all series with these labels
#ifndef TESTS_TESTING_METRICS_TEXT_H_
#define TESTS_TESTING_METRICS_TEXT_H_

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace lattice::testing {

using MetricLabels = std::map<std::string, std::string>;

class MetricsText {
 public:
  static MetricsText Parse(absl::string_view text);
  bool Has(const std::string& name, const MetricLabels& labels = {}) const;
  double Sum(const std::string& name, const MetricLabels& labels = {}) const;  // 0 over no series
  bool empty() const { return series_.empty(); }

 private:
  struct Series {
    std::string name;
    MetricLabels labels;
    double value = 0;
  };
  std::vector<Series> Matching(const std::string& name, const MetricLabels& labels) const;
  std::vector<Series> series_;
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_METRICS_TEXT_H_
