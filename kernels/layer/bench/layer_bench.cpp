// layer_bench: Google Benchmark over the layer kernels at the shapes of real models, and one whole
// layer of llama-3.1-8b in each GEMM format. Choose with --benchmark_filter.
#include <benchmark/benchmark.h>

#include <cmath>
#include <map>
#include <memory>
#include <numeric>

#include "kernels/gemm/synthetic.h"
#include "kernels/layer/transformer_layer.h"

namespace foretoken::kernels {
namespace {

constexpr std::int64_t kHidden = 4096, kIntermediate = 14336;

std::vector<Bf16> random_bf16(std::int64_t count, std::uint64_t seed) {
  SyntheticRandom random(seed);
  std::vector<Bf16> values(static_cast<std::size_t>(count));
  for (Bf16& value : values) {
    value = to_bf16(static_cast<float>(random.uniform() - 0.5));
  }
  return values;
}

void set_bytes(benchmark::State& state, std::int64_t bytes) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * bytes);
}

void rms_norm_bench(benchmark::State& state) {
  WorkerPool pool(1);
  const auto x = random_bf16(state.range(0) * kHidden, 1), w = random_bf16(kHidden, 2);
  std::vector<Bf16> out(x.size());
  for (auto _ : state) {
    rms_norm(x, w, 1e-5F, out, pool);
    benchmark::ClobberMemory();
  }
  set_bytes(state, state.range(0) * kHidden * 4);
}

void silu_bench(benchmark::State& state) {
  WorkerPool pool(1);
  const auto x = random_bf16(2 * state.range(0) * kIntermediate, 1);
  std::vector<Bf16> out(x.size() / 2);
  for (auto _ : state) {
    silu_multiply(x, kIntermediate, out, pool);
    benchmark::ClobberMemory();
  }
  set_bytes(state, state.range(0) * kIntermediate * 6);
}

void quantize_bench(benchmark::State& state, std::int64_t group) {
  WorkerPool pool(1);
  const auto x = random_bf16(state.range(0) * kHidden, 1);
  Int8Rows out;
  for (auto _ : state) {
    quantize_rows(x, kHidden, group, out, pool);
    benchmark::ClobberMemory();
  }
  set_bytes(state, state.range(0) * kHidden * 3);
}

void rotary_bench(benchmark::State& state) {
  WorkerPool pool(1);
  const RotaryTable table({}, state.range(0));
  auto x = random_bf16(state.range(0) * 40 * 128, 1);
  std::vector<std::int64_t> positions(static_cast<std::size_t>(state.range(0)));
  std::iota(positions.begin(), positions.end(), 0);
  for (auto _ : state) {
    table.apply(x.data(), std::int64_t{40} * 128, 40, positions, pool);
    benchmark::ClobberMemory();
  }
  set_bytes(state, state.range(0) * 40 * 128 * 4);
}

void argmax_bench(benchmark::State& state) {
  constexpr std::int64_t kVocabulary = 128256;
  WorkerPool pool(1);
  std::vector<float> logits;
  for (const Bf16 value : random_bf16(state.range(0) * kVocabulary, 1)) {
    logits.push_back(to_float(value));
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(argmax_rows(logits, kVocabulary, pool));
  }
  set_bytes(state, state.range(0) * kVocabulary * 4);
}

struct CachedSequence {
  std::vector<std::int32_t> blocks;
  std::unique_ptr<PagedKvCache> cache;
};

CachedSequence cached_sequence(const KvShape& shape, std::int64_t length) {
  CachedSequence result;
  result.blocks.resize(static_cast<std::size_t>((length + kKvBlockTokens - 1) / kKvBlockTokens));
  std::iota(result.blocks.begin(), result.blocks.end(), 0);
  result.cache =
      std::make_unique<PagedKvCache>(shape, static_cast<std::int64_t>(result.blocks.size()));
  const auto row = random_bf16(std::int64_t{shape.kv_heads} * shape.head_dim, 3);
  for (std::int64_t p = 0; p < length; ++p) {
    result.cache->store(result.blocks, p, row, row);
  }
  return result;
}

// `kernels`: of prefill; null for decoding.
void attention_bench(benchmark::State& state, KvFormat format, const PrefillKernels* kernels) {
  const bool decode = kernels == nullptr;
  WorkerPool pool(1);
  const std::int64_t length = state.range(0), tokens = decode ? 1 : length;
  const CachedSequence cached = cached_sequence({8, 128, format}, length);
  const SequenceView sequence{cached.blocks, length, tokens};
  const AttentionShape shape{32, 1.0F / std::sqrt(128.0F), 0};
  const auto q = random_bf16(tokens * 32 * 128, 4);
  std::vector<Bf16> out(q.size());
  for (auto _ : state) {
    if (decode) {
      attention_decode(shape, *cached.cache, {&sequence, 1}, q.data(), out.data(), pool);
    } else {
      attention_prefill(shape, *cached.cache, sequence, q.data(), out.data(), pool, *kernels);
    }
    benchmark::ClobberMemory();
  }
  // Causal: half of the score matrix; two products of 2 FLOP.
  const double pairs = decode ? static_cast<double>(length)
                              : static_cast<double>(length) * static_cast<double>(length + 1) / 2;
  state.counters["GFLOP/s"] =
      benchmark::Counter(4e-9 * 32 * 128 * pairs, benchmark::Counter::kIsIterationInvariantRate);
  set_bytes(state, length * cached.cache->shape().bytes_per_token());
}

LayerWeights random_layer(const LayerShape& shape) {
  const auto matrix = [](std::int64_t n, std::int64_t k, std::uint64_t seed) {
    SyntheticRandom random(seed);
    std::vector<float> values(static_cast<std::size_t>(n * k));
    for (float& value : values) {
      value = static_cast<float>((random.uniform() - 0.5) * 0.05);
    }
    return values;
  };
  LayerWeights weights;
  weights.qkv = matrix(shape.qkv_width(), shape.hidden, 1);
  weights.o = matrix(shape.hidden, shape.attention_width(), 2);
  weights.gate_up = matrix(2 * shape.intermediate, shape.hidden, 3);
  weights.down = matrix(shape.hidden, shape.intermediate, 4);
  weights.attention_norm = weights.mlp_norm =
      std::vector<Bf16>(static_cast<std::size_t>(shape.hidden), to_bf16(1.0F));
  return weights;
}

void layer_bench(benchmark::State& state, const GemmFormat& format) {
  WorkerPool pool(1);
  CpuGemm gemm(pool);
  TransformerLayer layer(kLlama31_8b, random_layer(kLlama31_8b), format);
  const std::int64_t tokens = state.range(0);
  const RotaryTable rotary({}, 4096);
  CachedSequence cached = cached_sequence({8, 128, KvFormat::bf16}, 1024 + tokens);
  const SequenceView sequence{cached.blocks, 1024 + tokens, tokens};
  const auto x = random_bf16(tokens * kHidden, 5);
  for (auto _ : state) {
    auto hidden = x;
    layer.forward(hidden, sequence, *cached.cache, rotary, gemm, pool);
    benchmark::ClobberMemory();
  }
}

void register_all() {
  using benchmark::kMicrosecond;
  const auto tokens = [](benchmark::internal::Benchmark* b) {
    b->ArgName("tokens")->RangeMultiplier(8)->Range(1, 4096)->Unit(kMicrosecond);
  };
  tokens(benchmark::RegisterBenchmark("rms_norm", rms_norm_bench));
  tokens(benchmark::RegisterBenchmark("silu_multiply", silu_bench));
  tokens(benchmark::RegisterBenchmark("rotary", rotary_bench));
  for (const std::int64_t group : {0, 128}) {
    tokens(benchmark::RegisterBenchmark(group == 0 ? "quantize/per_token" : "quantize/g128",
                                        quantize_bench, group));
  }
  benchmark::RegisterBenchmark("argmax", argmax_bench)->Arg(1)->Arg(16)->Unit(kMicrosecond);
  const auto prefill = available_prefill_kernels(cpu_features());
  for (const KvFormat format : {KvFormat::bf16, KvFormat::int8, KvFormat::fp8_e4m3}) {
    for (const bool decode : {false, true}) {
      const std::string name =
          std::string(decode ? "attention_decode/" : "attention_prefill/") + to_string(format);
      benchmark::RegisterBenchmark(name.c_str(), attention_bench, format,
                                   decode ? nullptr : prefill.front())
          ->ArgName("length")
          ->RangeMultiplier(4)
          ->Range(128, decode ? 32768 : 8192)
          ->Unit(kMicrosecond);
    }
  }
  for (const PrefillKernels* kernels : prefill) {
    benchmark::RegisterBenchmark(
        (std::string("attention_prefill/bf16_on/") + kernels->name).c_str(), attention_bench,
        KvFormat::bf16, kernels)
        ->ArgName("length")
        ->Arg(1024)
        ->Unit(kMicrosecond);
  }
  for (const GemmFormat& format : all_gemm_formats()) {
    benchmark::RegisterBenchmark(("llama-3.1-8b/layer/" + to_string(format)).c_str(), layer_bench,
                                 format)
        ->ArgName("tokens")
        ->Arg(1)
        ->Arg(16)
        ->Arg(256)
        ->Unit(benchmark::kMillisecond);
  }
}

}  // namespace
}  // namespace foretoken::kernels

int main(int argc, char** argv) {
  foretoken::kernels::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
