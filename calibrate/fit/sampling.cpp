#include "calibrate/fit/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

using Shape = std::pair<std::int64_t, std::int64_t>;
using Groups = std::map<Shape, std::vector<Sample>>;

double log_of(std::int64_t value) { return std::log2(static_cast<double>(value)); }

Groups by_shape(std::span<const Sample> all) {
  Groups groups;
  for (const Sample& sample : all) {
    groups[{sample.shape[1], sample.shape[2]}].push_back(sample);
  }
  for (auto& [shape, samples] : groups) {
    std::sort(samples.begin(), samples.end(),
              [](const Sample& a, const Sample& b) { return a.shape[0] < b.shape[0]; });
  }
  return groups;
}

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  double at(double share) const { return low + share * (high - low); }
};

// The free group nearest to a point of the square.
Shape nearest_group(const Groups& groups, const std::set<Shape>& taken, double log_n,
                    double log_k) {
  Shape best;
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [shape, samples] : groups) {
    const double dn = log_of(shape.first) - log_n;
    const double dk = log_of(shape.second) - log_k;
    if (const double d = dn * dn + dk * dk; d < least && !taken.contains(shape)) {
      least = d;
      best = shape;
    }
  }
  return best;
}

std::set<Shape> choose_groups(const Groups& groups, int count, int first) {
  // Additive recurrence with the plastic number (Roberts 2018).
  constexpr double kPlastic = 1.32471795724474602596;
  Range n, k;
  for (const auto& [shape, samples] : groups) {
    n.add(log_of(shape.first));
    k.add(log_of(shape.second));
  }
  std::set<Shape> chosen;
  for (int i = first; static_cast<int>(chosen.size()) < count; ++i) {
    const double u = std::fmod(0.5 + i / kPlastic, 1.0);
    const double v = std::fmod(0.5 + i / (kPlastic * kPlastic), 1.0);
    chosen.insert(nearest_group(groups, chosen, n.at(u), k.at(v)));
  }
  return chosen;
}

// The free sample whose m is nearest, on the log scale, to each of `count` evenly spaced ones.
void choose_along_m(const std::vector<Sample>& group, int count, double offset,
                    std::vector<Sample>& chosen) {
  std::set<std::size_t> taken;
  const double span = log_of(group.back().shape[0]);
  for (int j = 0; j < std::min(count, static_cast<int>(group.size())); ++j) {
    const double wanted = (j + offset) / count * span;
    std::size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < group.size(); ++i) {
      if (const double d = std::abs(log_of(group[i].shape[0]) - wanted);
          d < least && !taken.contains(i)) {
        least = d;
        best = i;
      }
    }
    taken.insert(best);
  }
  for (const std::size_t i : taken) {
    chosen.push_back(group[i]);
  }
}

}  // namespace

Sampling choose_gemm_samples(std::span<const Sample> all, int groups, int per_group, int first) {
  constexpr double kGolden = 0.6180339887498949;
  const Groups by = by_shape(all);
  FT_CHECK(groups < static_cast<int>(by.size()), "{} of {} groups leave none unseen", groups,
           by.size());
  const std::set<Shape> chosen = choose_groups(by, groups, first);
  Sampling sampling;
  int index = 0;
  for (const auto& [shape, samples] : by) {
    if (chosen.contains(shape)) {
      choose_along_m(samples, per_group, std::fmod(0.3 + kGolden * index++, 1.0), sampling.chosen);
    } else {
      sampling.unseen.insert(sampling.unseen.end(), samples.begin(), samples.end());
    }
  }
  return sampling;
}

}  // namespace foretoken::calibrate
