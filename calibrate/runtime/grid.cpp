#include "calibrate/runtime/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "sim/core/error.h"
#include "sim/core/random.h"

namespace foretoken::runtime {
namespace {

struct GridModel {
  const char* name;
  int layers;
};
constexpr GridModel kModels[] = {{"tiny-llama-125m", 0},
                                 {"llama-1b", 0},
                                 {"llama-3.1-8b", 2},
                                 {"llama-3.1-8b", 4},
                                 {"llama-3.1-8b", 8}};
constexpr const char* kWeights[] = {"bf16", "int8", "int4", "int4/g128/integer-scale"};
constexpr std::int64_t kPrefills[] = {64, 128, 256, 512, 1024};
constexpr std::int64_t kBatches[] = {1, 2, 4, 8, 16};

template <class List>
auto pick(RandomStream& random, const List& list) {
  const auto last = static_cast<std::int64_t>(std::size(list)) - 1;
  return list[static_cast<std::size_t>(random.uniform_int(0, last))];
}

GridCase chosen(const char* purpose, const char* model, int layers, const char* weights) {
  GridCase c;
  c.purpose = purpose;
  c.model = model;
  c.layers = layers;
  c.weights = weights;
  c.prefill = 256;
  return c;
}

}  // namespace

std::string GridCase::name() const {
  std::string text = model;
  text += layers > 0 ? fmt::format("/{} layers", layers) : "";
  text += fmt::format(", {}, tensor {}", weights, tensor);
  text += tensor > 1 ? fmt::format(", {}, {}", wire, all_reduce) : "";
  return fmt::format("{}, {} tokens in {}", text, prefill, batch);
}

std::vector<std::string> GridCase::overrides() const {
  std::vector<std::string> list{
      "model=" + model,
      fmt::format("parallel.tensor={}", tensor),
      "precision.weights=" + weights,
      fmt::format("precision.activations={}", weights == "bf16" ? "bf16" : "int8"),
      "precision.all_reduce=" + (tensor > 1 ? all_reduce : "bf16"),
      fmt::format("workload.lengths.input={}", prefill / batch),
      fmt::format("workload.lengths.output={}", output),
      fmt::format("workload.requests={}", batch)};
  if (layers > 0) {
    list.push_back(fmt::format("layers={}", layers));
  }
  return list;
}

std::vector<std::string> grid_wires() { return {"unpaced", "1Gbit", "4Gbit"}; }

std::vector<std::string> grid_all_reduces() {
  return {"bf16", "int8", "int5", "int4", "int3/spike", "int2/spike"};
}

std::vector<GridCase> draw_cases(std::uint64_t seed, int count) {
  RandomStream random(seed, "verify_grid");
  std::vector<GridCase> cases;
  std::set<std::string> seen;
  while (static_cast<int>(cases.size()) < count) {
    GridCase c;
    const GridModel model = pick(random, kModels);
    c.model = model.name;
    c.layers = model.layers;
    c.weights = pick(random, kWeights);
    c.tensor = static_cast<int>(random.uniform_int(1, 2));
    c.wire = pick(random, grid_wires());
    c.all_reduce = pick(random, grid_all_reduces());
    c.prefill = pick(random, kPrefills);
    c.batch = pick(random, kBatches);
    c.purpose = "drawn";
    if (seen.insert(c.name()).second) {
      cases.push_back(c);
    }
  }
  return cases;
}

GridCase talkative_case(const std::string& wire, const std::string& all_reduce) {
  GridCase c = chosen("slow wire", "tiny-llama-125m", 0, "bf16");
  c.prefill = 512;
  c.tensor = 2;
  c.wire = wire;
  c.all_reduce = all_reduce;
  return c;
}

double mbit_for_share(double share, const PacedStep& slow, const PacedStep& fast) {
  const double bytes = (slow.communication - fast.communication) / (1 / slow.rate - 1 / fast.rate);
  FT_CHECK(bytes > 0, "the slower wire is not slower");
  const double wanted = share / (1 - share) * fast.other;
  const double seconds_per_byte = 1 / fast.rate + (wanted - fast.communication) / bytes;
  FT_CHECK(seconds_per_byte > 0);
  const double mbit = 8e-6 / seconds_per_byte;
  const double digit = std::pow(10.0, std::floor(std::log10(mbit)) - 1);
  return std::round(mbit / digit) * digit;
}

std::vector<GridCase> chosen_cases(const std::string& slow_wire) {
  std::vector<GridCase> cases;
  for (const char* weights : kWeights) {
    cases.push_back(chosen("order of formats", "llama-1b", 0, weights));
    cases.push_back(chosen("order of formats", "llama-3.1-8b", 2, weights));
  }
  for (const char* all_reduce : {"bf16", "int5", "int4"}) {
    cases.push_back(talkative_case(slow_wire, all_reduce));
  }
  // Computing as fast as it can, so that the codec's time shows.
  for (const char* all_reduce : {"bf16", "int5", "int4", "int3/spike", "int2/spike"}) {
    cases.push_back(talkative_case("unpaced", all_reduce));
    cases.back().purpose = "fast wire";
    cases.back().weights = "int8";
  }
  return cases;
}

}  // namespace foretoken::runtime
