#include "sim/serving/memory.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace foretoken {
namespace {

double gb(Bytes bytes) { return static_cast<double>(bytes.count) / 1e9; }

Bytes communication_buffers(const GraphBuilder& builder, const EngineSpec& engine) {
  const ParallelSpec& parallel = builder.parallel();
  if (parallel.tensor == 1 && parallel.pipeline == 1) {
    return {};
  }
  // A send and a receive buffer for the largest message: one step's hidden states.
  const auto values = engine.max_num_batched_tokens * builder.model().hidden;
  return Bytes{2 * 2 * values};
}

Bytes share_of(Bytes bytes, double share) {
  return Bytes{static_cast<std::int64_t>(std::floor(static_cast<double>(bytes.count) * share))};
}

Bytes available(const MemoryPlan& plan) {
  const Bytes others = plan.activations + plan.context + plan.communication;
  switch (plan.budget) {
    case KvBudget::of_free:
      return share_of(plan.device - plan.weights - others, plan.utilization);
    case KvBudget::static_memory:
      return share_of(plan.device - plan.context, plan.utilization) - plan.weights;
    case KvBudget::of_device:
      break;
  }
  return share_of(plan.device, plan.utilization) - plan.weights - others;
}

}  // namespace

std::string MemoryPlan::arithmetic() const {
  const std::string rest =
      fmt::format("activations {:.1f} GB - context {:.1f} GB - communication {:.1f} GB",
                  gb(activations), gb(context), gb(communication));
  const std::string sum = fmt::format("{:.1f} GB for the KV cache", gb(kv_available));
  switch (budget) {
    case KvBudget::of_free:
      return fmt::format("({:.1f} GB - weights {:.1f} GB - {}) x {:.2f} = {}", gb(device),
                         gb(weights), rest, utilization, sum);
    case KvBudget::static_memory:
      return fmt::format("({:.1f} GB - context {:.1f} GB) x {:.2f} - weights {:.1f} GB = {}",
                         gb(device), gb(context), utilization, gb(weights), sum);
    case KvBudget::of_device:
      break;
  }
  return fmt::format("{:.1f} GB x {:.2f} - weights {:.1f} GB - {} = {}", gb(device), utilization,
                     gb(weights), rest, sum);
}

MemoryPlan plan_memory(const GraphBuilder& builder, const Profile& profile,
                       const ScenarioSpec& scenario) {
  const EngineSpec& engine = scenario.engine;
  MemoryPlan plan;
  plan.device = Bytes{static_cast<std::int64_t>(profile.at("device.memory").value)};
  plan.utilization = engine.gpu_memory_utilization;
  plan.weights = builder.weight_bytes();
  plan.activations = builder.activation_bytes(engine.max_num_batched_tokens, engine.max_num_seqs);
  plan.context = engine.context_memory.value_or(
      Bytes{static_cast<std::int64_t>(profile.value_or("device.context_memory", 0))});
  plan.communication = communication_buffers(builder, engine);
  plan.budget = engine.kv_budget;
  plan.kv_available = available(plan);
  plan.kv_per_block = builder.kv_bytes_per_token() * engine.block_size;
  plan.blocks = plan.kv_available.count > 0 && plan.kv_per_block.count > 0
                    ? plan.kv_available.count / plan.kv_per_block.count
                    : 0;
  if (engine.kv_blocks) {
    plan.blocks = *engine.kv_blocks;
  }
  if (plan.kv_available.count < 0 || plan.blocks < 1) {
    throw InputError(
        scenario.model_mark, "model",
        fmt::format(
            "{} does not fit on {} at tensor {} x pipeline {}: {}; raise parallel.tensor or "
            "parallel.pipeline, narrow precision.weights, or lower "
            "engine.max_num_batched_tokens",
            scenario.model.name, profile.device.empty() ? profile.name : profile.device,
            scenario.parallel.tensor, scenario.parallel.pipeline, plan.arithmetic()));
  }
  return plan;
}

}  // namespace foretoken
