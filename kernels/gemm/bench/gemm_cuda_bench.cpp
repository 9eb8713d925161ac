// gemm_cuda_bench [N K]: our CUDA GEMMs beside cuBLASLt bf16, fp8 and int8, in one process; on
// Hopper each of ours twice, wgmma and mma.sync.
//
// Method: random data; weights rotate through at least three times the second-level cache, so that
// they are cold as in decoding, while activations stay hot; a CUDA graph of one rotation is timed
// with events; passes visit the contestants in shuffled order; the median of the passes is reported
// with the smallest, and the bf16 library kernel of the same pass is the yardstick.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>

#include "kernels/base/cuda_timing.h"
#include "kernels/base/rounds.h"
#include "kernels/gemm/bench/operands.h"
#include "kernels/gemm/cublaslt_gemm.h"
#include "kernels/gemm/device_weights.h"
#include "kernels/gemm/synthetic.h"

namespace foretoken::kernels {
namespace {

constexpr int kPasses = 9;
constexpr double kLeastSeconds = 2e-3;  // of one timed replay series

// Rotates through `copies` of its weights.
struct GpuGemm {
  std::string name;
  std::size_t copies;
  std::function<void(std::size_t copy, cudaStream_t stream)> launch;
};

std::size_t copies_for(std::size_t bytes) {
  int device = 0, cache = 0;
  FT_CUDA_CHECK(cudaGetDevice(&device));
  FT_CUDA_CHECK(cudaDeviceGetAttribute(&cache, cudaDevAttrL2CacheSize, device));
  return 3 * static_cast<std::size_t>(cache) / bytes + 2;
}

std::vector<std::uint8_t> random_bytes(std::size_t count, bool bf16) {
  SyntheticRandom random(1);
  std::vector<std::uint8_t> bytes(count);
  for (std::size_t i = 0; i < count; i += 8) {
    // Exponents near 1, so that neither bf16 nor e4m3 meets infinities or only denormals.
    const std::uint64_t bits = bf16 ? (random.next() & 0x80ff80ff80ff80ffU) | 0x3f003f003f003f00U
                                    : random.next() & 0xbfbfbfbfbfbfbfbfU;
    std::memcpy(bytes.data() + i, &bits, std::min<std::size_t>(8, count - i));
  }
  return bytes;
}

GpuGemm library(CublasLtKind kind, const char* name, std::int64_t m, std::int64_t n,
                std::int64_t k) {
  const std::size_t value = kind == CublasLtKind::bf16 ? 2 : 1;
  const auto weight_bytes = static_cast<std::size_t>(n * k) * value;
  const std::size_t copies = copies_for(weight_bytes);
  struct Data {
    std::unique_ptr<CublasLtGemm> gemm;
    DeviceBuffer<std::uint8_t> weights, activations, out;
    DeviceBuffer<float> one{1};
  };
  const auto data = std::make_shared<Data>(
      Data{std::make_unique<CublasLtGemm>(kind, m, n, k),
           DeviceBuffer<std::uint8_t>(weight_bytes * copies),
           to_device(random_bytes(static_cast<std::size_t>(m * k) * value, value == 2)),
           DeviceBuffer<std::uint8_t>(static_cast<std::size_t>(m * n) * 4)});
  const auto weights = random_bytes(weight_bytes, value == 2);
  for (std::size_t copy = 0; copy < copies; ++copy) {
    FT_CUDA_CHECK(cudaMemcpy(data->weights.data() + copy * weight_bytes, weights.data(),
                             weight_bytes, cudaMemcpyHostToDevice));
  }
  const float one = 1;
  data->one.upload(&one, 1);
  return {name, copies, [=](std::size_t copy, cudaStream_t stream) {
            data->gemm->run(data->activations.data(), data->weights.data() + copy * weight_bytes,
                            data->out.data(), data->one.data(), data->one.data(), stream);
          }};
}

// Any bits are weights of some value: no need to pack them one by one.
CudaPackedWeights random_weights(const GemmFormat& format, std::int64_t n, std::int64_t k) {
  const CudaWeightShape shape = cuda_weight_shape(format, n, k);
  CudaPackedWeights packed;
  packed.format = format;
  packed.padded_n = shape.padded_n;
  packed.k_tiles = shape.k_tiles;
  packed.data.resize(shape.data_bytes);
  SyntheticRandom random(2);
  for (std::size_t i = 0; i + 8 <= packed.data.size(); i += 8) {  // whole tiles: no bytes left over
    const std::uint64_t bits = random.next();
    std::memcpy(packed.data.data() + i, &bits, 8);
  }
  packed.scales.assign(shape.scale_count, 0.004F);
  packed.integer_scales.assign(shape.scale_count, 4);
  return packed;
}

GpuGemm ours(const std::string& name, std::int64_t m, std::int64_t n, std::int64_t k,
             CudaGemmPath path) {
  const GemmFormat format = parse_gemm_format(name);
  const GemmDescriptor descriptor{m, n, k, format, OutputType::bf16};
  const CudaPackedWeights packed = random_weights(format, n, k);
  const CudaGemmConfig config =
      choose_cuda_gemm_config(descriptor, current_cuda_device(), packed.least_splits, path);
  const std::int64_t stride = cuda_activation_stride(format, k);
  struct Data {
    std::vector<DeviceWeights> weights;
    DeviceBuffer<std::uint8_t> activations, out;
    DeviceBuffer<float> scales;
    DeviceBuffer<std::int32_t> workspace;
  };
  const auto data = std::make_shared<Data>();
  const std::size_t copies = copies_for(packed.data.size());
  for (std::size_t copy = 0; copy < copies; ++copy) {
    data->weights.emplace_back(packed);
  }
  data->activations = to_device(random_bytes(static_cast<std::size_t>(m * stride),
                                             format.activations == ActivationFormat::bf16));
  data->out = DeviceBuffer<std::uint8_t>(static_cast<std::size_t>(m * n) * 2);
  data->scales = to_device(std::vector<float>(static_cast<std::size_t>(m), 0.01F));
  data->workspace = DeviceBuffer<std::int32_t>(static_cast<std::size_t>(m * n * config.k_splits));
  return {name + " [" + to_string(config) + "]", copies,
          [=](std::size_t copy, cudaStream_t stream) {
            CudaGemmArgs args;
            data->weights[copy].describe(args);
            args.activations = data->activations.data();
            args.activation_stride = stride;
            args.token_scales = data->scales.data();
            args.out = data->out.data();
            args.workspace = data->workspace.data();
            args.bf16_out = true;
            args.m = m;
            args.n = n;
            args.tiles_per_split = config.tiles_per_split;
            args.k_splits = config.k_splits;
            launch_cuda_gemm(config, args, stream);
          }};
}

// One launch per copy is one graph; the time is that of one launch.
Contestant contestant_of(const GpuGemm& gemm, cudaStream_t stream) {
  const auto graph = std::make_shared<CudaGraph>(stream, [&] {
    for (std::size_t copy = 0; copy < gemm.copies; ++copy) {
      gemm.launch(copy, stream);
    }
  });
  const auto launches = static_cast<double>(gemm.copies);
  const int replays = 1 + static_cast<int>(kLeastSeconds / graph->time(3));
  return {gemm.name, [=](std::size_t) { return graph->time(replays) / launches; }};
}

void compare(std::int64_t m, std::int64_t n, std::int64_t k) {
  std::vector<GpuGemm> gemms;
  const auto try_library = [&](CublasLtKind kind, const char* name) {
    try {
      gemms.push_back(library(kind, name, m, n, k));
    } catch (const KernelError& error) {
      fmt::print("{:>6} {:<16} absent: {}\n", m, name, error.what());
    }
  };
  try_library(CublasLtKind::bf16, "cublaslt bf16");
  try_library(CublasLtKind::fp8_e4m3, "cublaslt fp8");
  try_library(CublasLtKind::int8, "cublaslt int8");
  for (const char* name : {"w8a8", "w4a8", "w4a8_g128_float", "w4a8_g128_integer", "w2a16_g128",
                           "w3a16_g128", "w4a16_g128", "w5a16_g128", "w6a16_g128", "w8a16_g128"}) {
    if (current_cuda_device().hopper &&
        hopper_has_kernel(cuda_gemm_kind(parse_gemm_format(name)))) {
      gemms.push_back(ours(name, m, n, k, CudaGemmPath::wgmma));
    }
    gemms.push_back(ours(name, m, n, k, CudaGemmPath::mma_sync));
  }
  const CudaStream stream;
  std::vector<Contestant> contestants;
  contestants.reserve(gemms.size());
  for (const GpuGemm& gemm : gemms) {
    contestants.push_back(contestant_of(gemm, stream.get()));
  }
  time_rounds(contestants, {.fewest = kPasses, .shuffled = true});
  const double yardstick = median(contestants.front().seconds);
  const double work = 2.0 * static_cast<double>(m * n * k);
  for (const Contestant& contestant : contestants) {
    const double time = median(contestant.seconds);
    fmt::print("{:>6} {:>9.2f} us {:>9.2f} us best {:>8.1f} TOP/s {:>6.2f}x  {}\n", m, time * 1e6,
               least(contestant.seconds) * 1e6, work / time * 1e-12, yardstick / time,
               contestant.name);
  }
  std::fflush(stdout);
}

int run(int argc, char** argv) {
  if (cuda_device_count() == 0) {
    fmt::print(stderr, "gemm_cuda_bench: no CUDA device on this machine\n");
    return 2;
  }
  const std::int64_t n = argc > 2 ? std::stoll(argv[1]) : 12288;
  const std::int64_t k = argc > 2 ? std::stoll(argv[2]) : 12288;
  fmt::print("{}, n={} k={}, weights cold, median of {} passes; speed over {}\n",
             cuda_device_line(), n, k, kPasses, "the first row");
  if (const std::string lack = current_cuda_device().hopper_lack; !lack.empty()) {
    fmt::print("no wgmma rows: {}\n", lack);
  }
  for (const std::int64_t m : {1, 16, 64, 256, 1024, 4096}) {
    compare(m, n, k);
  }
  return 0;
}

}  // namespace
}  // namespace foretoken::kernels

int main(int argc, char** argv) {
  try {
    return foretoken::kernels::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
