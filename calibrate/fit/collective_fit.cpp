#include "calibrate/fit/collective_fit.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "calibrate/fit/search.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

constexpr std::size_t kFirstSizes = 6;
// Sizes left out at each end, which the curve carries on to: half a gap of those between.
constexpr std::size_t kMargin = 2;
constexpr double kQuantile90 = 1.6448536269514722;
constexpr double kRepeatability = 0.02;

// By how much, as a logarithm, the time of a size between known[gap] and known[gap + 1] is open, in
// two ways. It may lie on the line through the two, or on that of the gap before or behind, carried
// on: all agree where a fixed time and a rate hold; where a protocol changes they do not. And it is
// no less than a smaller message's and no more than in proportion to it.
double open_range(const CollectivePoints& known, std::size_t gap, double bytes) {
  const CollectiveCurve::Point& low = known[gap];
  const CollectiveCurve::Point& high = known[gap + 1];
  double least = CollectiveCurve::on_line(low, high, bytes);
  double most = least;
  const auto consider = [&](double seconds) {
    const double allowed = std::clamp(seconds, low.seconds, high.seconds);
    least = std::min(least, allowed);
    most = std::max(most, allowed);
  };
  if (gap > 0) {
    consider(CollectiveCurve::on_line(known[gap - 1], low, bytes));
  }
  if (gap + 2 < known.size()) {
    consider(CollectiveCurve::on_line(high, known[gap + 2], bytes));
  }
  const double top = std::min(high.seconds, low.seconds * bytes / low.bytes);
  const double bottom = std::max(low.seconds, high.seconds * bytes / high.bytes);
  return std::log(most / least) + std::abs(std::log(top / bottom));
}

// Squares over the sizes not chosen between two that are.
double open_sum(const CollectivePoints& points, const std::vector<std::size_t>& chosen,
                const CollectivePoints& known, std::size_t gap) {
  double sum = 0;
  for (std::size_t i = chosen[gap] + 1; i < chosen[gap + 1]; ++i) {
    const double range = open_range(known, gap, points[i].bytes);
    sum += range * range;
  }
  return sum;
}

}  // namespace

CollectivePoints without_stragglers(CollectivePoints points) {
  for (std::size_t i = points.size(); i-- > 1;) {
    points[i - 1].seconds = std::min(points[i - 1].seconds, points[i].seconds);
  }
  return points;
}

std::vector<std::size_t> choose_sizes(const CollectivePoints& points, std::size_t count) {
  FT_CHECK(points.size() >= 2 && count >= 2);
  std::vector<std::size_t> chosen;
  const std::size_t first = std::min({kFirstSizes, count, points.size()});
  const std::size_t margin = points.size() >= first + 2 * kMargin ? kMargin : 0;
  const std::size_t range = points.size() - 1 - 2 * margin;
  for (std::size_t i = 0; i < first; ++i) {
    chosen.push_back(margin + (i * range + (first - 1) / 2) / (first - 1));
  }
  while (chosen.size() < std::min(count, points.size())) {
    CollectivePoints known;
    for (const std::size_t i : chosen) {
      known.push_back(points[i]);
    }
    known = without_stragglers(std::move(known));
    std::size_t best = 0;
    double most = -1;
    for (std::size_t gap = 0; gap + 1 < chosen.size(); ++gap) {
      const double left = open_sum(points, chosen, known, gap);
      if (chosen[gap + 1] - chosen[gap] > 1 && left > most) {
        most = left;
        best = gap;
      }
    }
    const std::size_t middle = (chosen[best] + chosen[best + 1] + 1) / 2;
    chosen.insert(chosen.begin() + static_cast<std::ptrdiff_t>(best) + 1, middle);
  }
  return chosen;
}

CollectiveLines fit_lines(const CollectivePoints& points) {
  FT_CHECK(!points.empty());
  double shortest = points.front().seconds;
  double rate = 0;
  for (const auto& point : points) {
    shortest = std::min(shortest, point.seconds);
    rate = std::max(rate, point.bytes / point.seconds);
  }
  const auto lines_of = [](const std::vector<double>& logs) {
    CollectiveLines lines;
    for (std::size_t i = 0; i < 3; ++i) {
      lines.lines[i] = {std::exp(logs[2 * i]), std::exp(logs[2 * i + 1])};
    }
    return lines;
  };
  // LL carries a small part of the bandwidth at the least latency, Simple all of it at the most.
  const std::vector<double> start{std::log(shortest),       std::log(rate / 20),
                                  std::log(1.3 * shortest), std::log(rate / 3),
                                  std::log(2.5 * shortest), std::log(rate)};
  return lines_of(minimise_steps(
      [&](const std::vector<double>& logs) {
        const CollectiveLines lines = lines_of(logs);
        double sum = 0;
        for (const auto& point : points) {
          sum += std::abs(std::log(lines.seconds(point.bytes) / point.seconds));
        }
        return sum;
      },
      start, std::vector<double>(6, -60.0), std::vector<double>(6, 60.0), 40));
}

std::vector<CollectiveError> test_curve(const CollectivePoints& known,
                                        const CollectivePoints& unseen) {
  const CollectivePoints clean = without_stragglers(known);
  const CollectiveCurve curve(fit_lines(clean), clean);
  std::vector<CollectiveError> errors;
  for (const auto& point : unseen) {
    const auto prediction = curve.at(point.bytes);
    errors.push_back({std::log(prediction.seconds / point.seconds), prediction.doubt});
  }
  return errors;
}

double sd_of(const CollectiveSpread& spread, double doubt) {
  return std::hypot(spread.sd, spread.sd_doubt * doubt);
}

// Widths by the Laplace density, then one factor for all so that 90 % lie inside.
CollectiveSpread fit_spread(const std::vector<CollectiveError>& errors) {
  FT_CHECK(!errors.empty());
  const auto best = minimise_log(
      [&](const std::vector<double>& p) {
        double sum = 0;
        for (const CollectiveError& error : errors) {
          const double sd = sd_of({p[0], p[1]}, error.doubt);
          sum += std::log(sd) + std::sqrt(2.0) * std::abs(error.log_error) / sd;
        }
        return sum;
      },
      {0.03, 0.3});
  std::vector<double> ratios;
  ratios.reserve(errors.size());
  for (const CollectiveError& error : errors) {
    ratios.push_back(std::abs(error.log_error) / sd_of({best[0], best[1]}, error.doubt));
  }
  const double widen = quantile(ratios, 0.9) / kQuantile90;
  return {std::max(widen * best[0], kRepeatability), widen * best[1]};
}

}  // namespace foretoken::calibrate
