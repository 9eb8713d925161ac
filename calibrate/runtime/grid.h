// Cases of `verify_grid`: drawn from the cross product of everything that a prediction depends on,
// before anything is measured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace foretoken::runtime {

struct GridCase {
  std::string model;    // shipped name
  int layers = 0;       // 0: all
  std::string weights;  // of precision.weights
  int tensor = 1;
  std::string wire;          // "unpaced" is the loopback device; tensor 1: none
  std::string all_reduce;    // wire format
  std::int64_t prefill = 0;  // prompt tokens in all, split over the batch
  std::int64_t batch = 1;
  std::int64_t output = 4;  // tokens of each request
  std::string purpose;      // why it is there: "drawn", or what it shows
  std::string name() const;
  // KEY=VALUE overrides of scenarios/verify.yaml.
  std::vector<std::string> overrides() const;
};

// Distinct cases from a printed seed.
std::vector<GridCase> draw_cases(std::uint64_t seed, int count);
// Formats in order, and what compression does on a slow and a fast wire.
std::vector<GridCase> chosen_cases();

// "1Gbit" and the others that the cases use.
std::vector<std::string> grid_wires();
std::vector<std::string> grid_all_reduces();

}  // namespace foretoken::runtime
