#include "sim/config/engine_presets.h"

#include <array>

#include "sim/config/reader.h"

namespace foretoken::config {
namespace {

constexpr std::int64_t kMaxTokens = 100'000'000;

Time microseconds(double us) { return time_from_seconds(us * 1e-6); }

EngineSpec trtllm() {
  EngineSpec engine;
  engine.decode_first = true;  // MicroBatchScheduler: generation requests, then context
  engine.admission = Admission::reserve_output;  // GUARANTEED_NO_EVICT
  engine.max_num_seqs = 2048;
  engine.max_num_batched_tokens = 8192;
  engine.block_size = 32;
  engine.kv_budget = KvBudget::of_free;  // free_gpu_memory_fraction
  engine.host_overlap = HostOverlap::decode;
  engine.host_default = {microseconds(3300),
                         microseconds(20),
                         microseconds(3800),
                         kTimeZero,
                         0.3,
                         "engine preset trtllm: fitted to public serving runs of TensorRT-LLM 1.x",
                         0.09,
                         0.25};
  return engine;
}

EngineSpec sglang() {
  EngineSpec engine;
  engine.batching = Batching::prefill_first;
  engine.max_num_seqs = 2048;
  engine.max_num_batched_tokens = 8192;  // chunked_prefill_size
  engine.block_size = 1;                 // page_size
  engine.kv_budget = KvBudget::static_memory;
  engine.gpu_memory_utilization = 0.88;  // mem_fraction_static
  engine.host_default = {microseconds(700),
                         microseconds(11),
                         microseconds(5500),
                         kTimeZero,
                         0.3,
                         "engine preset sglang: fitted to public serving runs of SGLang 0.5",
                         0.05,
                         0.15};
  return engine;
}

EngineSpec static_batches() {
  EngineSpec engine;
  engine.batching = Batching::static_batch;
  engine.admission = Admission::reserve_output;
  engine.max_num_seqs = 64;
  engine.host_default = {microseconds(500), kTimeZero, kTimeZero,
                         kTimeZero,         0.5,       "engine preset static: a C++ loop, assumed"};
  return engine;
}

// Orca has no token budget; this one bounds the activations of an iteration.
EngineSpec orca() {
  EngineSpec engine;
  engine.admission = Admission::reserve_output;
  engine.max_num_seqs = 128;
  engine.max_num_batched_tokens = 16384;
  engine.chunked_prefill = false;
  engine.host_default = {microseconds(1000),
                         microseconds(9),
                         kTimeZero,
                         kTimeZero,
                         0.5,
                         "engine preset orca: as vllm-v1 without the prefill term, assumed"};
  return engine;
}

// Sarathi-Serve ran inside vLLM 0.x; 512 is its paper's token budget for 7B models on one A100.
EngineSpec sarathi() {
  EngineSpec engine;
  engine.decode_first = true;
  engine.max_num_seqs = 128;
  engine.max_num_batched_tokens = 512;
  engine.host_default.source = "engine preset sarathi: as vllm-v1, assumed";
  return engine;
}

EngineSpec named(const std::string& name) {
  for (const EnginePreset& preset : engine_presets()) {
    if (preset.name == name) {
      return preset.engine;
    }
  }
  return {};
}

template <class Value, std::size_t kCount>
Value choose(MapReader& map, std::string_view key, Value fallback,
             const std::array<std::string_view, kCount>& names) {
  const std::string name =
      map.choice(key, std::string(names[static_cast<std::size_t>(fallback)]), names);
  return static_cast<Value>(std::find(names.begin(), names.end(), name) - names.begin());
}

std::optional<Time> optional_time(MapReader& map, std::string_view key) {
  const auto seconds = map.optional_quantity(key, Unit::time);
  return seconds ? std::optional(time_from_seconds(*seconds)) : std::nullopt;
}

void read_batching(MapReader& map, EngineSpec& spec) {
  spec.max_num_seqs =
      static_cast<int>(map.integer("max_num_seqs", spec.max_num_seqs, {1, 1 << 20}));
  spec.max_num_batched_tokens =
      map.integer("max_num_batched_tokens", spec.max_num_batched_tokens, {1, 1 << 24});
  spec.chunked_prefill = map.boolean("chunked_prefill", spec.chunked_prefill);
  constexpr std::array<std::string_view, 2> admissions{"prompt", "reserve_output"};
  spec.admission = choose(map, "admission", spec.admission, admissions);
  constexpr std::array<std::string_view, 2> forms{"greedy", "balanced"};
  spec.micro_batches = choose(map, "micro_batches", spec.micro_batches, forms);
  spec.batch_wait_max_tokens_ratio =
      map.quantity("batch_wait_max_tokens_ratio", spec.batch_wait_max_tokens_ratio, Unit::fraction,
                   kUnitInterval);
  spec.batch_wait_timeout_iters = static_cast<int>(
      map.integer("batch_wait_timeout_iters", spec.batch_wait_timeout_iters, {0, 1 << 20}));
  if (spec.batch_wait_timeout_iters > 0 && !spec.decode_first) {
    throw InputError(map.mark(), "engine.batch_wait_timeout_iters",
                     "only engines that put decodes first hold prompts back; use preset trtllm, or "
                     "leave this out");
  }
}

void read_memory(MapReader& map, EngineSpec& spec) {
  spec.block_size = static_cast<int>(map.integer("block_size", spec.block_size, {1, 1 << 16}));
  constexpr std::array<std::string_view, 3> budgets{"of_device", "of_free", "static"};
  spec.kv_budget = choose(map, "kv_budget", spec.kv_budget, budgets);
  spec.gpu_memory_utilization = map.quantity("gpu_memory_utilization", spec.gpu_memory_utilization,
                                             Unit::fraction, {0, 1, true});
  spec.kv_blocks = map.optional_integer("kv_blocks", {1, std::int64_t{1} << 40});
  if (const auto bytes = map.optional_quantity("context_memory", Unit::bytes)) {
    spec.context_memory = Bytes{static_cast<std::int64_t>(*bytes)};
  }
  spec.max_model_len = map.optional_integer("max_model_len", {1, kMaxTokens});
}

void read_host(MapReader& map, EngineSpec& spec) {
  constexpr std::array<std::string_view, 3> overlaps{"none", "decode", "all"};
  spec.host_overlap = choose(map, "host_overlap", spec.host_overlap, overlaps);
  if (map.find("overlap_collectives") != nullptr) {
    spec.overlap_collectives =
        map.quantity("overlap_collectives", Unit::fraction, RealRange{0, 0.99, true});
  }
  spec.host_step = optional_time(map, "host_step");
  spec.host_sequence = optional_time(map, "host_sequence");
  spec.host_prefill_step = optional_time(map, "host_prefill_step");
  spec.host_request = optional_time(map, "host_request");
  spec.host_ranks = optional_time(map, "host_ranks");
}

}  // namespace

const std::vector<EnginePreset>& engine_presets() {
  static const std::vector<EnginePreset> presets{
      {"vllm-v1",
       "running requests first, then waiting ones, under a token budget per step; chunked prefill, "
       "paged KV cache, preemption by recomputation",
       EngineSpec{}},
      {"trtllm",
       "in-flight batching: decodes first, then prompts, under a token budget; the output's blocks "
       "are reserved at admission; host work runs beside decode steps",
       trtllm()},
      {"sglang",
       "steps hold prompts or decodes, prompts first; admission by the expected growth of running "
       "requests, retraction when the guess was wrong",
       sglang()},
      {"static",
       "batches formed when the last one has ended, padded to the longest prompt and output",
       static_batches()},
      {"orca",
       "a new request joins at any iteration, its prompt in one piece; the output's blocks are "
       "reserved at admission",
       orca()},
      {"sarathi",
       "decodes first, then chunks of prompts fill a small token budget, so that no step is long",
       sarathi()}};
  return presets;
}

EngineSpec read_engine(const Node& node) {
  MapReader map(node, "engine");
  std::vector<std::string_view> names;
  for (const EnginePreset& preset : engine_presets()) {
    names.push_back(preset.name);
  }
  const std::string name = map.choice("preset", "vllm-v1", names);
  EngineSpec spec = named(name);
  spec.preset = name;
  spec.mark = map.mark();
  read_batching(map, spec);
  read_memory(map, spec);
  read_host(map, spec);
  constexpr std::array<std::string_view, 2> routers{"least-loaded", "round-robin"};
  spec.router = map.choice("router", spec.router, routers);
  map.finish();
  if (spec.max_num_seqs > spec.max_num_batched_tokens) {
    throw InputError(spec.mark, "engine.max_num_batched_tokens",
                     fmt::format("{} tokens a step cannot hold max_num_seqs = {} sequences; raise "
                                 "one or lower the other",
                                 spec.max_num_batched_tokens, spec.max_num_seqs));
  }
  return spec;
}

}  // namespace foretoken::config
