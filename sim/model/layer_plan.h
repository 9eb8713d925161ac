// How the layers of a model are laid out on pipeline stages, and which of them are alike.
#pragma once

#include <utility>
#include <vector>

#include "sim/spec/format.h"
#include "sim/spec/model.h"
#include "sim/spec/scenario.h"

namespace foretoken {

// Everything in which one layer may differ from another; equal plans give equal operators.
struct LayerPlan {
  Format qkv = kBf16, o = kBf16, up = kBf16, down = kBf16;
  bool windowed = false;
  bool ends_stage = false;  // last layer of a stage that sends on
  bool operator==(const LayerPlan&) const = default;
};

// Layers first .. first + period * repeat - 1: a pattern of `period` layers, `repeat` times.
struct LayerRun {
  int first = 0;
  int period = 1;
  int repeat = 1;
};

struct StagePlan {
  int first = 0, end = 0;  // layers
  std::vector<LayerRun> runs;
};

// First and one-past-last layer of each pipeline stage; as even as possible, the earlier stages
// larger. REQUIRES: 1 <= stages <= layers.
std::vector<std::pair<int, int>> split_layers(int layers, int stages);

// Greedy: at each layer the pattern that covers most, the shorter one when two cover the same.
std::vector<LayerRun> find_runs(const std::vector<LayerPlan>& layers, int first, int end);

std::vector<LayerPlan> plan_layers(const ModelSpec& model, const PrecisionSpec& precision,
                                   int stages);
std::vector<StagePlan> plan_stages(const std::vector<LayerPlan>& layers, int stages);

}  // namespace foretoken
