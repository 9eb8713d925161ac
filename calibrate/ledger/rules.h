// How a published row becomes a scenario. Every choice depends on what was run, never on what was
// measured; every constant holds for an engine and its harness, never for a row, a model or a GPU.
#pragma once

#include <string>
#include <vector>

#include "calibrate/ledger/row.h"
#include "sim/serving/workload.h"
#include "sim/spec/scenario.h"

namespace foretoken::calibrate {

struct GpuFiles {
  std::string name;                                      // ours
  std::vector<std::string> aliases;                      // as the rows spell it
  std::string profile, topology;                         // shipped names
  std::string system;                                    // in the communication tables
  std::string gemm, context, generation;                 // tables of TensorRT-LLM, or the only ones
  std::string vllm_gemm, vllm_context, vllm_generation;  // vLLM's own; empty: the above, or
  // the GPU of the same architecture whose ratio of vLLM's tables to TensorRT-LLM's holds here too
  std::string vllm_as_on;
  std::string tables_of;    // the GPU they were measured on, when it is another; datasheets scale
  double l2_bandwidth = 0;  // bytes/s, where old kernels are priced by it
};
const std::vector<GpuFiles>& gpu_files();
// By our name or the rows' spelling. nullptr: no tables of this GPU.
const GpuFiles* find_gpu(const std::string& alias);

// Shipped model of a published name; empty when models.csv does not have it.
std::string find_model(const std::string& published);

// vllm, sglang, trtllm, whatever the spelling of the row.
std::string engine_name(const LedgerRow& row);

// Run by InferenceMAX's scripts and client; the other serving rows by aiconfigurator's.
bool inference_max(const LedgerRow& row);

// Sets `excluded` by the first rule that applies.
void exclude(LedgerRow& row);

// Which imported tables price the row: "h100/vllm/fp8".
struct TableKey {
  const GpuFiles* gpu = nullptr;
  bool vllm = false;
  std::string all_reduce;  // framework and backend in the all-reduce table
  bool per_head = false;   // decode attention reads keys and values once a query head
  auto operator<=>(const TableKey&) const = default;  // NOLINT(modernize-use-nullptr): false
};
TableKey table_key(const LedgerRow& row);

// REQUIRES: not excluded.
ScenarioSpec make_scenario(const LedgerRow& row);

}  // namespace foretoken::calibrate
