// Measured calls as a sister device would take them: the same architecture beside another memory,
// clock or number of multiprocessors, known by its datasheet alone.
#pragma once

#include <string>

#include "sim/cost/cost_model.h"
#include "sim/spec/profile.h"

namespace foretoken::calibrate {

// Changes each time by what the two datasheets say that the same call takes longer or shorter, at
// most in proportion: what a call takes beside moving its bytes does not change with them. Of the
// A100 of 80 GB to that of 40 GB, and of the H100 to the GH200, in reports/published/accuracy.md.
// `from`, `to`: costs of datasheets, without samples. False, and nothing is changed, where `name`
// is no table of GEMMs, attention or layer operators. Throws InputError where a datasheet lacks
// what prices the table.
bool transfer_samples(const std::string& name, const CostModel& from, const CostModel& to,
                      SampleTable& table);

// The tables of `measured` that can be transferred, as derived figures.
Profile transferred(const Profile& measured, Profile from, Profile to);

}  // namespace foretoken::calibrate
