#include "calibrate/bench/cuda_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "calibrate/bench/cpu_subjects.h"
#include "kernels/base/cuda_timing.h"
#include "kernels/base/empty_kernel.h"
#include "kernels/codec/codec_cuda.h"
#include "kernels/collective/cuda_collective.h"
#include "kernels/gemm/cublaslt_gemm.h"
#include "kernels/gemm/cuda_gemm.h"
#include "kernels/gemm/cuda_launch.h"
#include "kernels/gemm/device_weights.h"
#include "kernels/layer/cuda_layer.h"

namespace foretoken::calibrate {
namespace {

namespace k = kernels;
using Bytes = k::DeviceBuffer<std::uint8_t>;

constexpr double kLeastReplay = 1e-3;  // s between two events
constexpr int kMostCopies = 32;        // launches in one graph
constexpr std::size_t kKvBytes = std::size_t{512} << 20;

std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

// Random bytes that are bf16 of magnitude 2^-8 to 1 and, taken alone, e4m3 or int8 without NaN.
std::vector<std::uint8_t> random_block() {
  Pool bytes(std::size_t{1} << 20);
  std::vector<std::uint8_t> block(bytes.size());
  for (std::size_t i = 0; i < block.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(bytes.data()[i]);
    block[i] = i % 2 == 0 ? byte & 0xbf : byte;
  }
  return block;
}

}  // namespace

struct CudaBench::Impl {
  k::CudaStream stream;
  CudaFacts facts;
  std::vector<std::string> missing;
  Bytes pool;  // random bytes, at least three times the second-level cache
  std::size_t cursor = 0;
  k::DeviceBuffer<float> scales;
  std::unique_ptr<k::CudaGraph> fixed;
  Bytes fixed_out;

  Impl() {
    read_facts();
    const std::size_t wanted = std::max<std::size_t>(4 * facts.l2, std::size_t{2} << 30);
    pool = Bytes(std::min(wanted, facts.memory / 8) >> 20 << 20);
    fill_pool();
    scales = k::to_device(std::vector<float>(std::size_t{8} << 20, 0.01F));
    fixed_out = Bytes(std::size_t{512} * 4096 * 2);
    fixed = std::make_unique<k::CudaGraph>(
        stream.get(), our_gemm(k::parse_gemm_format("w8a8"), 512, 4096, 4096, fixed_out.data()));
  }

  void read_facts() {
    cudaDeviceProp p{};
    int runtime = 0, clock = 0;
    FT_CUDA_CHECK(cudaGetDeviceProperties(&p, 0));
    FT_CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
    FT_CUDA_CHECK(cudaDeviceGetAttribute(&clock, cudaDevAttrClockRate, 0));
    facts.device = p.name;
    facts.memory = p.totalGlobalMem;
    facts.l2 = static_cast<std::size_t>(p.l2CacheSize);
    facts.multiprocessors = p.multiProcessorCount;
    facts.fingerprint = fmt::format("{}, sm_{}{}, {} SMs, {} MHz, runtime {}, commit {}",
                                    k::cuda_device_line(), p.major, p.minor, p.multiProcessorCount,
                                    clock / 1000, runtime, this_machine().commit);
  }

  void fill_pool() {
    const std::vector<std::uint8_t> block = random_block();
    for (std::size_t at = 0; at < pool.size(); at += block.size()) {
      FT_CUDA_CHECK(
          cudaMemcpy(pool.data() + at, block.data(), block.size(), cudaMemcpyHostToDevice));
    }
  }

  // Bytes behind those given last: cold by the time they come again.
  std::uint8_t* next(std::size_t bytes) {
    const std::size_t each = (bytes + 255) / 256 * 256;
    if (each > pool.size()) {
      throw k::KernelError("operands larger than the pool");
    }
    if (cursor + each > pool.size()) {
      cursor = 0;
    }
    std::uint8_t* const at = pool.data() + cursor;
    cursor += each;
    return at;
  }

  int copies_for(std::size_t bytes) const {
    return static_cast<int>(
        std::clamp<std::size_t>(3 * facts.l2 / std::max<std::size_t>(bytes, 1), 2, kMostCopies));
  }

  // `launches` calls of `launch` in one graph, replayed for at least a millisecond a sample.
  Timing timed(const std::function<void()>& launch, int launches, double seconds) {
    const k::CudaGraph graph(stream.get(), [&] {
      for (int i = 0; i < launches; ++i) {
        launch();
      }
    });
    const double once = std::max(graph.time(2), 1e-7);
    const int replays = 1 + static_cast<int>(kLeastReplay / once);
    std::vector<double> samples;
    const double begin = now_seconds();
    while (samples.size() < 3 || (now_seconds() - begin < seconds && samples.size() < 25)) {
      samples.push_back(graph.time(replays) / launches);
    }
    return summarise(std::move(samples));
  }

  std::function<void()> our_gemm(const k::GemmFormat& format, std::int64_t m, std::int64_t n,
                                 std::int64_t depth, void* out) {
    const k::CudaGemmConfig config = k::choose_cuda_gemm_config(
        {m, n, depth, format, k::OutputType::bf16}, k::current_cuda_device());
    const k::CudaWeightShape shape = k::cuda_weight_shape(format, n, depth);
    const std::int64_t stride = k::cuda_activation_stride(format, depth);
    auto workspace = std::make_shared<k::DeviceBuffer<std::int32_t>>(
        config.k_splits > 1 ? size(m * n * config.k_splits) : 1);
    k::CudaGemmArgs args;
    args.activations = next(size(m * stride));
    args.activation_stride = stride;
    args.scales = scales.data();
    args.integer_scales = reinterpret_cast<const std::int32_t*>(pool.data());
    args.token_scales = scales.data();
    args.out = out;
    args.bf16_out = true;
    args.m = m;
    args.n = n;
    args.padded_n = shape.padded_n;
    args.k_tiles = shape.k_tiles;
    args.tiles_per_split = config.tiles_per_split;
    args.k_splits = config.k_splits;
    args.workspace = workspace->data();
    return [this, config, args, workspace, bytes = shape.data_bytes]() mutable {
      args.weights = next(bytes);
      k::launch_cuda_gemm(config, args, stream.get());
    };
  }

  Timing time_gemm(const std::string& name, const std::vector<std::int64_t>& s, double seconds) {
    const bool bf16 = name == "bf16";
    Bytes out(size(s[0] * s[1]) * 4);
    if (bf16 || name == "fp8") {
      k::CublasLtGemm gemm(bf16 ? k::CublasLtKind::bf16 : k::CublasLtKind::fp8_e4m3, s[0], s[1],
                           s[2]);
      const std::size_t value = bf16 ? 2 : 1;
      const std::size_t bytes = size(s[1] * s[2]) * value;
      const void* const activations = next(size(s[0] * s[2]) * value);
      return timed(
          [&] {
            gemm.run(activations, next(bytes), out.data(), scales.data(), scales.data(),
                     stream.get());
          },
          copies_for(bytes), seconds);
    }
    const k::GemmFormat format = kernel_format(name);
    return timed(our_gemm(format, s[0], s[1], s[2], out.data()),
                 copies_for(k::cuda_weight_shape(format, s[1], s[2]).data_bytes), seconds);
  }

  // Sequences over a cache that the calls walk through.
  Timing time_attention(bool decode, const std::string& format, const std::vector<std::int64_t>& s,
                        double seconds) {
    const std::int64_t heads = s[0], kv_heads = s[1], dim = s[2], batch = s[4], length = s[5];
    const std::int64_t fresh = decode ? 1 : length, tokens = batch * fresh;
    const std::int64_t value = format == "bf16" ? 2 : 1;
    const std::int64_t blocks_each = (length + 15) / 16;
    const std::int64_t block_bytes = kv_heads * 16 * dim * value;
    const std::int64_t call_blocks = batch * blocks_each;
    const std::int64_t rounds =
        std::clamp<std::int64_t>(static_cast<std::int64_t>(std::min(kKvBytes, pool.size() / 4)) /
                                     (2 * call_blocks * block_bytes),
                                 1, kMostCopies);
    std::vector<std::int32_t> blocks(size(rounds * call_blocks));
    std::iota(blocks.begin(), blocks.end(), 0);
    const auto table = k::to_device(blocks);
    std::vector<k::CudaSequence> sequences;
    for (std::int64_t i = 0; i < rounds * batch; ++i) {
      sequences.push_back({table.data() + i * blocks_each, length, fresh, i % batch * fresh});
    }
    const auto device_sequences = k::to_device(sequences);
    const std::size_t side = size(rounds * call_blocks * block_bytes);
    const Bytes own(side * 2 > pool.size() ? side * 2 : 0);  // more than the pool has
    const std::uint8_t* const cache = own.size() > 0 ? own.data() : pool.data();
    Bytes out(size(tokens * heads * dim) * 2);
    k::CudaAttentionArgs args;
    args.queries = reinterpret_cast<const std::uint16_t*>(next(out.size()));
    args.out = reinterpret_cast<std::uint16_t*>(out.data());
    args.keys = cache;
    args.values = cache + side;
    if (value == 1) {
      args.key_scales = args.value_scales = scales.data();
      args.format = format == "fp8" ? k::KvFormat::fp8_e4m3 : k::KvFormat::int8;
      if (size(rounds * call_blocks * kv_heads * 16) > scales.size()) {
        throw k::KernelError("more scales than the bench keeps");
      }
    }
    args.heads = static_cast<int>(heads);
    args.kv_heads = static_cast<int>(kv_heads);
    args.scale = 1.0F / std::sqrt(static_cast<float>(dim));
    args.key_splits = k::attention_key_splits(batch, args.kv_heads, fresh * heads / kv_heads,
                                              length, facts.multiprocessors);
    k::DeviceBuffer<float> partial(
        args.key_splits > 1 ? size(tokens * heads * args.key_splits * (dim + 2)) : 1);
    args.partial = partial.data();
    std::int64_t round = 0;
    return timed(
        [&] {
          args.sequences = device_sequences.data() + round++ % rounds * batch;
          k::launch_cuda_attention(args, static_cast<int>(dim), batch, fresh, tokens, stream.get());
        },
        static_cast<int>(rounds), seconds);
  }

  // Rows from the bytes that the plan states; see cuda_plan.cpp.
  Timing time_layer(const std::string& name, std::int64_t bytes, double seconds) {
    constexpr std::int64_t kHidden = 4096, kInner = 14336, kVocabulary = 128256;
    const auto buffer = [&](std::int64_t values) { return Bytes(size(values) * 2); };
    if (name == "input_layernorm" || name == "add_norm" || name == "residual_add") {
      const std::int64_t units = bytes / (kHidden * 2);
      const std::int64_t rows = name == "add_norm"       ? (units - 1) / 4
                                : name == "residual_add" ? units / 3
                                                         : (units - 1) / 2;
      Bytes x = buffer(rows * kHidden), y = buffer(rows * kHidden);
      FT_CUDA_CHECK(cudaMemset(y.data(), 0, y.size()));
      const void* const gain = next(kHidden * 2);
      return timed(
          [&] {
            if (name != "input_layernorm") {
              k::launch_cuda_add(x.data(), y.data(), rows * kHidden, stream.get());
            }
            if (name != "residual_add") {
              k::launch_cuda_rms_norm(x.data(), gain, rows, kHidden, 1e-5F, x.data(), stream.get());
            }
          },
          kMostCopies, seconds);
    }
    if (name == "silu_mul") {
      const std::int64_t rows = bytes / (3 * kInner * 2);
      Bytes in = buffer(2 * rows * kInner), out = buffer(rows * kInner);
      return timed(
          [&] { k::launch_cuda_silu_multiply(in.data(), rows, kInner, out.data(), stream.get()); },
          kMostCopies, seconds);
    }
    if (name == "rope") {
      const std::int64_t rows = bytes / (2 * 40 * 128 * 2 + 128 * 2 + 8),
                         stride = std::int64_t{48} * 128;
      Bytes x = buffer(rows * stride);
      std::vector<std::int64_t> positions(size(rows));
      std::iota(positions.begin(), positions.end(), std::int64_t{0});
      const auto at = k::to_device(positions);
      return timed(
          [&] {
            k::launch_cuda_rotary(x.data(), stride, rows, 40, 128, scales.data(), scales.data(),
                                  at.data(), stream.get());
          },
          kMostCopies, seconds);
    }
    if (name == "embed_tokens") {
      const std::int64_t rows = bytes / (2 * kHidden * 2 + 4);
      const std::int64_t table = static_cast<std::int64_t>(pool.size()) / (kHidden * 2);
      std::vector<std::int32_t> ids(size(rows));
      for (std::size_t i = 0; i < ids.size(); ++i) {
        ids[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) * 7919 % table);
      }
      const auto device_ids = k::to_device(ids);
      Bytes out = buffer(rows * kHidden);
      return timed(
          [&] {
            k::launch_cuda_embed(pool.data(), kHidden, device_ids.data(), rows, out.data(),
                                 stream.get());
          },
          kMostCopies, seconds);
    }
    const std::int64_t rows = bytes / (kVocabulary * 10 + 8);
    Bytes logits(size(rows * kVocabulary) * 4);
    FT_CUDA_CHECK(cudaMemset(logits.data(), 1, logits.size()));
    k::DeviceBuffer<std::int32_t> best(size(rows));
    return timed(
        [&] {
          k::launch_cuda_argmax(reinterpret_cast<const float*>(logits.data()), rows, kVocabulary,
                                best.data(), stream.get());
        },
        kMostCopies / 4, seconds);
  }

  Timing time_codec(const std::string& phase, const std::string& wire, std::int64_t touched,
                    double seconds) {
    const k::WireFormat format = k::parse_wire_format(wire);
    const std::size_t n = size(phase == "reduce" ? touched / 3 : touched);
    const std::size_t bytes = k::packed_bytes(format, n);
    Bytes values(2 * n), packed[3] = {Bytes(bytes), Bytes(bytes), Bytes(bytes)};
    FT_CUDA_CHECK(cudaMemcpy(values.data(), pool.data(), std::min(values.size(), pool.size()),
                             cudaMemcpyDeviceToDevice));
    for (Bytes& buffer : packed) {
      k::cuda_pack(format, {values.data(), k::ValueType::bf16}, n, buffer.data(), stream.get());
    }
    const std::uint8_t* const inputs[2] = {packed[0].data(), packed[1].data()};
    return timed(
        [&] {
          if (phase == "quantise") {
            k::cuda_pack(format, {values.data(), k::ValueType::bf16}, n, packed[2].data(),
                         stream.get());
          } else if (phase == "reduce") {
            k::cuda_unpack_reduce_pack(format, inputs, n, format, packed[2].data(), stream.get());
          } else {
            k::cuda_unpack(format, packed[0].data(), n, {values.data(), k::ValueType::bf16},
                           stream.get());
          }
        },
        4, seconds);
  }

  Timing time_group(bool pinned, const std::string& wire, std::int64_t ranks, std::int64_t bytes,
                    double seconds) {
    k::CollectiveDesc desc;
    desc.type = k::ValueType::bf16;
    desc.values = size(bytes) / 2;
    desc.first = desc.second = k::parse_wire_format(wire);
    k::CudaGroup group(
        static_cast<int>(ranks), desc,
        pinned ? k::CudaGroup::Wire::pinned_host : k::CudaGroup::Wire::device_memory);
    std::vector<std::uint8_t> host(size(bytes));
    pool.download(host.data(), host.size());
    for (int rank = 0; rank < static_cast<int>(ranks); ++rank) {
      group.upload(rank, host.data());
    }
    std::vector<double> samples;
    const double begin = now_seconds();
    group.run({}, stream.get());
    while (samples.size() < 5 || (now_seconds() - begin < seconds && samples.size() < 50)) {
      samples.push_back(k::cuda_seconds(stream.get(), [&] { group.run({}, stream.get()); }));
    }
    group.check();
    return summarise(std::move(samples));
  }

  // Host's view: back to back launches of an empty kernel, and of graphs of empty kernels.
  Timing time_launch(bool graph, std::int64_t count, double seconds) {
    const auto empty = [&] {
      for (std::int64_t i = 0; i < count; ++i) {
        k::launch_empty_kernel(stream.get());
      }
    };
    const std::unique_ptr<k::CudaGraph> nodes =
        graph ? std::make_unique<k::CudaGraph>(stream.get(), empty) : nullptr;
    constexpr int kRepeats = 100;
    std::vector<double> samples;
    const double begin = now_seconds();
    while (samples.size() < 5 || (now_seconds() - begin < seconds && samples.size() < 50)) {
      samples.push_back(nodes ? nodes->time(kRepeats) : k::cuda_seconds(stream.get(), [&] {
                                                          for (int i = 0; i < kRepeats; ++i) {
                                                            empty();
                                                          }
                                                        }) / kRepeats);
    }
    return summarise(std::move(samples));
  }

  Timing time_copy(std::int64_t bytes, double seconds) {
    Bytes from(size(bytes)), to(size(bytes));
    return timed(
        [&] {
          FT_CUDA_CHECK(cudaMemcpyAsync(to.data(), from.data(), to.size(), cudaMemcpyDeviceToDevice,
                                        stream.get()));
        },
        1, seconds);
  }

  Timing measure(const PlannedCase& c, double seconds) {
    const auto rest = [&](std::string_view prefix) {
      return c.family.starts_with(prefix) ? c.family.substr(prefix.size()) : std::string();
    };
    if (const auto name = rest("gemm."); !name.empty()) {
      return time_gemm(name, c.shape, seconds);
    }
    if (const auto name = rest("attention.prefill."); !name.empty()) {
      return time_attention(false, name, c.shape, seconds);
    }
    if (const auto name = rest("attention.decode."); !name.empty()) {
      return time_attention(true, name, c.shape, seconds);
    }
    if (const auto name = rest("elementwise."); !name.empty()) {
      return time_layer(name, c.shape[0], seconds);
    }
    for (const std::string_view phase : kCodecPhases) {
      if (const auto wire = rest(fmt::format("codec.{}.", phase)); !wire.empty()) {
        return time_codec(std::string(phase), wire, c.shape[0], seconds);
      }
    }
    if (const auto wire = rest("virtual_ranks."); !wire.empty()) {
      return time_group(false, wire, c.shape[0], c.shape[1], seconds);
    }
    if (const auto wire = rest("pinned_all_reduce."); !wire.empty()) {
      return time_group(true, wire, c.shape[0], c.shape[1], seconds);
    }
    if (const auto kind = rest("launch."); !kind.empty()) {
      return time_launch(kind == "graph", c.shape[0], seconds);
    }
    return time_copy(c.shape[0], seconds);
  }

  static constexpr std::string_view kCodecPhases[] = {"quantise", "reduce", "dequantise"};

  // Why a format cannot be measured here; empty where it can.
  static std::string obstacle(const std::string& format) {
    if (format != "bf16" && format != "fp8") {
      return "";
    }
    try {
      const k::CublasLtGemm probe(
          format == "bf16" ? k::CublasLtKind::bf16 : k::CublasLtKind::fp8_e4m3, 64, 64, 64);
      return "";
    } catch (const k::KernelError& error) {
      return error.what();
    }
  }
};

CudaBench::CudaBench() {
  if (k::cuda_device_count() == 0) {
    throw k::KernelError("no CUDA device on this machine");
  }
  impl_ = std::make_unique<Impl>();
}
CudaBench::~CudaBench() = default;

const CudaFacts& CudaBench::facts() const { return impl_->facts; }
const std::vector<std::string>& CudaBench::missing() const { return impl_->missing; }

std::vector<BenchCase> CudaBench::cases(const SuiteOptions& options) {
  std::vector<std::string> absent;
  for (const char* format : {"bf16", "fp8"}) {
    if (const std::string why = Impl::obstacle(format); !why.empty()) {
      impl_->missing.push_back(fmt::format("gemm.{}: {}", format, why));
      absent.push_back(std::string("gemm.") + format);
    }
  }
  std::vector<BenchCase> cases;
  for (const PlannedCase& planned : plan_cuda(options, impl_->facts.memory)) {
    if (std::find(absent.begin(), absent.end(), planned.family) == absent.end()) {
      cases.push_back(
          {planned.family, planned.shape,
           [&bench = *impl_, planned](double seconds) { return bench.measure(planned, seconds); },
           &Timing::median});
    }
  }
  return cases;
}

double CudaBench::sentinel() { return impl_->fixed->time(4); }

}  // namespace foretoken::calibrate
