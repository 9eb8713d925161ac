// Do two calibrations of one device predict the same?
#pragma once

#include <string>
#include <vector>

#include "sim/spec/profile.h"

namespace foretoken::calibrate {

// Of the calls that either profile has timed for one table, both profiles' predictions.
struct Agreement {
  std::string table;  // "gemm.w8a8"
  int calls = 0;
  double median = 0;      // |second / first - 1|
  double p90 = 0;         // likewise
  double half_width = 0;  // of a 90 % interval, the narrower of the two: median over the calls
  double within = 0;      // share of calls whose predictions lie inside each other's interval
};

// A row for each table that both have and the simulator prices operators from, and one for "all"
// calls. Throws InputError
// when the profiles are of different devices, or when they share no table.
std::vector<Agreement> agreement(const Profile& first, const Profile& second);

std::string describe(const std::vector<Agreement>& rows);

}  // namespace foretoken::calibrate
