// Predictions of measurements that the fit has not seen, and what they say about it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "calibrate/fit/gemm_fit.h"
#include "sim/cost/cost_model.h"
#include "sim/spec/profile.h"

namespace foretoken::calibrate {

HeldOut summarise(const std::vector<Trial>& trials);
double log_error(const Trial& trial);

// Spread that holds 90 % of these errors, at least `least`.
double spread_of(const std::vector<Trial>& trials, double least);
// Sets each trial's spread from the trials of the other folds (trial i is of fold[i]), so that what
// the intervals are judged by did not make them.
void cross_fit_spread(std::vector<Trial>& trials, const std::vector<int>& fold, double least);

// The profile with what every cost model wants of a device, where it lacks that: a part of a
// calibration has no memory or bandwidth, and its families do not ask for them.
Profile priceable(Profile profile);

// Every sample of a table predicted by the simulator's own cost model from a profile that lacks its
// fold; `fold` < 0: never left out. Trials come with a cross-fitted spread.
std::vector<Trial> hold_out(const Profile& profile, const std::string& table,
                            const std::function<int(const Sample&)>& fold,
                            const std::function<Estimate(const CostModel&, const Sample&)>& price,
                            double least_spread);

}  // namespace foretoken::calibrate
