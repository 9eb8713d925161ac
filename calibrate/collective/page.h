// The page reports/published/collectives.md: every prediction of a published measurement.
#pragma once

#include <string>

namespace foretoken::calibrate {

// `folder` holds the CSV tables that predict_all_reduce() reads.
std::string collectives_page(const std::string& folder);

}  // namespace foretoken::calibrate
