// KV capacity is computed, never assumed:
//   blocks = bytes left for the cache / (KV bytes per token x block size)
// per GPU, of the fullest pipeline stage. What is left depends on what the engine takes its memory
// share of (KvBudget): vLLM the device, TensorRT-LLM what is free after all else, SGLang the device
// before activations.
#pragma once

#include <cstdint>
#include <string>

#include "sim/core/units.h"
#include "sim/model/graph_builder.h"
#include "sim/spec/profile.h"
#include "sim/spec/scenario.h"

namespace foretoken {

struct MemoryPlan {
  Bytes device;
  double utilization = 0;
  KvBudget budget = KvBudget::of_device;
  Bytes weights;
  Bytes activations;
  Bytes context;
  Bytes communication;
  Bytes kv_available;  // may be negative: does not fit
  Bytes kv_per_block;
  std::int64_t blocks = 0;
  // Such as "80.0 GB x 0.90 - weights 16.1 GB - activations 1.2 GB - context 0.5 GB - communication
  // 0.1 GB = 54.1 GB for KV"
  std::string arithmetic() const;
};

// Throws InputError with the arithmetic when not one block of KV cache is left.
MemoryPlan plan_memory(const GraphBuilder& builder, const Profile& profile,
                       const ScenarioSpec& scenario);

}  // namespace foretoken
