#include "sim/config/scenario_reader.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace foretoken::config {
namespace {

constexpr const char* kBase =
    "schema: 1\nmodel: llama-3.1-8b\ncluster: hgx-h100-8\n"
    "workload: {arrivals: {poisson: 8/s}, lengths: {input: 512, output: 64}, requests: 10}\n";

ScenarioSpec parse(const std::string& text) {
  return parse_scenario(parse_document(text, "a.yaml"), "a.yaml");
}

std::string refusal(const std::string& text) {
  try {
    parse(text);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Scenario, Defaults_are_those_of_the_vllm_v1_preset) {
  const ScenarioSpec s = parse(kBase);
  EXPECT_EQ(s.model.layers, 32);
  EXPECT_EQ(s.parallel.gpus(), 1);
  EXPECT_EQ(s.engine.preset, "vllm-v1");
  EXPECT_EQ(s.engine.block_size, 16);
  EXPECT_EQ(s.precision.weights_default, kBf16);
  EXPECT_DOUBLE_EQ(s.workload.arrivals.rate, 8);
  EXPECT_EQ(s.workload.requests, 10);
  EXPECT_EQ(s.seed, 1U);
}

TEST(Scenario, A_model_written_into_the_scenario_is_told_where_to_go) {
  std::string text = kBase;
  text.replace(text.find("llama-3.1-8b"), 12, "{name: my-7b, layers: 28}");
  EXPECT_EQ(refusal(text),
            "a.yaml:2:8: model: found a map; put it into a file and name that here, or a shipped "
            "name of scenarios/models");
}

TEST(Scenario, Everything_that_can_be_stated_is_read) {
  const ScenarioSpec s = parse(
      "schema: 1\nmodel: llama-3.1-8b\ncluster: hgx-h100-8\nprofile: [h100-sxm]\n"
      "parallel: {tensor: 2, pipeline: 2, data: 2}\n"
      "placement: {order: [tensor, expert, pipeline, data], groups: [[0,1],[2,3],[4,5],[6,7]]}\n"
      "precision:\n  weights: {default: int4/g128/integer-scale, lm_head: bf16, 'layers.0-1.*': "
      "int8}\n"
      "  activations: int8\n  kv_cache: fp8\n  all_reduce: int5/g128/spike\n  all_to_all: "
      "int4/g32/spike\n"
      "engine: {max_num_seqs: 64, max_num_batched_tokens: 2048, block_size: 32, kv_blocks: 1000,\n"
      "  gpu_memory_utilization: 85%, chunked_prefill: false, host_step: 2ms, router: "
      "round-robin,\n"
      "  context_memory: 2GiB, max_model_len: 4096}\n"
      "workload:\n  arrivals: {gamma: {rate: 5/s, cv: 2}}\n"
      "  lengths: {input: {uniform: [10, 20]}, output: {lognormal: {median: 100, sigma: 0.5, max: "
      "500}},"
      " max_total: 400}\n"
      "  requests: 100\n  warmup: 5%\n"
      "slo: {ttft: 500ms, tpot: 50ms, percentile: 95}\ncost: {gpu_hour: 2.50}\nseed: 7\n");
  EXPECT_EQ(s.parallel.gpus(), 8);
  EXPECT_EQ(s.placement.groups.size(), 4U);
  EXPECT_EQ(s.precision.weights.size(), 2U);
  EXPECT_TRUE(s.precision.all_reduce.spike);
  EXPECT_EQ(*s.engine.kv_blocks, 1000);
  EXPECT_DOUBLE_EQ(s.engine.gpu_memory_utilization, 0.85);
  EXPECT_EQ(*s.engine.host_step, Time(2'000'000'000));
  EXPECT_EQ(s.workload.arrivals.kind, ArrivalSpec::Kind::gamma);
  EXPECT_EQ(s.workload.lengths.output.kind, LengthSpec::Kind::lognormal);
  EXPECT_EQ(s.workload.lengths.max_total, 400);
  EXPECT_DOUBLE_EQ(s.workload.warmup, 0.05);
  EXPECT_EQ(*s.slo->ttft, Time(500'000'000'000));
  EXPECT_DOUBLE_EQ(s.gpu_hour, 2.5);
  EXPECT_EQ(s.seed, 7U);
}

TEST(Scenario, A_preset_fills_what_the_scenario_leaves_open) {
  const ScenarioSpec s = parse(std::string(kBase) + "engine: {preset: trtllm, max_num_seqs: 64}\n");
  EXPECT_EQ(s.engine.admission, Admission::reserve_output);
  EXPECT_EQ(s.engine.kv_budget, KvBudget::of_free);
  EXPECT_EQ(s.engine.max_num_seqs, 64);
  EXPECT_EQ(parse(std::string(kBase) + "engine: {preset: sglang}\n").engine.batching,
            Batching::prefill_first);
  EXPECT_NE(refusal(std::string(kBase) + "engine: {preset: sglan}\n").find("sglang"),
            std::string::npos);
  for (const EnginePreset& preset : engine_presets()) {
    EXPECT_FALSE(preset.engine.host_default.source.empty()) << preset.name;
  }
}

TEST(Scenario, What_the_engine_and_the_load_generator_decide_can_be_stated) {
  const std::string head = "schema: 1\nmodel: llama-3.1-8b\ncluster: hgx-h100-8\n";
  const std::string lengths = "lengths: {input: 512, output: 64}";
  const ScenarioSpec s =
      parse(head + "precision: {weights: fp8, activations: fp8, activation_scales: static}\n" +
            "engine: {admission: reserve_output, micro_batches: greedy, kv_budget: of_free, "
            "host_overlap: decode, host_request: 14ms, preset: trtllm, "
            "batch_wait_max_tokens_ratio: 90%, batch_wait_timeout_iters: 20}\n"
            "workload: {arrivals: {closed_loop: {concurrency: 8, ramp: 1s, jitter: 10ms}}, " +
            lengths + ", requests_per_client: 6}\n");
  EXPECT_EQ(s.precision.activation_scales, PrecisionSpec::ActivationScales::fixed);
  EXPECT_EQ(s.engine.micro_batches, MicroBatches::greedy);
  EXPECT_EQ(s.engine.host_overlap, HostOverlap::decode);
  EXPECT_DOUBLE_EQ(s.engine.batch_wait_max_tokens_ratio, 0.9);
  EXPECT_EQ(s.engine.batch_wait_timeout_iters, 20);
  EXPECT_NE(refusal(head +
                    "engine: {batch_wait_timeout_iters: 20}\nworkload: "
                    "{arrivals: {closed_loop: 8}, " +
                    lengths + ", requests: 5}\n")
                .find("preset trtllm"),
            std::string::npos);
  EXPECT_EQ(s.workload.arrivals.ramp, Time(1'000'000'000'000));
  EXPECT_EQ(s.workload.arrivals.jitter, Time(10'000'000'000));
  EXPECT_EQ(s.workload.requests, 48);
  EXPECT_NE(refusal(head + "workload: {arrivals: {poisson: 8/s}, " + lengths +
                    ", requests_per_client: 6}\n")
                .find("closed_loop"),
            std::string::npos);
  EXPECT_NE(refusal(head + "workload: {arrivals: {closed_loop: 8}, " + lengths +
                    ", requests: 5, requests_per_client: 6}\n")
                .find("state one of the two"),
            std::string::npos);
}

TEST(Scenario, The_hash_follows_the_meaning_not_the_layout) {
  const std::string spaced = std::string("# a note\n") + kBase;
  EXPECT_EQ(parse(kBase).hash, parse(spaced).hash);
  EXPECT_NE(parse(kBase).hash, parse(std::string(kBase) + "seed: 2\n").hash);
}

TEST(Scenario, Wrong_combinations_are_refused) {
  const std::string head = "schema: 1\nmodel: llama-3.1-8b\ncluster: hgx-h100-8\n";
  for (const std::string workload :
       {"{arrivals: {poisson: 8/s}, lengths: {input: 512, output: 64}}",  // no requests
        "{arrivals: {poisson: 8/s}, requests: 5}",                        // no lengths
        "{arrivals: {}, lengths: {input: 5, output: 5}, requests: 5}",    // no arrivals
        "{arrivals: sometimes, lengths: {input: 5, output: 5}, requests: 5}",
        "{arrivals: {poisson: 0/s}, lengths: {input: 5, output: 5}, requests: 5}",
        "{arrivals: {closed_loop: 0}, lengths: {input: 5, output: 5}, requests: 5}",
        "{arrivals: {poisson: 1/s}, lengths: {input: 0, output: 5}, requests: 5}",
        "{arrivals: {poisson: 1/s}, lengths: {input: {uniform: [9, 5]}, output: 5}, requests: 5}",
        "{arrivals: {poisson: 1/s}, lengths: {input: 5, output: 5}, requests: 5, warmup: 95%}",
        "{arrivals: {trace: nowhere.csv}}"}) {
    EXPECT_EQ(refusal(head + "workload: " + workload + "\n").substr(0, 7), "a.yaml:") << workload;
  }
  EXPECT_NE(refusal(std::string(kBase) + "slo: {}\n").find("states no target"), std::string::npos);
  EXPECT_NE(refusal(std::string(kBase) + "placement: {order: [tensor, data]}\n").find("is missing"),
            std::string::npos);
}

TEST(Scenario, Every_shipped_scenario_is_read) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("scenarios")) {
    if (entry.path().extension() == ".yaml") {
      EXPECT_NO_THROW(read_scenario(entry.path().string())) << entry.path();
      ++count;
    }
  }
  EXPECT_GE(count, 2);
}

TEST(Scenario, Sequence_parallelism_and_overlap_are_read) {
  const ScenarioSpec s =
      parse(std::string(kBase) +
            "parallel: {tensor: 4, sequence: true}\nengine: {overlap_collectives: 15%}\n");
  EXPECT_TRUE(s.parallel.sequence);
  EXPECT_DOUBLE_EQ(s.engine.overlap_collectives.value(), 0.15);
  EXPECT_FALSE(parse(kBase).engine.overlap_collectives.has_value());
  EXPECT_NE(refusal(std::string(kBase) + "parallel: {sequence: true}\n").find("a.yaml:5:"),
            std::string::npos);
  EXPECT_NE(refusal(std::string(kBase) + "engine: {overlap_collectives: 120%}\n")
                .find("overlap_collectives"),
            std::string::npos);
}

}  // namespace
}  // namespace foretoken::config
