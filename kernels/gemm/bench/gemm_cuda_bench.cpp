// gemm_cuda_bench [N K]: our CUDA GEMMs beside cuBLASLt bf16, fp8 and int8, in one process.
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
#include <numeric>

#include "kernels/gemm/bench/operands.h"
#include "kernels/gemm/cublaslt_gemm.h"
#include "kernels/gemm/device_weights.h"
#include "kernels/gemm/synthetic.h"

namespace foretoken::kernels {
namespace {

constexpr int kPasses = 9;
constexpr double kLeastSeconds = 2e-3;  // of one timed replay series

struct Contestant {
  std::string name;
  std::size_t copies = 1;  // of the weights, to rotate through
  std::function<void(std::size_t copy, cudaStream_t stream)> launch;
  std::vector<double> seconds;
};

class Stream {
 public:
  Stream() { FT_CUDA_CHECK(cudaStreamCreate(&stream_)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { FT_CUDA_CHECK(cudaEventCreate(&event_)); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// One launch per copy, captured once and replayed.
class Rotation {
 public:
  Rotation(const Contestant& contestant, cudaStream_t stream) : copies_(contestant.copies) {
    contestant.launch(0, stream);  // attributes and lazy loading are not captured
    FT_CUDA_CHECK(cudaStreamSynchronize(stream));
    FT_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    for (std::size_t copy = 0; copy < copies_; ++copy) {
      contestant.launch(copy, stream);
    }
    cudaGraph_t graph = nullptr;
    FT_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
    FT_CUDA_CHECK(cudaGraphInstantiate(&executable_, graph, 0));
    FT_CUDA_CHECK(cudaGraphDestroy(graph));
  }
  ~Rotation() { cudaGraphExecDestroy(executable_); }
  Rotation(const Rotation&) = delete;
  Rotation& operator=(const Rotation&) = delete;

  // Seconds of one launch.
  double time(int replays, cudaStream_t stream) const {
    const Event start, stop;
    FT_CUDA_CHECK(cudaEventRecord(start.get(), stream));
    for (int i = 0; i < replays; ++i) {
      FT_CUDA_CHECK(cudaGraphLaunch(executable_, stream));
    }
    FT_CUDA_CHECK(cudaEventRecord(stop.get(), stream));
    FT_CUDA_CHECK(cudaEventSynchronize(stop.get()));
    float milliseconds = 0;
    FT_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start.get(), stop.get()));
    return 1e-3 * milliseconds / replays / static_cast<double>(copies_);
  }

 private:
  std::size_t copies_;
  cudaGraphExec_t executable_ = nullptr;
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

Contestant library(CublasLtKind kind, const char* name, std::int64_t m, std::int64_t n,
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
  return {name,
          copies,
          [=](std::size_t copy, cudaStream_t stream) {
            data->gemm->run(data->activations.data(), data->weights.data() + copy * weight_bytes,
                            data->out.data(), data->one.data(), data->one.data(), stream);
          },
          {}};
}

Contestant ours(const std::string& name, std::int64_t m, std::int64_t n, std::int64_t k) {
  const GemmFormat format = parse_gemm_format(name);
  const GemmDescriptor descriptor{m, n, k, format, OutputType::bf16};
  SyntheticRandom random(2);
  QuantizedWeights weights{n, k, format.weight_bits, format.group, {}, {}};
  const int limit = weight_limit(format.weight_bits);
  weights.values.resize(static_cast<std::size_t>(n * k));
  for (std::int8_t& value : weights.values) {
    value = static_cast<std::int8_t>(random.between(-limit, limit));
  }
  weights.scales.assign(static_cast<std::size_t>(n * weights.groups()), 0.004F);
  const CudaPackedWeights packed = pack_cuda_weights(weights, format);
  const CudaGemmConfig config =
      choose_cuda_gemm_config(descriptor, current_cuda_device(), packed.least_splits);
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
  return {name + " [" + to_string(config) + "]",
          copies,
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
          },
          {}};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void time_passes(std::vector<Contestant>& contestants) {
  const Stream stream;
  std::vector<std::unique_ptr<Rotation>> rotations;
  std::vector<int> replays;
  for (const Contestant& contestant : contestants) {
    rotations.push_back(std::make_unique<Rotation>(contestant, stream.get()));
    const double once = rotations.back()->time(3, stream.get());
    replays.push_back(
        1 + static_cast<int>(kLeastSeconds / once / static_cast<double>(contestant.copies)));
  }
  SyntheticRandom random(3);
  std::vector<std::size_t> order(contestants.size());
  std::iota(order.begin(), order.end(), 0);
  for (int pass = 0; pass < kPasses; ++pass) {
    for (std::size_t i = order.size() - 1; i > 0; --i) {
      std::swap(order[i],
                order[static_cast<std::size_t>(random.between(0, static_cast<std::int64_t>(i)))]);
    }
    for (const std::size_t i : order) {
      contestants[i].seconds.push_back(rotations[i]->time(replays[i], stream.get()));
    }
  }
}

void compare(std::int64_t m, std::int64_t n, std::int64_t k) {
  std::vector<Contestant> contestants;
  const auto try_library = [&](CublasLtKind kind, const char* name) {
    try {
      contestants.push_back(library(kind, name, m, n, k));
    } catch (const KernelError& error) {
      fmt::print("{:>6} {:<16} absent: {}\n", m, name, error.what());
    }
  };
  try_library(CublasLtKind::bf16, "cublaslt bf16");
  try_library(CublasLtKind::fp8_e4m3, "cublaslt fp8");
  try_library(CublasLtKind::int8, "cublaslt int8");
  for (const char* name : {"w8a8", "w4a8", "w4a8_g128_float", "w4a8_g128_integer", "w4a16_g128"}) {
    contestants.push_back(ours(name, m, n, k));
  }
  time_passes(contestants);
  const double yardstick = median(contestants.front().seconds);
  const double work = 2.0 * static_cast<double>(m * n * k);
  for (const Contestant& contestant : contestants) {
    const double time = median(contestant.seconds);
    fmt::print("{:>6} {:>9.2f} us {:>9.2f} us best {:>8.1f} TOP/s {:>6.2f}x  {}\n", m, time * 1e6,
               *std::min_element(contestant.seconds.begin(), contestant.seconds.end()) * 1e6,
               work / time * 1e-12, yardstick / time, contestant.name);
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
  cudaDeviceProp properties{};
  FT_CUDA_CHECK(cudaGetDeviceProperties(&properties, 0));
  int driver = 0;
  FT_CUDA_CHECK(cudaDriverGetVersion(&driver));
  fmt::print("{}, driver {}, n={} k={}, weights cold, median of {} passes; speed over {}\n",
             properties.name, driver, n, k, kPasses, "the first row");
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
