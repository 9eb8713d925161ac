// The results of `foretoken simulate` and `foretoken explain` as pages.
#pragma once

#include <string>
#include <vector>

#include "reports/explain_report.h"
#include "reports/page/page.h"
#include "sim/serving/load_sweep.h"
#include "sim/serving/simulation.h"

namespace foretoken::reports {

// REQUIRES: result.record holds its timeline (Recording).
page::Document run_page(const Simulation& simulation, const Result& result,
                        const std::vector<std::string>& warnings, const LoadSweep& sweep);

page::Document explain_page(const Simulation& simulation, const Explanation& explanation,
                            const std::vector<std::string>& warnings);

// `foretoken explain A B`.
page::Document difference_page(const Explained& a, const Explained& b,
                               const std::vector<std::string>& warnings);

}  // namespace foretoken::reports
