#include "calibrate/ledger/mlperf.h"

#include <algorithm>
#include <array>

namespace foretoken::calibrate {
namespace {

// NVIDIA's own settings; its partners run its code, and those of a GPU and round are taken to use
// the same. The scheduler admits by the prompt (max_util) in all of them, KV caches are fp8.
// v4.1: mlcommons/inference_results_v4.1@a2f5d66 closed/NVIDIA/configs/llama2-70b/Offline. A budget
//   of tokens is not stated there: TensorRT-LLM's default.
// v5.1: closed/NVIDIA/configs/<system>/Offline of the code of that round, B200 as in
//   ykamiset/inference_results_v5.1@e9ccad4, H200 as in sheldon-xiong/xxd-mlpinf@a7e9579.
constexpr double kFortyMinutes = 2400, kTenMinutes = 600;
constexpr std::int64_t kOpenOrca = 24576, kLongContext = 8313;
constexpr std::array kSettings{MlperfSettings{"v4.1", "H200", "llama2-70b", 1, 1, "fp8", 806, 8192,
                                              0.9, kFortyMinutes, kOpenOrca},
                               MlperfSettings{"v5.1", "H200", "llama2-70b", 1, 1, "fp8", 2048, 1536,
                                              0.9, kFortyMinutes, kOpenOrca},
                               MlperfSettings{"v5.1", "B200", "llama2-70b", 1, 1, "nvfp4", 2048,
                                              3584, 0.95, kFortyMinutes, kOpenOrca},
                               MlperfSettings{"v5.1", "B200", "llama3.1-405b", 2, 2, "nvfp4", 128,
                                              1536, 0.95, kTenMinutes, kLongContext}};

// Llama-2-70B, OpenOrca: inputs and outputs are cut at 1024 tokens
// (mlcommons/inference language/llama2-70b/processorca.py). The lengths of each prompt and of the
// data set's own answer: openshift-psap/performance-dashboard@7cd1065
// mlperf-data/summaries/llama2-70b-99.csv; of it 1028 rows spread over its four parts have a mean
// input of 211 +- 4 tokens with a standard deviation of 0.73 x the mean, all prompts tokenised with
// the benchmark's template a mean of 221 (published elsewhere, beside results; taken here), and the
// answers a standard deviation of 0.77 x their mean. That the model's answers spread as those of
// the data set do is assumed; their mean is the run's.
constexpr std::int64_t kCut = 1023;
constexpr double kInputMedian = 177, kInputSigma = 0.68;
constexpr double kOutputMedianPerMean = 0.767, kOutputSigma = 0.78;

// Llama-3.1-405B, LongBench and others: "mean input/output context lengths of 9,400 and 680 tokens"
// (mlcommons.org/2025/04/llm-inference-v5). Their spread is published as a picture only: fixed.
constexpr std::int64_t kLongInput = 9400;

LengthSpec::Side spread(double median, double sigma) {
  LengthSpec::Side side;
  side.kind = LengthSpec::Kind::lognormal;
  side.low = 1;
  side.high = kCut;
  side.median = median;
  side.sigma = sigma;
  return side;
}

LengthSpec::Side fixed(std::int64_t tokens) {
  LengthSpec::Side side;
  side.low = side.high = tokens;
  return side;
}

}  // namespace

const MlperfSettings* mlperf_settings(const LedgerRow& row) {
  const auto* const found =
      std::find_if(kSettings.begin(), kSettings.end(), [&](const MlperfSettings& settings) {
        return settings.round == row.version && settings.gpu == row.gpu &&
               row.model.starts_with(settings.model);
      });
  return found == kSettings.end() ? nullptr : &*found;
}

LengthSpec mlperf_lengths(const LedgerRow& row) {
  LengthSpec lengths;
  if (mlperf_settings(row)->least_run == kOpenOrca) {
    lengths.kind = LengthSpec::Kind::lognormal;
    lengths.input = spread(kInputMedian, kInputSigma);
    lengths.output = spread(kOutputMedianPerMean * static_cast<double>(row.output), kOutputSigma);
  } else {
    lengths.input = fixed(kLongInput);
    lengths.output = fixed(row.output);
  }
  return lengths;
}

std::string_view mlperf_excluded(const LedgerRow& row) {
  if (row.origin != "Offline") {
    return "MLPerf Server and Interactive: loaded up to a latency, not to the limit";
  }
  if (mlperf_settings(row) == nullptr || row.engine != "trtllm") {
    return "MLPerf: how the engine was run is not published for this round, GPU and model";
  }
  if (row.system.find("MaxQ") != std::string::npos || row.system.find("CTS") != std::string::npos) {
    return "MLPerf: another power limit than the tables' GPU";
  }
  return {};
}

}  // namespace foretoken::calibrate
