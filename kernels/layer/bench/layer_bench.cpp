// layer_bench: Google Benchmark over the CPU layer kernels and whole layers at the shapes of real
// models, one thread.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <numeric>

#include "kernels/base/error.h"
#include "kernels/gemm/bench/model_shapes.h"
#include "kernels/gemm/bench/run_benchmarks.h"
#include "kernels/gemm/synthetic.h"
#include "kernels/layer/transformer_layer.h"

namespace foretoken::kernels {
namespace {

constexpr const char* kDescription =
    R"(Times of the CPU layer kernels and of whole transformer layers, one thread.

  layer_bench --benchmark_list_tests      their names:
      MODEL/TP/rms_norm | silu_multiply | rotary | quantize_per_token | quantize_g128/tokens:T
      MODEL/TP/attention_decode | attention_prefill/bf16 | int8 | fp8/length:L   of the KV cache
      MODEL/TP/attention_prefill/on_INSTRUCTION_SET/length:1024
      MODEL/TP/layer/FORMAT/tokens:T      a whole layer behind 1024 cached tokens, GEMMs in FORMAT
      argmax/T                            of a vocabulary of 128256
  layer_bench --benchmark_filter=llama-3.1-8b/tp1/layer/w4a8
  layer_bench --benchmark_filter=llama-3.1-70b/tp8/attention_decode

Tokens go from 1 to 8192. Other --benchmark_... options are Google Benchmark's.)";

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

void rms_norm_bench(benchmark::State& state, const ModelSlice& model) {
  WorkerPool pool(1);
  const auto x = random_bf16(state.range(0) * model.hidden, 1), w = random_bf16(model.hidden, 2);
  std::vector<Bf16> out(x.size());
  for (auto _ : state) {
    rms_norm(x, w, 1e-5F, out, pool);
    benchmark::ClobberMemory();
  }
  set_bytes(state, state.range(0) * model.hidden * 4);
}

void silu_bench(benchmark::State& state, const ModelSlice& model) {
  WorkerPool pool(1);
  const auto x = random_bf16(2 * state.range(0) * model.intermediate, 1);
  std::vector<Bf16> out(x.size() / 2);
  for (auto _ : state) {
    silu_multiply(x, model.intermediate, out, pool);
    benchmark::ClobberMemory();
  }
  set_bytes(state, state.range(0) * model.intermediate * 6);
}

void quantize_bench(benchmark::State& state, const ModelSlice& model, std::int64_t group) {
  WorkerPool pool(1);
  const auto x = random_bf16(state.range(0) * model.hidden, 1);
  Int8Rows out;
  for (auto _ : state) {
    quantize_rows(x, model.hidden, group, out, pool);
    benchmark::ClobberMemory();
  }
  set_bytes(state, state.range(0) * model.hidden * 3);
}

void rotary_bench(benchmark::State& state, const ModelSlice& model) {
  WorkerPool pool(1);
  const RotaryTable table({}, state.range(0));
  const std::int64_t heads = model.heads + model.kv_heads, width = heads * model.head_dim;
  auto x = random_bf16(state.range(0) * width, 1);
  std::vector<std::int64_t> positions(static_cast<std::size_t>(state.range(0)));
  std::iota(positions.begin(), positions.end(), 0);
  for (auto _ : state) {
    table.apply(x.data(), width, static_cast<int>(heads), positions, pool);
    benchmark::ClobberMemory();
  }
  set_bytes(state, state.range(0) * width * 4);
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

KvShape kv_shape(const ModelSlice& model, KvFormat format) {
  return {static_cast<int>(model.kv_heads), static_cast<int>(model.head_dim), format};
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
void attention_bench(benchmark::State& state, const ModelSlice& model, KvFormat format,
                     const PrefillKernels* kernels) {
  const bool decode = kernels == nullptr;
  WorkerPool pool(1);
  const std::int64_t length = state.range(0), tokens = decode ? 1 : length;
  const CachedSequence cached = cached_sequence(kv_shape(model, format), length);
  const SequenceView sequence{cached.blocks, length, tokens};
  const AttentionShape shape{static_cast<int>(model.heads),
                             1.0F / std::sqrt(static_cast<float>(model.head_dim)), 0};
  const std::int64_t width = model.heads * model.head_dim;
  const auto q = random_bf16(tokens * width, 4);
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
  state.counters["GFLOP/s"] = benchmark::Counter(4e-9 * static_cast<double>(width) * pairs,
                                                 benchmark::Counter::kIsIterationInvariantRate);
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

void layer_bench(benchmark::State& state, const ModelSlice& model, const GemmFormat& format) {
  WorkerPool pool(1);
  CpuGemm gemm(pool);
  LayerShape shape;
  shape.hidden = model.hidden;
  shape.intermediate = model.intermediate;
  shape.heads = static_cast<int>(model.heads);
  shape.kv_heads = static_cast<int>(model.kv_heads);
  shape.head_dim = static_cast<int>(model.head_dim);
  TransformerLayer layer(shape, random_layer(shape), format);
  const std::int64_t tokens = state.range(0), length = 1024 + tokens;
  const RotaryTable rotary({}, length);
  CachedSequence cached = cached_sequence(kv_shape(model, KvFormat::bf16), length);
  const SequenceView sequence{cached.blocks, length, tokens};
  const auto x = random_bf16(tokens * model.hidden, 5);
  for (auto _ : state) {
    auto hidden = x;
    layer.forward(hidden, sequence, *cached.cache, rotary, gemm, pool);
    benchmark::ClobberMemory();
  }
}

template <typename... Arguments>
benchmark::internal::Benchmark* add(const std::string& name, Arguments... arguments) {
  return benchmark::RegisterBenchmark(name.c_str(), arguments...)
      ->RangeMultiplier(4)
      ->Unit(benchmark::kMicrosecond);
}

void register_attention(const ModelSlice& model) {
  const auto kernels = available_prefill_kernels(cpu_features());
  for (const KvFormat format : {KvFormat::bf16, KvFormat::int8, KvFormat::fp8_e4m3}) {
    const PrefillKernels* const decode = nullptr;
    add(model.name + "/attention_decode/" + to_string(format), attention_bench, model, format,
        decode)
        ->ArgName("length")
        ->Range(128, 32768);
    add(model.name + "/attention_prefill/" + to_string(format), attention_bench, model, format,
        kernels.front())
        ->ArgName("length")
        ->Range(128, 8192);
  }
  for (const PrefillKernels* one : kernels) {
    add(model.name + "/attention_prefill/on_" + one->name, attention_bench, model, KvFormat::bf16,
        one)
        ->ArgName("length")
        ->Arg(1024);
  }
}

void register_all() {
  for (const ModelSlice& model : model_slices()) {
    const auto tokens = [](benchmark::internal::Benchmark* benchmark) {
      benchmark->ArgName("tokens")->Range(1, 8192);
    };
    tokens(add(model.name + "/rms_norm", rms_norm_bench, model));
    tokens(add(model.name + "/silu_multiply", silu_bench, model));
    tokens(add(model.name + "/rotary", rotary_bench, model));
    tokens(add(model.name + "/quantize_per_token", quantize_bench, model, std::int64_t{0}));
    tokens(add(model.name + "/quantize_g128", quantize_bench, model, std::int64_t{128}));
    register_attention(model);
    for (const GemmFormat& format : all_gemm_formats()) {
      tokens(add(model.name + "/layer/" + to_string(format), layer_bench, model, format));
    }
  }
  add("argmax", argmax_bench)->Arg(1)->Arg(16);
}

int run(int argc, char** argv) {
  CLI::App app(kDescription, "layer_bench");
  app.allow_extras();  // Google Benchmark's
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& request) {
    return app.exit(request);
  }
  register_all();
  run_benchmarks(app.remaining(), "llama-3.1-8b/tp1/(.*/tokens:(1|64)|attention.*:2048)$");
  return 0;
}

}  // namespace
}  // namespace foretoken::kernels

int main(int argc, char** argv) {
  try {
    return foretoken::kernels::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "layer_bench: {}\n", error.what());
    return 2;
  }
}
