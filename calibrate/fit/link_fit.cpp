#include "calibrate/fit/link_fit.h"

#include <cmath>
#include <set>
#include <tuple>

#include "calibrate/fit/held_out.h"
#include "calibrate/fit/search.h"
#include "sim/core/error.h"
#include "sim/cost/cost_model.h"
#include "sim/network/collective.h"
#include "sim/step/step_timer.h"

namespace foretoken::calibrate {
namespace {

constexpr std::int64_t kValueBytes = 2;
constexpr int kFolds = 5;

struct Point {
  std::string wire;
  Format format;
  Sample sample;
  int fold = 0;
};

class LinkModel {
 public:
  LinkModel(const Profile& profile, const PairLink& link)
      : cost_(priceable(profile)),
        costs_(collective_costs(cost_)),
        topology_(*link.topology),
        link_class_(topology_.route_class(0, 1)) {
    costs_.t0 = kTimeZero;
    costs_.step_latency = kTimeZero;
  }

  LinkClass link_class() const { return link_class_; }

  double seconds(const Point& point, double step, double efficiency) {
    costs_.per_class[link_class_] = {efficiency, time_from_seconds(step)};
    CollectiveRequest request;
    request.values = point.sample.shape[1] / kValueBytes;
    request.wire = point.format;
    request.gpus = {0, 1};
    request.algorithm = Algorithm::two_step;
    request.protocol = Protocol::simple;
    request.chunks = 1;
    return to_seconds(simulate_alone(topology_, costs_, request).total);
  }

  // (step, efficiency) of least mean |log ratio|.
  std::pair<double, double> fit(const std::vector<Point>& points, int without) {
    const auto best = minimise_log(
        [&](const std::vector<double>& p) {
          double sum = p[1] > 2 ? 100 * p[1] : 0;  // beyond twice the link lies nonsense
          for (const Point& point : points) {
            if (point.fold != without) {
              sum += std::abs(std::log(seconds(point, p[0], p[1]) / point.sample.seconds));
            }
          }
          return sum;
        },
        {1e-6, 0.3}, 5, 10);
    return {best[0], std::min(best[1], 2.0)};
  }

 private:
  CostModel cost_;
  CollectiveCosts costs_;
  const Topology& topology_;
  LinkClass link_class_;
};

}  // namespace

LinkFit fit_link(const Profile& profile, const PairLink& link,
                 const std::map<std::string, std::vector<Sample>>& by_wire, double least_spread) {
  std::vector<Point> points;
  std::set<std::int64_t> sizes;
  for (const auto& [wire, samples] : by_wire) {
    for (const Sample& sample : samples) {
      FT_CHECK(sample.shape.size() == 2 && sample.shape[0] == 2, "an all-reduce of two ranks");
      points.push_back({wire, parse_format(wire, FormatRole::wire), sample, 0});
      sizes.insert(sample.shape[1]);
    }
  }
  FT_CHECK(!points.empty());
  for (Point& point : points) {
    point.fold =
        static_cast<int>(std::distance(sizes.begin(), sizes.find(point.sample.shape[1]))) % kFolds;
  }
  LinkModel model(profile, link);
  LinkFit fit;
  fit.link_class = model.link_class();
  std::tie(fit.step_latency, fit.efficiency) = model.fit(points, -1);
  std::vector<Trial> trials;
  std::vector<int> folds;
  std::vector<std::string> wires;
  for (int fold = 0; fold < kFolds; ++fold) {
    const auto [step, efficiency] = model.fit(points, fold);
    for (const Point& point : points) {
      if (point.fold == fold) {
        trials.push_back(
            {point.sample.shape, point.sample.seconds, model.seconds(point, step, efficiency), 0});
        folds.push_back(fold);
        wires.push_back(point.wire);
      }
    }
  }
  cross_fit_spread(trials, folds, least_spread);
  fit.sd = spread_of(trials, least_spread);
  for (std::size_t i = 0; i < trials.size(); ++i) {
    fit.trials[wires[i]].push_back(trials[i]);
  }
  return fit;
}

}  // namespace foretoken::calibrate
