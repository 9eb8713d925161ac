// Which shapes to measure when only a few hundred may be.
#pragma once

#include <span>
#include <vector>

#include "sim/spec/profile.h"

namespace foretoken::calibrate {

struct Sampling {
  std::vector<Sample> chosen;
  std::vector<Sample> unseen;  // all samples of the (n, k) groups none of which was chosen
};

// `groups` (n, k) groups that fill the sampled square evenly on the log scale, and `per_group`
// values of m of each, spread over its range with an offset of its own. `first` shifts the
// sequence: another design.
Sampling choose_gemm_samples(std::span<const Sample> all, int groups, int per_group, int first = 0);

}  // namespace foretoken::calibrate
