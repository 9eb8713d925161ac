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
std::vector<GridCase> chosen_cases(const std::string& slow_wire);
// A prefill whose ranks have much to tell each other.
GridCase talkative_case(const std::string& wire, const std::string& all_reduce);

// What a step takes on a paced wire.
struct PacedStep {
  double rate = 0;           // of the wire, bytes/s
  double communication = 0;  // s of the step's collectives
  double other = 0;          // s
};
// The rate in Mbit/s, to two digits, at which communication is `share` of the step: from the same
// step on two other wires, whose bytes take 1/rate each.
double mbit_for_share(double share, const PacedStep& slow, const PacedStep& fast);

// "1Gbit" and the others that the drawn cases use.
std::vector<std::string> grid_wires();
std::vector<std::string> grid_all_reduces();

}  // namespace foretoken::runtime
