// The page of `verify_grid`: every case listed, what is scored, and the summary. Pure.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "calibrate/runtime/grid.h"
#include "sim/spec/profile.h"

namespace foretoken::runtime {

struct GridPage {
  std::uint64_t seed = 1;
  struct Row {
    GridCase what;
    nlohmann::json result;  // of verify's json(); null: not run
  };
  std::vector<Row> rows;
  std::vector<std::pair<int, nlohmann::json>> streams;  // percent of capacity
  std::vector<Profile> wires;
};

std::string grid_page(const GridPage& page);

}  // namespace foretoken::runtime
