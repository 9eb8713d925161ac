#include "sim/model/layer_plan.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/model/module_rules.h"

namespace foretoken {
namespace {

// Longest pattern looked for. Alternating windows have period 2 (Gemma-2, gpt-oss), 4 (Llama-4) or
// 6 (Gemma-3); longer patterns fall apart into shorter runs, which is slower but not wrong.
constexpr int kMaxPeriod = 8;

int repeats(const std::vector<LayerPlan>& layers, int first, int end, int period) {
  const auto pattern = layers.begin() + first;
  auto next = pattern + period;
  int count = 1;
  for (; first + (count + 1) * period <= end; ++count, next += period) {
    if (!std::equal(pattern, pattern + period, next)) {
      break;
    }
  }
  return count;
}

LayerRun longest_run(const std::vector<LayerPlan>& layers, int first, int end) {
  LayerRun best{first, 1, repeats(layers, first, end, 1)};
  for (int period = 2; period <= kMaxPeriod && first + 2 * period <= end; ++period) {
    const int count = repeats(layers, first, end, period);
    if (count > 1 && count * period > best.period * best.repeat) {
      best = {first, period, count};
    }
  }
  return best;
}

}  // namespace

std::vector<std::pair<int, int>> split_layers(int layers, int stages) {
  FT_CHECK(stages >= 1 && layers >= stages, "{} layers, {} stages", layers, stages);
  std::vector<std::pair<int, int>> parts;
  int first = 0;
  for (int stage = 0; stage < stages; ++stage) {
    const int count = layers / stages + (stage < layers % stages ? 1 : 0);
    parts.emplace_back(first, first + count);
    first += count;
  }
  return parts;
}

std::vector<LayerRun> find_runs(const std::vector<LayerPlan>& layers, int first, int end) {
  std::vector<LayerRun> runs;
  while (first < end) {
    runs.push_back(longest_run(layers, first, end));
    first += runs.back().period * runs.back().repeat;
  }
  return runs;
}

std::vector<LayerPlan> plan_layers(const ModelSpec& model, const PrecisionSpec& precision,
                                   int stages) {
  std::vector<LayerPlan> layers;
  for (int layer = 0; layer < model.layers; ++layer) {
    const auto format = [&](std::string_view module) {
      return weight_format(precision, model, layer_module(layer, module));
    };
    layers.push_back({format("self_attn.qkv_proj"), format("self_attn.o_proj"),
                      format(up_module(model)), format("mlp.down_proj"), model.windowed(layer),
                      false});
  }
  for (const auto& [first, end] : split_layers(model.layers, stages)) {
    layers[static_cast<std::size_t>(end - 1)].ends_stage = end != model.layers;
  }
  return layers;
}

std::vector<StagePlan> plan_stages(const std::vector<LayerPlan>& layers, int stages) {
  std::vector<StagePlan> plans;
  for (const auto& [first, end] : split_layers(static_cast<int>(layers.size()), stages)) {
    plans.push_back({first, end, find_runs(layers, first, end)});
  }
  return plans;
}

}  // namespace foretoken
