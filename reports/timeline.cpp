#include "reports/timeline.h"

#include <algorithm>
#include <cmath>

namespace foretoken::reports {
namespace {

struct Bin {
  double integral = 0;  // over seconds, or over steps
  double weight = 0;
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value, double more) {
    integral += value * more;
    weight += more;
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

class Bins {
 public:
  Bins(Time end, int count)
      : width_(to_seconds(end) / count), bins_(static_cast<std::size_t>(count)) {}

  Bin& at(double seconds) {
    const double index = width_ > 0 ? std::floor(seconds / width_) : 0;
    return bins_[static_cast<std::size_t>(
        std::clamp(index, 0.0, static_cast<double>(bins_.size() - 1)))];
  }

  // `value` holds from `from` to `to`.
  void hold(double from, double to, double value) {
    while (from < to && width_ > 0) {
      const double next = std::min(to, (std::floor(from / width_ + 1e-9) + 1) * width_);
      if (next <= from) {
        break;
      }
      at((from + next) / 2).add(value, next - from);
      from = next;
    }
  }

  page::Series series(const std::string& name, double scale) const {
    page::Series series{name, {}};
    for (std::size_t i = 0; i < bins_.size(); ++i) {
      page::Point point{(static_cast<double>(i) + 0.5) * width_, page::kNone};
      if (bins_[i].weight > 0) {
        point.y = scale * bins_[i].integral / bins_[i].weight;
        point.low = scale * bins_[i].low;
        point.high = scale * bins_[i].high;
      }
      series.points.push_back(point);
    }
    return series;
  }

 private:
  double width_;  // seconds
  std::vector<Bin> bins_;
};

}  // namespace

page::Series state_series(const std::vector<StepSample>& steps, std::int64_t StepSample::*count,
                          Time end, int bins, const std::string& name, double scale) {
  Bins all(end, bins);
  std::vector<std::int64_t> current;  // by replica
  std::int64_t sum = 0;
  Time since = kTimeZero;
  for (const StepSample& step : steps) {
    all.hold(to_seconds(since), to_seconds(step.end), static_cast<double>(sum));
    since = step.end;
    const auto replica = static_cast<std::size_t>(step.replica);
    current.resize(std::max(current.size(), replica + 1));
    sum += step.*count - current[replica];
    current[replica] = step.*count;
  }
  all.hold(to_seconds(since), to_seconds(end), static_cast<double>(sum));
  return all.series(name, scale);
}

page::Series step_series(const std::vector<StepSample>& steps, std::int64_t StepSample::*count,
                         Time end, int bins, const std::string& name) {
  Bins all(end, bins);
  for (const StepSample& step : steps) {
    all.at(to_seconds(step.end)).add(static_cast<double>(step.*count), 1);
  }
  return all.series(name, 1);
}

}  // namespace foretoken::reports
