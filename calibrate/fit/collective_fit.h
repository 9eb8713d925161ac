// A handful of measured message sizes -> the curve of one collective on one group of ranks.
#pragma once

#include <vector>

#include "calibrate/fit/gemm_fit.h"
#include "sim/cost/collective_lines.h"

namespace foretoken::calibrate {

using CollectivePoints = std::vector<CollectiveCurve::Point>;  // by size

// The points with each time cut to the least of any larger size's: interruptions only ever slow a
// message down, so one that takes longer than a larger one was disturbed. Idempotent.
CollectivePoints without_stragglers(CollectivePoints points);

// Which `count` of these sizes to measure, one after the other as a calibration would: six evenly
// spaced ones, half a gap from both ends, then always the middle of the gap in which the times of
// the sizes between are most open: how far the lines through neighbouring sizes (seconds = alpha +
// bytes / rate) differ there, plus what neighbours allow. Looks at no time of a size it did not
// choose.
std::vector<std::size_t> choose_sizes(const CollectivePoints& points, std::size_t count);

// Three lines by least mean |log ratio|.
CollectiveLines fit_lines(const CollectivePoints& points);

// Spread of the logarithm: hypot(sd, sd_doubt x doubt).
struct CollectiveSpread {
  double sd = 0;
  double sd_doubt = 0;
};

// An error on a size that was not measured.
struct CollectiveError {
  double log_error = 0;  // log(predicted / measured)
  double doubt = 0;
};
// The errors of one series: its curve through `known` without stragglers, on `unseen`.
std::vector<CollectiveError> test_curve(const CollectivePoints& known,
                                        const CollectivePoints& unseen);

// From errors on other machines: seven sizes say nothing about the size between them, but how far
// libraries stray from such curves is much alike from machine to machine.
CollectiveSpread fit_spread(const std::vector<CollectiveError>& errors);

double sd_of(const CollectiveSpread& spread, double doubt);

}  // namespace foretoken::calibrate
