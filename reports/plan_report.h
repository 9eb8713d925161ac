// The answer of `foretoken plan` for people (text, a page) and programs (JSON).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "reports/page/page.h"
#include "sim/plan/search.h"

namespace foretoken::reports {

// At most 100 columns.
std::string text(const plan::Space& space, const plan::PlanResult& result,
                 const std::vector<std::string>& notes);

nlohmann::ordered_json json(const plan::Space& space, const plan::PlanResult& result,
                            const std::vector<std::string>& notes);

// Fronts as charts, the plans shown, why others lost.
page::Document page_of(const plan::Space& space, const plan::PlanResult& result,
                       const std::vector<std::string>& notes);

// "TTFT 500 ms, TPOT 50 ms at p99"
std::string target_text(const SloSpec& slo);

}  // namespace foretoken::reports
