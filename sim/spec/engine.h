// The inference engine of a scenario: how it batches, what memory it keeps for the KV cache, and
// what its host costs. A preset fills this; the scenario's own keys override it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sim/core/error.h"
#include "sim/core/units.h"

namespace foretoken {

// Which code forms the batches.
enum class Batching : std::uint8_t {
  continuous,     // prompts and decodes share steps, under a token budget
  prefill_first,  // steps hold prompts or decodes; prompts go first
  static_batch    // a batch runs until its last request ends; shorter ones are padded
};

// What a request must find free to be admitted.
enum class Admission : std::uint8_t {
  prompt,         // the blocks of the chunk computed now; may be preempted later
  reserve_output  // the blocks of its prompt and of all its output; never preempted
};

// With several steps in flight (pipeline stages), what one of them takes.
enum class MicroBatches : std::uint8_t {
  greedy,   // all decodes that are ready
  balanced  // at most ceil(running / stages) decodes
};

// When the host works while the GPU computes. Steps with prompt tokens run without CUDA graphs.
enum class HostOverlap : std::uint8_t {
  none,    // host time is added to every step
  decode,  // a decode-only step takes max(GPU, host); others GPU + host
  all      // every step takes max(GPU, host)
};

// What the memory share applies to.
enum class KvBudget : std::uint8_t {
  of_device,     // memory x share - weights - activations - context - communication
  of_free,       // (memory - weights - activations - context - communication) x share
  static_memory  // (memory - context) x share - weights; activations live outside the share
};

struct HostTimes {
  Time step = kTimeZero;          // per step
  Time sequence = kTimeZero;      // per running sequence and step
  Time prefill_step = kTimeZero;  // extra for a step that holds prompt tokens
  Time request = kTimeZero;       // front end: from arrival to the queue
  double sd = 0;                  // spread of the logarithm
  std::string source;
  // Spread (log) of what these constants leave unexplained in others' runs: of times per token,
  // latencies and rates, and of TTFT.
  double residual_time = 0, residual_ttft = 0;
  Time ranks = kTimeZero;  // extra per step in tensor parallel: the ranks wait for each other
};

// The defaults are those of vLLM's v1 engine.
struct EngineSpec {
  std::string preset = "vllm-v1";
  Batching batching = Batching::continuous;
  Admission admission = Admission::prompt;
  MicroBatches micro_batches = MicroBatches::balanced;
  bool decode_first = false;  // running requests by kind, not by age, when the budget is short
  int max_num_seqs = 256;
  std::int64_t max_num_batched_tokens = 8192;
  int block_size = 16;
  bool chunked_prefill = true;
  // While decodes run, prompts wait until a step would hold this share of the token budget, but at
  // most so many steps (TensorRT-LLM: batch_wait_max_tokens_ratio, batch_wait_timeout_iters).
  double batch_wait_max_tokens_ratio = 0;
  int batch_wait_timeout_iters = 0;
  KvBudget kv_budget = KvBudget::of_device;
  double gpu_memory_utilization = 0.9;
  std::optional<std::int64_t> kv_blocks;      // computed unless given
  std::optional<Bytes> context_memory;        // driver context and library workspaces
  std::optional<std::int64_t> max_model_len;  // default: the model's
  HostOverlap host_overlap = HostOverlap::none;
  // The engine splits its batches so that a collective runs beside the next computation, on this
  // share of the SMs; none: one after the other.
  std::optional<double> overlap_collectives;
  // Fitted on others' runs of vLLM 0.1x on GPU servers (calibrate/ledger/constants.csv).
  HostTimes host_default{Time(770'000'000),
                         Time(14'000'000),
                         Time(8'200'000'000),
                         kTimeZero,
                         0.3,
                         "engine preset vllm-v1: fitted to public runs of vLLM 0.1x",
                         0.1,
                         0.22};
  // Host times; the profile's `host.*` override the preset, the scenario overrides both.
  std::optional<Time> host_step;
  std::optional<Time> host_sequence;
  std::optional<Time> host_prefill_step;
  std::optional<Time> host_request;
  std::optional<Time> host_ranks;
  std::string router =
      "least-loaded";  // between data-parallel replicas: round-robin | least-loaded
  SourceMark mark;
};

}  // namespace foretoken
