#include "calibrate/ledger/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "calibrate/ledger/mlperf.h"
#include "sim/config/engine_presets.h"
#include "sim/config/model_reader.h"

namespace foretoken::calibrate {
namespace {

constexpr Format kNvfp4{Format::Kind::fp4, 4, 16, false, Format::Scale::none};

GpuFiles gpu(std::string name, std::vector<std::string> aliases, std::string profile,
             std::string topology, std::string system, std::string gemm,
             const std::string& attention) {
  GpuFiles files;
  files.name = std::move(name);
  files.aliases = std::move(aliases);
  files.profile = std::move(profile);
  files.topology = std::move(topology);
  files.system = std::move(system);
  files.gemm = std::move(gemm);
  files.context = "context_" + attention;
  files.generation = "generation_" + attention;
  return files;
}

struct ModelName {
  std::string_view published, ours;
};
constexpr std::array kModels{ModelName{"meta-llama/Llama-3.1-70B", "llama-3.1-70b"},
                             ModelName{"meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"},
                             ModelName{"Qwen/Qwen3-32B", "qwen3-32b"},
                             ModelName{"nvidia/Qwen3-32B-NVFP4", "qwen3-32b"},
                             ModelName{"LLaMA v3 70B", "llama-3.1-70b"},
                             ModelName{"LLaMA v3.1 70B", "llama-3.1-70b"},
                             ModelName{"Llama 3.3 70B", "llama-3.1-70b"},
                             ModelName{"LLaMA v3.1 8B", "llama-3.1-8b"},
                             ModelName{"Llama 3.1 8B", "llama-3.1-8b"},
                             ModelName{"Llama 3.1 405B", "llama-3.1-405b"},
                             ModelName{"Mistral 7B", "mistral-7b-v0.2"},
                             ModelName{"Llama2 70B", "llama-2-70b"},
                             ModelName{"Llama2 70b", "llama-2-70b"},
                             ModelName{"Llama2 7B", "llama-2-7b"},
                             ModelName{"Falcon 180B", "falcon-180b"},
                             ModelName{"llama2-70b-99", "llama-2-70b"},
                             ModelName{"llama2-70b-99.9", "llama-2-70b"},
                             ModelName{"llama3.1-405b", "llama-3.1-405b"},
                             ModelName{"llama3.1-8b", "llama-3.1-8b"},
                             ModelName{"meta-llama/Llama-2-7b-hf", "llama-2-7b"},
                             ModelName{"meta-llama/Llama-2-70b-hf", "llama-2-70b"},
                             ModelName{"meta-llama/Meta-Llama-3-70B", "llama-3.1-70b"},
                             ModelName{"meta-llama/Meta-Llama-3-8B", "llama-3.1-8b"},
                             ModelName{"mistralai/Mistral-7B-v0.1", "mistral-7b-v0.2"}};

constexpr std::int64_t kRequestsPerClient = 10;

bool is_vllm(const LedgerRow& row) { return engine_name(row) == "vllm"; }
bool is_trtllm(const LedgerRow& row) { return engine_name(row) == "trtllm"; }

// NVIDIA's fp8 and fp4 checkpoints of Llama carry static activation scales; Qwen publishes none.
bool static_scales(const LedgerRow& row) {
  return row.model.find("Qwen3-32B") == std::string::npos;
}

// fp8 KV beside 8- and 4-bit weights: TensorRT-LLM, and InferenceMAX's vLLM (kv-cache-dtype: fp8).
bool fp8_cache(const LedgerRow& row) {
  return row.weights != "bf16" && (is_trtllm(row) || inference_max(row));
}

PrecisionSpec make_precision(const LedgerRow& row) {
  PrecisionSpec precision;
  if (row.weights != "bf16") {
    const Format format = row.weights == "fp8" ? kFp8 : kNvfp4;
    precision.weights_default = precision.activations = format;
    precision.weights.push_back({"lm_head", kBf16, {}});
    if (static_scales(row)) {
      precision.activation_scales = PrecisionSpec::ActivationScales::fixed;
    }
  }
  precision.kv_cache = fp8_cache(row) ? kFp8 : kBf16;
  return precision;
}

LengthSpec::Side length(std::int64_t nominal, double least_share) {
  LengthSpec::Side side;
  side.kind = least_share < 1 ? LengthSpec::Kind::uniform : LengthSpec::Kind::fixed;
  side.low = std::max<std::int64_t>(
      1, static_cast<std::int64_t>(least_share * static_cast<double>(nominal)));
  side.high = nominal;
  return side;
}

// Serving harness: clients in a closed loop that start together, ten requests each, 10 ms of client
// jitter. The rows of 2026-04-06 come from InferenceMAX, whose client draws lengths of 0.8 to 1 x
// nominal (RANDOM_RANGE_RATIO; benchmarks/70b_*_slurm.sh); the others from aiconfigurator's own
// runs with genai-perf, standard deviation 0 (src/aiconfigurator/eval/benchmarks).
WorkloadSpec make_workload_spec(const LedgerRow& row) {
  WorkloadSpec workload;
  const bool serving = row.harness == Harness::serving;
  const double least = serving && inference_max(row) ? 0.8 : 1;
  workload.lengths.input = length(row.input, least);
  workload.lengths.output = length(row.output, least);
  workload.lengths.kind = workload.lengths.input.kind;
  if (serving) {
    workload.arrivals.kind = ArrivalSpec::Kind::closed_loop;
    workload.arrivals.concurrency = static_cast<int>(row.concurrency);
    workload.arrivals.jitter = Time(10'000'000'000);
    workload.requests = kRequestsPerClient * row.concurrency;
  } else {
    if (row.harness == Harness::mlperf_offline) {
      workload.lengths = mlperf_lengths(row);
    }
    workload.arrivals.kind = ArrivalSpec::Kind::all_at_once;
    workload.requests = row.requests;
  }
  return workload;
}

// What the GPU waits for. TensorRT-LLM's serving loop prepares the next decode step while the GPU
// works, and so does vLLM with async-scheduling (InferenceMAX); TensorRT-LLM's throughput
// benchmark, as plain vLLM 0.1x and SGLang's results, fits as a sum.
HostOverlap host_overlap(const LedgerRow& row) {
  const bool beside = is_trtllm(row) || (is_vllm(row) && inference_max(row));
  return row.harness == Harness::serving && beside ? HostOverlap::decode : HostOverlap::none;
}

// The servers' own start scripts. InferenceMAX (benchmarks/70b_*_slurm.sh): TensorRT-LLM with
// --max_num_tokens 16384, and for 1024 in, 1024 out on fewer than 8 GPUs batch_wait_*; vLLM with
// --max-num-batched-tokens 8192. aiconfigurator (generator/rule_plugin/benchmark/*.rule):
// max_num_tokens = max_batch_size + input + 1500, both engines.
void as_served(const LedgerRow& row, EngineSpec& engine) {
  if (engine.batching != Batching::continuous) {
    return;
  }
  if (!inference_max(row)) {
    engine.max_num_batched_tokens = row.concurrency + row.input + 1500;
  } else if (is_trtllm(row)) {
    engine.max_num_batched_tokens = 16384;
    if (row.input == 1024 && row.output == 1024 && row.tensor < 8) {
      engine.batch_wait_max_tokens_ratio = 0.9;
      engine.batch_wait_timeout_iters = 20;
    }
  } else {
    engine.max_num_batched_tokens = 8192;
  }
}

// NVIDIA's settings of the run (mlperf.cpp).
void as_submitted(const LedgerRow& row, EngineSpec& engine) {
  const MlperfSettings& settings = *mlperf_settings(row);
  engine.admission = Admission::prompt;  // MAX_UTILIZATION
  engine.max_num_seqs = settings.max_batch;
  engine.max_num_batched_tokens = settings.token_budget;
  engine.gpu_memory_utilization = settings.kv_share;
  const LengthSpec lengths = mlperf_lengths(row);
  engine.max_model_len = lengths.input.high + lengths.output.high;
}

EngineSpec make_engine(const LedgerRow& row) {
  const std::string name = is_vllm(row) ? "vllm-v1" : engine_name(row);
  EngineSpec engine;
  for (const config::EnginePreset& preset : config::engine_presets()) {
    if (preset.name == name) {
      engine = preset.engine;
    }
  }
  engine.preset = name;
  engine.host_overlap = host_overlap(row);
  engine.chunked_prefill = true;
  if (row.harness == Harness::serving) {
    as_served(row, engine);
  }
  engine.max_model_len = row.input + row.output;  // as run, whatever the model was trained for
  if (row.harness == Harness::mlperf_offline) {
    as_submitted(row, engine);
  }
  engine.max_num_seqs = static_cast<int>(std::min<std::int64_t>(
      engine.max_num_batched_tokens, std::max<std::int64_t>(engine.max_num_seqs, row.concurrency)));
  return engine;
}

// TensorRT-LLM 0.9 shares keys and values between the query heads of a group in heads of 128 or 256
// in groups of 8 alone; else its masked multi-head kernel reads them for each head
// (decoderXQARunner.h, shouldUse, in WhiteD2125/TensorRT-LLM@6ad7cf1; the tables' kernels share).
bool reads_per_head(const LedgerRow& row) {
  if (!is_trtllm(row) || row.harness != Harness::fixed_batch || row.version != "0.9") {
    return false;
  }
  const ModelSpec model = config::read_model("scenarios/models/" + find_model(row.model) + ".yaml");
  const int group = model.heads / model.kv_heads;
  const bool shares = (model.head_dim == 128 || model.head_dim == 256) && group == 8;
  return group > 1 && !shares;
}

}  // namespace

const std::vector<GpuFiles>& gpu_files() {
  static const std::vector<GpuFiles> files = [] {
    std::vector<GpuFiles> list{
        gpu("h100", {"h100_sxm", "H100"}, "h100-sxm", "hgx-h100-8", "h100_sxm",
            "h100_sxm_trtllm_1.3.0rc20", "h100_sxm_trtllm_1.3.0rc20"),
        gpu("h200", {"h200_sxm", "H200"}, "h200-sxm", "hgx-h200-8", "h200_sxm",
            "h200_sxm_trtllm_1.3.0rc20", "h200_sxm_trtllm_1.3.0rc20"),
        gpu("b200", {"b200_sxm", "B200"}, "b200-sxm", "hgx-b200-8", "b200_sxm",
            "b200_sxm_trtllm_1.3.0rc20", "b200_sxm_trtllm_1.3.0rc20"),
        gpu("a100", {"a100_sxm", "A100S"}, "a100-sxm-80gb", "dgx-a100-8", "a100_sxm",
            "a100_sxm_trtllm_1.0.0", "a100_sxm_vllm_0.14.0"),
        gpu("l40s", {"l40s", "L40S"}, "l40s", "8xl40s-pcie", "l40s", "l40s_trtllm_1.3.0rc20",
            "l40s_trtllm_1.3.0rc20"),
        gpu("rtx-pro-6000", {"rtx_pro_6000_server", "RTXPRO6000"}, "rtx-pro-6000",
            "8x-rtx-pro-6000", "rtx_pro_6000_server", "rtx_pro_6000_trtllm_1.3.0rc20",
            "rtx_pro_6000_server_trtllm_1.3.0rc20"),
        gpu("a100-40gb", {"A100S-40GB"}, "a100-sxm-40gb", "dgx-a100-8", "a100_sxm",
            "a100_sxm_trtllm_1.0.0", "a100_sxm_vllm_0.14.0"),
        gpu("a100-pcie", {"A100P"}, "a100-pcie-80gb", "dgx-a100-8", "a100_sxm",
            "a100_sxm_trtllm_1.0.0", "a100_sxm_vllm_0.14.0"),
        gpu("gh200", {"GH200"}, "gh200-96gb", "hgx-h100-8", "h100_sxm", "h100_sxm_trtllm_1.3.0rc20",
            "h100_sxm_trtllm_1.3.0rc20")};
    const auto named = [&](std::string_view name) -> GpuFiles& {
      return *std::find_if(list.begin(), list.end(),
                           [&](const GpuFiles& entry) { return entry.name == name; });
    };
    // Same architecture, other memory: priced from the sister's tables.
    named("a100-40gb").tables_of = named("a100-pcie").tables_of = "a100";
    named("gh200").tables_of = "h100";
    for (const std::string_view name : {"h100", "gh200"}) {
      GpuFiles& hopper = named(name);
      hopper.vllm_gemm = "h100_sxm_vllm_0.24.0";
      hopper.vllm_context = "context_h100_sxm_vllm_0.24.0";
      hopper.vllm_generation = "generation_h100_sxm_vllm_0.24.0";
    }
    named("h200").vllm_as_on = "h100";
    // General knowledge, not looked up.
    named("h100").l2_bandwidth = named("h200").l2_bandwidth = 5.5e12;
    // The fastest call of its decode table, 67 MB in its L2.
    named("l40s").l2_bandwidth = 3.75e12;
    return list;
  }();
  return files;
}

bool inference_max(const LedgerRow& row) { return row.origin == "2026-04-06.csv"; }

std::string engine_name(const LedgerRow& row) {
  return row.engine == "vLLM" ? "vllm" : row.engine == "TensorRT-LLM" ? "trtllm" : row.engine;
}

const GpuFiles* find_gpu(const std::string& alias) {
  for (const GpuFiles& files : gpu_files()) {
    if (files.name == alias ||
        std::find(files.aliases.begin(), files.aliases.end(), alias) != files.aliases.end()) {
      return &files;
    }
  }
  return nullptr;
}

std::string find_model(const std::string& published) {
  for (const ModelName& name : kModels) {
    if (name.published == published) {
      return std::string(name.ours);
    }
  }
  return {};
}

void exclude(LedgerRow& row) {
  const auto rule = [&](bool applies, std::string_view name) {
    if (applies && row.excluded.empty()) {
      row.excluded = name;
    }
  };
  row.eligible = find_gpu(row.gpu) != nullptr && !find_model(row.model).empty();
  rule(find_gpu(row.gpu) == nullptr, "no GEMM tables of this GPU");
  rule(find_model(row.model).empty(), "no dense model of models.csv");
  if (row.harness == Harness::mlperf_offline) {
    const std::string_view reason = mlperf_excluded(row);
    rule(!reason.empty(), reason);
  }
  rule(!is_vllm(row) && !is_trtllm(row) && row.engine != "sglang", "no preset of this engine");
  rule(row.weights != "bf16" && row.weights != "fp8" && row.weights != "nvfp4",
       "quantisation without a table of this GPU, or not stated");
  rule(row.gpu.starts_with("A100") && row.weights != "bf16", "no 8-bit float on this GPU");
  rule(row.origin.find("Hybird") == 0, "tensor and pipeline degree not stated apart");
  rule(
      row.harness == Harness::fixed_batch && row.file.starts_with("trtllm") && row.version != "0.9",
      "TensorRT-LLM before 0.9: other kernels than the tables'");
  rule(row.harness == Harness::fixed_batch && row.requests == 0, "batch size not published");
  rule(row.harness == Harness::serving && row.concurrency == 0, "concurrency not published");
  rule(row.harness == Harness::serving && row.batch_size > 0 &&
           row.concurrency > row.batch_size * row.replicas,
       "concurrency counts several replicas");
  rule(row.harness == Harness::offline && row.requests == 0, "number of requests not published");
  rule(row.replicas > 1, "attention in data parallel (with the issue on serving)");
}

TableKey table_key(const LedgerRow& row) {
  TableKey key;
  key.gpu = find_gpu(row.gpu);
  key.vllm = is_vllm(row) && !(key.gpu->vllm_gemm.empty() && key.gpu->vllm_as_on.empty());
  key.per_head = reads_per_head(row);
  key.all_reduce = is_vllm(row) ? "vllm" : is_trtllm(row) ? "trtllm" : "sglang";
  return key;
}

ScenarioSpec make_scenario(const LedgerRow& row) {
  ScenarioSpec scenario;
  scenario.file = row.file + ":" + row.id;
  scenario.model = config::read_model("scenarios/models/" + find_model(row.model) + ".yaml");
  scenario.model_mark = {scenario.file, 0, 0};
  scenario.parallel.tensor = row.tensor;
  scenario.parallel.pipeline = row.pipeline;
  scenario.precision = make_precision(row);
  scenario.engine = make_engine(row);
  scenario.workload = make_workload_spec(row);
  return scenario;
}

}  // namespace foretoken::calibrate
