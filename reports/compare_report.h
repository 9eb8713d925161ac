// `foretoken compare`: rows of a sweep side by side, for people (text), programs (JSON) and
// spreadsheets (CSV).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "reports/page/page.h"
#include "sim/plan/sweep.h"
#include "sim/spec/accuracy.h"

namespace foretoken::reports {

struct Comparison {
  ScenarioSpec scenario;  // without the varied keys
  std::vector<VaryKey> keys;
  std::vector<SweepRow> rows;
  int replications = 0;
  std::string error_data;  // what numeric errors were measured on; empty: they were not
  std::vector<PublishedAccuracy> accuracy;
  std::vector<std::string> notes;  // on the inputs
};

// Rows of `accuracy` that belong to the row's model and narrow the same things to as many bits.
std::vector<std::size_t> published_for(const Comparison& comparison, const SweepRow& row);

// At most 100 columns wide, unless the names of the rows alone take most of that.
std::string text(const Comparison& comparison);
nlohmann::ordered_json json(const Comparison& comparison);
// A line per row: keys, then value, low, high and standing of each measure, then the reason.
std::string csv(const Comparison& comparison);
page::Document page_of(const Comparison& comparison);

// Parts of the text that the page shows, too. "567.9= 334.5..969.7":
std::string marked_value(const SweepRow& row, const Measure& measure, Standing standing);
std::string row_name(const Comparison& comparison, const SweepRow& row);  // "key=value key=value"
std::vector<std::string> warnings(const Comparison& comparison);
std::string published_line(const PublishedAccuracy& row);

}  // namespace foretoken::reports
