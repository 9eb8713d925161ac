#include "calibrate/runtime/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <thread>

#include "calibrate/runtime/server.h"
#include "kernels/collective/thread_transport.h"
#include "sim/core/error.h"
#include "tests/calibrate/runtime/reference_model.h"

namespace foretoken::runtime {
namespace {

constexpr std::uint64_t kSeed = 7;

PrecisionSpec precision_of(const char* weights, const char* activations) {
  PrecisionSpec precision;
  precision.weights_default = parse_format(weights, FormatRole::weights);
  precision.activations = parse_format(activations, FormatRole::activations);
  return precision;
}

GraphBuilder builder_of(const PrecisionSpec& precision, int tensor = 1) {
  ParallelSpec parallel;
  parallel.tensor = tensor;
  return {tiny_model(), precision, parallel};
}

constexpr ExecutorLimits kLimits{64, 256};

// A prompt in two chunks, then decodes: greedy tokens of one sequence.
std::vector<std::int32_t> generate(Executor& executor, const std::vector<std::int32_t>& prompt,
                                   int count) {
  const std::vector<std::int32_t> blocks{5, 3, 9, 1, 0, 7};
  const auto middle = prompt.begin() + static_cast<std::ptrdiff_t>(prompt.size() / 3);
  StepInput first, second;
  first.prefill.push_back({{prompt.begin(), middle}, 0, blocks});
  second.prefill.push_back({{middle, prompt.end()}, middle - prompt.begin(), blocks});
  executor.step(first);
  std::vector<std::int32_t> tokens = executor.step(second).tokens;
  while (static_cast<int>(tokens.size()) < count) {
    StepInput decode;
    decode.decode.push_back(
        {{tokens.back()}, static_cast<std::int64_t>(prompt.size() + tokens.size()) - 1, blocks});
    tokens.push_back(executor.step(decode).tokens.front());
  }
  return tokens;
}

// The largest difference between the logits of the executor and the reference, in units of the
// reference's standard deviation.
double logit_error(std::span<const float> logits, const std::vector<double>& reference) {
  double worst = 0, squares = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    worst = std::max(worst, std::abs(logits[i] - reference[i]));
    squares += reference[i] * reference[i];
  }
  return worst / std::sqrt(squares / static_cast<double>(reference.size()));
}

double deviation(const std::vector<double>& logits) {
  const double squares = std::inner_product(logits.begin(), logits.end(), logits.begin(), 0.0);
  return std::sqrt(squares / static_cast<double>(logits.size()));
}

// Wherever the reference prefers a token by more than bf16 can blur (0.06 standard deviations
// either way, see below), it is the one generated; most are such.
TEST(Executor, GeneratesTheTokensOfAnIndependentForwardPassInFp32) {
  constexpr double kBlur = 0.12;
  const RandomWeights weights(kSeed);
  const GraphBuilder builder = builder_of(precision_of("bf16", "bf16"));
  Executor executor(builder, weights, kLimits, nullptr);
  int decided = 0;
  for (std::int64_t i = 0; i < 4; ++i) {
    std::vector<std::int32_t> text = random_prompt(kSeed, i, 37, tiny_model().vocab);
    for (const std::int32_t token : generate(executor, text, 12)) {
      std::vector<double> logits = reference_logits(tiny_model(), weights, text);
      const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
      text.push_back(token);
      const double blur = kBlur * deviation(logits);
      std::nth_element(logits.begin(), logits.begin() + 1, logits.end(), std::greater<>());
      if (logits[0] - logits[1] > blur) {
        EXPECT_EQ(token, best) << "prompt " << i << ", token " << text.size();
        ++decided;
      }
    }
  }
  EXPECT_GE(decided, 24) << "of 48";
}

struct FormatCase {
  const char* weights;
  const char* activations;
  double error;  // largest logit difference allowed, in standard deviations of the logits
};

// Errors of one rounding each add up over two layers; 4-bit weights carry a relative error of about
// 1 / (2 x 7) of the largest weight, 8-bit ones 1 / 254.
TEST(Executor, StaysWithinTheErrorOfEachFormat) {
  const RandomWeights weights(kSeed);
  for (const FormatCase& c :
       {FormatCase{"bf16", "bf16", 0.06}, FormatCase{"int8", "int8", 0.15},
        FormatCase{"int4", "int8", 1.6}, FormatCase{"int4/g128/integer-scale", "int8", 1.6}}) {
    PrecisionSpec precision = precision_of(c.weights, c.activations);
    const GraphBuilder builder = builder_of(precision);
    Executor executor(builder, weights, kLimits, nullptr);
    const auto prompt = random_prompt(kSeed, 1, 37, tiny_model().vocab);
    StepInput input;
    input.prefill.push_back({prompt, 0, {0, 1, 2}});
    const StepResult result = executor.step(input);
    const auto reference = reference_logits(tiny_model(), weights, prompt);
    const double error = logit_error(executor.logits(), reference);
    EXPECT_LT(error, c.error) << c.weights;
    EXPECT_GT(error, 0) << c.weights;
    // The token taken is one that the reference likes as much, but for that error.
    const double best = *std::max_element(reference.begin(), reference.end());
    EXPECT_GE(reference[static_cast<std::size_t>(result.tokens[0])],
              best - 2 * c.error * deviation(reference))
        << c.weights;
  }
}

TEST(Executor, TakesTheTimeOfEveryOperatorOfTheGraph) {
  const RandomWeights weights(kSeed);
  const GraphBuilder builder = builder_of(precision_of("int8", "int8"));
  Executor executor(builder, weights, kLimits, nullptr);
  StepInput input;
  input.prefill.push_back({random_prompt(1, 0, 5, 256), 0, {0}});
  input.decode.push_back({{3}, 16, {1, 2}});
  const StepResult result = executor.step(input);
  std::size_t operators = 0;
  for_each_operator(result, [&](const Operator&, double seconds) {
    EXPECT_GE(seconds, 0);
    ++operators;
  });
  EXPECT_EQ(operators, result.seconds.size());
  EXPECT_EQ(result.tokens.size(), 2U);
}

// Two ranks as threads; their sum of two halves rounds otherwise than one rank's whole, so tokens
// are compared through the logits.
TEST(Executor, TwoRanksComputeWhatOneComputes) {
  const RandomWeights weights(kSeed);
  PrecisionSpec precision = precision_of("bf16", "bf16");
  for (const auto& [wire, allowed] : {std::pair{"bf16", 0.08}, std::pair{"int8", 0.2}}) {
    precision.all_reduce = parse_format(wire, FormatRole::wire);
    const GraphBuilder builder = builder_of(precision, 2);
    auto transports = kernels::make_thread_transports(2, std::chrono::seconds(20));
    std::thread peer([&] {
      Executor executor(builder, weights, kLimits, transports[1].get());
      follow(executor, *transports[1]);
    });
    Executor executor(builder, weights, kLimits, transports[0].get());
    const auto prompt = random_prompt(kSeed, 2, 40, tiny_model().vocab);
    StepInput input;
    input.prefill.push_back({prompt, 0, {0, 1, 2}});
    send_step(*transports[0], input);
    executor.step(input);
    send_step(*transports[0], {});
    peer.join();
    EXPECT_LT(logit_error(executor.logits(), reference_logits(tiny_model(), weights, prompt)),
              allowed)
        << wire;
  }
}

TEST(Executor, RefusesWhatItHasNoKernelFor) {
  const RandomWeights weights(kSeed);
  ModelSpec model = tiny_model();
  model.qk_norm = true;
  EXPECT_THROW(Executor(GraphBuilder(model, {}, {}), weights, kLimits, nullptr), InputError);
  const GraphBuilder odd = builder_of(precision_of("fp8", "fp8"));
  EXPECT_THROW(Executor(odd, weights, kLimits, nullptr), InputError);
  const GraphBuilder two = builder_of({}, 2);
  EXPECT_THROW(Executor(two, weights, kLimits, nullptr), InputError);
}

TEST(StepInput, SurvivesTheWire) {
  StepInput input;
  input.prefill.push_back({random_prompt(1, 0, 700, 1000), 32, {4, 2, 9}});
  input.decode.push_back({{17}, 5, {1}});
  const StepInput copy = from_words(to_words(input));
  ASSERT_EQ(copy.prefill.size(), 1U);
  EXPECT_EQ(copy.prefill[0].tokens, input.prefill[0].tokens);
  EXPECT_EQ(copy.prefill[0].context, 32);
  EXPECT_EQ(copy.decode[0].blocks, input.decode[0].blocks);
  const BatchShape shape = copy.shape(4);
  EXPECT_EQ(shape.tokens(), 701);
  EXPECT_EQ(shape.decode_kv_tokens, 6);
  EXPECT_EQ(shape.decode_kv_tokens_windowed, 4);
  EXPECT_EQ(shape.rows, 2);
}

}  // namespace
}  // namespace foretoken::runtime
