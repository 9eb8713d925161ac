// The result of `foretoken simulate` for people (text), programs (JSON with the names of
// `vllm bench serve`) and spreadsheets (one line per request).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sim/serving/simulation.h"

namespace foretoken::reports {

// What the reader must know before any number: overload, assumed costs, costs outside the
// calibrated range, refused requests. One line each.
std::vector<std::string> warnings(const Simulation& simulation, const Result& result);

// At most 100 columns.
std::string text(const Simulation& simulation, const Result& result,
                 const std::vector<std::string>& warnings);

nlohmann::ordered_json json(const Simulation& simulation, const Result& result,
                            const std::vector<std::string>& warnings);

// request, arrival_s, input_tokens, output_tokens, replica, ttft_ms, tpot_ms, e2el_ms
std::string csv(const RunRecord& record);

// Share of step time per provenance, in the order of the enum; sums to 1.
std::array<double, kProvenanceCount> provenance_shares(const RunRecord& record);

// Likewise per operator family.
std::array<double, kOpFamilyCount> family_shares(const RunRecord& record);

// "74 % measured, 26 % assumed"
std::string share_text(const std::array<double, kProvenanceCount>& shares);

// Number for a table cell: four significant digits, no exponent for usual magnitudes.
std::string cell(double value);

// Breaks text at spaces so that no line is longer than 100 columns; further lines are indented.
std::string wrap(const std::string& text, std::size_t indent);

}  // namespace foretoken::reports
