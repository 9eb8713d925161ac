#include "calibrate/fit/held_out.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "calibrate/fit/search.h"

namespace foretoken::calibrate {

namespace {
constexpr double kQuantile90 = 1.6448536269514722;  // normal distribution, two-sided 90 %
}

double log_error(const Trial& trial) { return std::log(trial.predicted / trial.measured); }

HeldOut summarise(const std::vector<Trial>& trials) {
  std::vector<double> errors, sds;
  for (const Trial& trial : trials) {
    errors.push_back(log_error(trial));
    sds.push_back(trial.sd);
  }
  return summarise_errors(errors, sds);
}

double spread_of(const std::vector<Trial>& trials, double least) {
  std::vector<double> sizes;
  for (const Trial& trial : trials) {
    sizes.push_back(std::abs(log_error(trial)));
  }
  return sizes.empty() ? least : std::max(least, quantile(sizes, 0.9) / kQuantile90);
}

void cross_fit_spread(std::vector<Trial>& trials, const std::vector<int>& fold, double least) {
  for (const int left_out : std::set<int>(fold.begin(), fold.end())) {
    std::vector<Trial> others;
    for (std::size_t i = 0; i < trials.size(); ++i) {
      if (fold[i] != left_out) {
        others.push_back(trials[i]);
      }
    }
    const double sd = spread_of(others, least);
    for (std::size_t i = 0; i < trials.size(); ++i) {
      if (fold[i] == left_out) {
        trials[i].sd = sd;
      }
    }
  }
}

Profile priceable(Profile profile) {
  for (const char* key : {"device.memory", "device.memory_bandwidth"}) {
    profile.parameters.try_emplace(key, Parameter{1e9, Provenance::assumed, ""});
  }
  return profile;
}

std::vector<Trial> hold_out(const Profile& profile, const std::string& table,
                            const std::function<int(const Sample&)>& fold,
                            const std::function<Estimate(const CostModel&, const Sample&)>& price,
                            double least_spread) {
  const SampleTable& all = profile.samples.at(table);
  std::map<int, std::vector<Sample>> folds;
  for (const Sample& sample : all.samples) {
    folds[fold(sample)].push_back(sample);
  }
  Profile part;
  part.name = profile.name;
  part.parameters = profile.parameters;
  part = priceable(std::move(part));
  std::vector<Trial> trials;
  std::vector<int> fold_of;
  for (const auto& [number, unseen] : folds) {
    if (number < 0) {
      continue;
    }
    SampleTable& known = part.samples[table] = {{}, all.provenance, all.source};
    for (const Sample& sample : all.samples) {
      if (fold(sample) != number) {
        known.samples.push_back(sample);
      }
    }
    if (known.samples.empty()) {
      continue;
    }
    const CostModel model(part);
    for (const Sample& sample : unseen) {
      trials.push_back({sample.shape, sample.seconds, price(model, sample).seconds, 0});
      fold_of.push_back(number);
    }
  }
  cross_fit_spread(trials, fold_of, least_spread);
  return trials;
}

}  // namespace foretoken::calibrate
