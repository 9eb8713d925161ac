// One GEMM format on one device: roofline, samples and spread, as a profile states them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "sim/cost/append_cache.h"
#include "sim/cost/estimate.h"
#include "sim/cost/gemm_table.h"
#include "sim/cost/sample_grid.h"
#include "sim/spec/profile.h"

namespace foretoken {

class GemmFamily {
 public:
  // Throws InputError when the profile has neither samples nor a peak for these formats, nor for
  // any format they fall back to.
  GemmFamily(const Profile& profile, const Format& weights, const Format& activations);

  Estimate price(const GemmOp& op) const;
  const GemmRoofline& roofline() const { return roofline_; }

 private:
  GemmRoofline roofline_;
  Provenance roofline_provenance_ = Provenance::measured;
  std::optional<GemmTable> table_;
  std::optional<SampleGrid> quantise_;  // contained in the samples
  Provenance table_provenance_ = Provenance::measured;
  double sd_family_ = 0, sd_shape_ = 0, sd_distance_ = 0;
  std::uint64_t key_ = 0;
  mutable std::unique_ptr<AppendCache<GemmTable::Neighbourhood, 256>> neighbourhoods_;
};

}  // namespace foretoken
