// What a calibration says about itself: predictions of samples that the fits have not seen.
#pragma once

#include <string>
#include <vector>

#include "calibrate/bench/runner.h"
#include "calibrate/fit/device_profile.h"

namespace foretoken::calibrate {

// good: at most 10 % mean error and intervals that hold 80 % of the errors or more; fair: at most
// 20 %; else poor. "few": less than five samples left out, so that nothing is said.
std::string verdict(const HeldOut& held_out);

// "family  samples  mean  p90  covered  half-width  verdict", one row a family.
std::string describe(const std::vector<FamilyReport>& families);

// Self-contained HTML: the table, and for each family predicted against measured with the 90 %
// interval of each prediction.
std::string self_test_page(const Profile& profile, const std::vector<FamilyReport>& families);

// Google Benchmark's JSON (schema of its 1.x releases, what `--benchmark_format=json` writes): one
// repetition a pass and the aggregates mean, median and stddev, so that tools/compare.py reads it.
// `context` becomes its "context" beside the date: name and value.
std::string benchmark_json(const RunResult& run,
                           const std::vector<std::pair<std::string, std::string>>& context);

}  // namespace foretoken::calibrate
