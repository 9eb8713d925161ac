#include "kernels/gemm/cuda_gemm_body.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "emulated_gpu.h"
#include "emulated_hopper.h"
#include "kernels/base/error.h"
#include "kernels/gemm/cuda_dispatch.h"
#include "kernels/gemm/hopper_gemm_body.h"
#include "kernels/gemm/page_buffer.h"
#include "kernels/gemm/reference.h"
#include "kernels/gemm/synthetic.h"

namespace foretoken::kernels {
namespace {

struct Shape {
  std::int64_t m, n, k;
};

using Readable = std::vector<EmulatedBlock::Range>;

// Of a block in the grid.
struct Place {
  std::int64_t x, y, z;
  void put(EmulatedBlock& block) const {
    block.x = x;
    block.y = y;
    block.z = z;
  }
};

template <CudaGemmKind Kind, int TileTokens>
void run_block(const CudaGemmArgs& args, const Place& place, const Readable& readable) {
  EmulatedBlock block(cuda_threads(TileTokens), cuda_shared_bytes(Kind, TileTokens), readable);
  place.put(block);
  block.run(
      [&](EmulatedLane& lane) { CudaGemmBlock<Kind, TileTokens, EmulatedLane>(lane, args).run(); });
}

template <CudaGemmKind Kind, int TileTokens>
void run_cluster(const CudaGemmArgs& args, const Place& place, int size, const Readable& readable) {
  std::vector<std::unique_ptr<EmulatedBlock>> blocks;
  std::vector<std::unique_ptr<EmulatedHopper>> devices;
  std::vector<EmulatedBlock*> cluster;
  std::vector<EmulatedHopper*> ranks;
  for (int rank = 0; rank < size; ++rank) {
    blocks.push_back(std::make_unique<EmulatedBlock>(
        kHopperThreads, hopper_shared_bytes(Kind, TileTokens), readable));
    Place{place.x, place.y + rank, place.z}.put(*blocks.back());
    devices.push_back(std::make_unique<EmulatedHopper>(
        *blocks.back(),
        EmulatedTensorMap{args.activations, args.activation_stride, args.m, TileTokens / size},
        static_cast<std::uint64_t>(place.x + 100 * (place.y + rank) + 10000 * place.z)));
    cluster.push_back(blocks.back().get());
    ranks.push_back(devices.back().get());
  }
  EmulatedHopper::join(ranks);
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    cluster[rank]->start([&args, device = ranks[rank]](EmulatedLane& thread) {
      EmulatedHopperLane lane(thread, *device);
      HopperGemmBlock<Kind, TileTokens, EmulatedHopperLane>(lane, args).run();
    });
  }
  EmulatedBlock::run_together(cluster);
}

template <CudaGemmKind Kind, int TileTokens, bool Wgmma>
void run_blocks(const CudaGemmConfig& config, const CudaGemmArgs& args, const Readable& readable) {
  const int cluster = Wgmma ? config.cluster : 1;
  for (std::int64_t z = 0; z < config.k_splits; ++z) {
    for (std::int64_t y = 0; y < args.padded_n / kCudaTileChannels; y += cluster) {
      for (std::int64_t x = 0; x * TileTokens < args.m; ++x) {
        if constexpr (Wgmma) {
          run_cluster<Kind, TileTokens>(args, {x, y, z}, cluster, readable);
        } else {
          run_block<Kind, TileTokens>(args, {x, y, z}, readable);
        }
      }
    }
  }
  for (std::int64_t at = 0; config.k_splits > 1 && at < args.m * args.n; ++at) {
    finish_split_output<Kind>(args, at);
  }
}

// Every kernel of a format.
struct Variant {
  bool wgmma;
  int tile_tokens;
  int cluster = 1;
};
std::vector<Variant> variants_of(const GemmFormat& format) {
  const CudaGemmKind kind = cuda_gemm_kind(format);
  std::vector<Variant> variants = {{false, 16}, {false, 64}};
  if (cuda_largest_tile(kind) > 64) {
    variants.push_back({false, cuda_largest_tile(kind)});
  }
  for (const int tile : {16, 64, 128, 256}) {
    if (hopper_has_kernel(kind) && tile <= hopper_largest_tile(kind)) {
      variants.push_back({true, tile});
      variants.push_back({true, tile, 2});
    }
  }
  return variants;
}

void run_config(const CudaGemmConfig& config, const CudaGemmArgs& args, const Readable& readable) {
  with_kind(config.kind, [&](auto kind) {
    constexpr CudaGemmKind kKind = decltype(kind)::value;
    if (!config.wgmma) {
      with_tile<cuda_largest_tile(kKind)>(config.tile_tokens, [&](auto tile) {
        run_blocks<kKind, decltype(tile)::value, false>(config, args, readable);
      });
    } else if constexpr (hopper_has_kernel(kKind)) {
      with_tile<hopper_largest_tile(kKind)>(config.tile_tokens, [&](auto tile) {
        run_blocks<kKind, decltype(tile)::value, true>(config, args, readable);
      });
    }
  });
}

template <typename T>
PageBuffer aligned(const std::vector<T>& values) {
  PageBuffer buffer(values.size() * sizeof(T));
  std::memcpy(buffer.as(), values.data(), buffer.size());
  return buffer;
}

// Runs the code of one kernel, whole and split along k. `values` are rows of
// `bytes_per_value`.
std::vector<float> emulate(const GemmDescriptor& d, const QuantizedWeights& w, const void* values,
                           int bytes_per_value, const float* token_scales, Variant variant,
                           std::int64_t tiles_per_split) {
  const CudaPackedWeights packed = pack_cuda_weights(w, d.format);
  CudaGemmConfig config = choose_cuda_gemm_config(d, CudaDevice{}, packed.least_splits);
  config.wgmma = variant.wgmma;
  config.tile_tokens = variant.tile_tokens;
  config.cluster = packed.padded_n / kCudaTileChannels % 2 == 0 ? variant.cluster : 1;
  config.tiles_per_split = std::min(tiles_per_split, packed.k_tiles);
  config.k_splits =
      static_cast<int>((packed.k_tiles + config.tiles_per_split - 1) / config.tiles_per_split);
  const std::int64_t stride = cuda_activation_stride(d.format, d.k);
  PageBuffer activations(static_cast<std::size_t>(d.m * stride));
  for (std::int64_t row = 0; row < d.m; ++row) {
    std::memcpy(activations.as() + row * stride,
                static_cast<const std::uint8_t*>(values) + row * d.k * bytes_per_value,
                static_cast<std::size_t>(d.k * bytes_per_value));
  }
  const PageBuffer weights = aligned(packed.data), scales = aligned(packed.scales),
                   integer_scales = aligned(packed.integer_scales);
  // Poisoned: every output must be written, and nothing behind them.
  const auto outputs = static_cast<std::size_t>(d.m * d.n);
  const bool bf16 = d.output == OutputType::bf16;
  std::vector<std::uint8_t> out(outputs * (bf16 ? 2 : 4) + 256, 0xff);
  std::vector<std::int32_t> workspace(outputs * static_cast<std::size_t>(config.k_splits),
                                      0x7fffffff);
  CudaGemmArgs args;
  args.activations = activations.as();
  args.activation_stride = stride;
  args.weights = weights.as();
  args.scales = scales.as<float>();
  args.integer_scales = integer_scales.as<std::int32_t>();
  args.token_scales = token_scales;
  args.inverse_alpha = packed.inverse_alpha;
  args.out = out.data();
  args.bf16_out = bf16;
  args.workspace = workspace.data();
  args.m = d.m;
  args.n = d.n;
  args.padded_n = packed.padded_n;
  args.k_tiles = packed.k_tiles;
  args.tiles_per_split = config.tiles_per_split;
  args.k_splits = config.k_splits;
  run_config(config, args,
             {{activations.as(), activations.size()},
              {weights.as(), weights.size()},
              {scales.as(), scales.size()},
              {integer_scales.as(), integer_scales.size()}});
  for (std::size_t i = out.size() - 256; i < out.size(); ++i) {
    EXPECT_EQ(out[i], 0xff) << "written behind the outputs";
  }
  std::vector<float> results(outputs);
  for (std::size_t i = 0; i < outputs; ++i) {
    if (bf16) {
      Bf16 value;
      std::memcpy(&value, out.data() + 2 * i, 2);
      results[i] = to_float(value);
    } else {
      std::memcpy(&results[i], out.data() + 4 * i, 4);
    }
  }
  return results;
}

// Operands of an integer format, and what must come out.
struct IntegerProblem {
  IntegerProblem(const GemmFormat& f, const Shape& s, std::uint64_t seed,
                 OutputType output = OutputType::fp32)
      : descriptor{s.m, s.n, s.k, f, output},
        weights(quantize_weights(synthetic_matrix(SyntheticKind::normal, s.n, s.k, seed), s.n, s.k,
                                 {f.weight_bits, f.group, false})),
        activations(quantize_activations(
            synthetic_matrix(SyntheticKind::outlier_channels, s.m, s.k, seed + 50), s.m, s.k)),
        want(f.scale == ScaleKind::group_integer
                 ? reference_group_integer(activations, weights, choose_integer_scales(weights))
             : f.scale == ScaleKind::group_float ? reference_group_float(activations, weights)
                                                 : reference_per_channel(activations, weights)) {
    for (float& value : want) {
      value = output == OutputType::bf16 ? to_float(to_bf16(value)) : value;
    }
  }

  // To the bit.
  void check(Variant variant, std::int64_t tiles_per_split) const {
    const std::vector<float> got = emulate(descriptor, weights, activations.values.data(), 1,
                                           activations.scales.data(), variant, tiles_per_split);
    for (std::size_t i = 0; i < want.size(); ++i) {
      ASSERT_EQ(std::memcmp(&got[i], &want[i], 4), 0)
          << to_string(descriptor) << (variant.wgmma ? " wgmma" : " mma_sync") << " tile "
          << variant.tile_tokens << " cluster " << variant.cluster << " splits of "
          << tiles_per_split << " at " << i << ": " << got[i] << " instead of " << want[i];
    }
  }

  void check_whole_and_split(Variant variant) const {
    check(variant, 1000);
    // Float scales add across splits in another order than the reference.
    if (descriptor.format.scale != ScaleKind::group_float) {
      check(variant, 2);
    }
  }

  GemmDescriptor descriptor;
  QuantizedWeights weights;
  QuantizedActivations activations;
  std::vector<float> want;
};

class EmulatedIntegerGemm : public testing::TestWithParam<const char*> {};

TEST_P(EmulatedIntegerGemm, Equals_the_64_bit_reference_to_the_bit) {
  const GemmFormat format = parse_gemm_format(GetParam());
  std::uint64_t seed = 100;
  for (const Variant variant : variants_of(format)) {
    for (const Shape& s : {Shape{1, 5, 40}, Shape{19, 130, 300}, Shape{70, 256, 1100}}) {
      IntegerProblem(format, s, ++seed).check_whole_and_split(variant);
    }
  }
}

// n = 136: 16 bytes a thread; 132: as many of partial sums and fp32; 131: value by value.
TEST_P(EmulatedIntegerGemm, Bf16_outputs_are_the_rounded_reference) {
  const GemmFormat format = parse_gemm_format(GetParam());
  std::uint64_t seed = 9000;
  for (const Variant variant : variants_of(format)) {
    for (const std::int64_t n : {136, 132, 131}) {
      IntegerProblem(format, {21, n, 260}, ++seed, OutputType::bf16).check_whole_and_split(variant);
    }
  }
}

TEST_P(EmulatedIntegerGemm, Random_odd_shapes_do_too) {
  const GemmFormat format = parse_gemm_format(GetParam());
  std::uint64_t seed = 7000;
  for (const Variant variant : variants_of(format)) {
    SyntheticRandom random(++seed);
    const Shape s{random.between(1, 150) * 2 - 1, random.between(1, 100) * 2 - 1,
                  random.between(1, 700) * 2 - 1};
    const bool split = format.scale != ScaleKind::group_float;
    IntegerProblem(format, s, seed).check(variant, split ? random.between(1, 6) : 1000);
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, EmulatedIntegerGemm,
                         testing::Values("w8a8", "w4a8", "w4a8_g128_float", "w4a8_g128_integer"),
                         [](const auto& test) { return std::string(test.param); });

TEST(EmulatedGemm, Extreme_groups_stay_exact_in_the_magic_number_conversion) {
  // 128 x 127 x 7 x 16 = 1,820,672 < 2^22, the largest integer the conversion holds.
  const GemmFormat format = parse_gemm_format("w4a8_g128_float");
  const std::int64_t m = 3, n = 2, k = 256;
  for (const int sign : {1, -1}) {
    const QuantizedWeights w{n,
                             k,
                             4,
                             128,
                             std::vector<std::int8_t>(n * k, static_cast<std::int8_t>(7 * sign)),
                             {1.0F, 3.0F, 0.25F, 0.3F}};
    const QuantizedActivations a{m, k, std::vector<std::int8_t>(m * k, 127), {1.0F, 0.5F, 0.1F}};
    for (const Variant variant : variants_of(format)) {
      EXPECT_EQ(emulate({m, n, k, format, OutputType::fp32}, w, a.values.data(), 1, a.scales.data(),
                        variant, 100),
                reference_group_float(a, w));
    }
  }
}

class EmulatedWeightOnlyGemm : public testing::TestWithParam<int> {};

TEST_P(EmulatedWeightOnlyGemm, Agrees_with_fp64_within_fp32_accumulation) {
  const int bits = GetParam();
  const GemmFormat format = parse_gemm_format("w" + std::to_string(bits) + "a16_g128");
  std::uint64_t seed = 300;
  for (const Variant variant : variants_of(format)) {
    // Of the last shape, 21 tiles of k, every ring of stages goes round more than twice.
    for (const Shape& s : {Shape{1, 5, 40}, Shape{19, 130, 300}, Shape{3, 17, 1299}}) {
      const auto w = quantize_weights(synthetic_matrix(SyntheticKind::normal, s.n, s.k, ++seed),
                                      s.n, s.k, {bits, 128, false});
      std::vector<Bf16> a;
      std::vector<float> wide;
      for (const float x : synthetic_matrix(SyntheticKind::normal, s.m, s.k, seed + 50)) {
        a.push_back(to_bf16(x));
        wide.push_back(to_float(a.back()));
      }
      const auto want = reference_fp64_gemm(wide, dequantize(w), s.m, s.n, s.k);
      for (const std::int64_t tiles_per_split : {1000, 2}) {
        const std::vector<float> got = emulate({s.m, s.n, s.k, format, OutputType::fp32}, w,
                                               a.data(), 2, nullptr, variant, tiles_per_split);
        for (std::size_t i = 0; i < want.size(); ++i) {
          // Sums of up to 1300 products of size 1: fp32 errors of 1300 x 2^-24 and less.
          ASSERT_NEAR(got[i], want[i], 2e-5 * std::sqrt(static_cast<double>(s.k))) << i;
        }
      }
    }
  }
}

// A token of one 1 and zeros reads a column of weights: every value of the range, bit for bit.
TEST_P(EmulatedWeightOnlyGemm, Restores_every_weight_exactly) {
  const int bits = GetParam();
  const GemmFormat format = parse_gemm_format("w" + std::to_string(bits) + "a16_g128");
  const int limit = weight_limit(bits);
  const std::int64_t m = 64, n = 40, k = 64;
  QuantizedWeights w{n, k, bits, 128, {}, std::vector<float>(n, 0.5F)};
  for (std::int64_t i = 0; i < n * k; ++i) {
    w.values.push_back(static_cast<std::int8_t>(i % (2 * limit + 1) - limit));
  }
  std::vector<Bf16> ones(static_cast<std::size_t>(m * k));
  for (std::int64_t i = 0; i < m; ++i) {
    ones[static_cast<std::size_t>(i * k + i)] = to_bf16(1.0F);
  }
  for (const Variant variant : variants_of(format)) {
    const std::vector<float> got =
        emulate({m, n, k, format, OutputType::fp32}, w, ones.data(), 2, nullptr, variant, 100);
    for (std::int64_t row = 0; row < m; ++row) {
      for (std::int64_t channel = 0; channel < n; ++channel) {
        ASSERT_EQ(got[static_cast<std::size_t>(row * n + channel)],
                  0.5F * w.values[static_cast<std::size_t>(channel * k + row)])
            << "k " << row << " channel " << channel;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, EmulatedWeightOnlyGemm, testing::Values(2, 3, 4, 5, 6, 8),
                         testing::PrintToStringParamName());

TEST(CudaGemmConfig, Is_chosen_on_the_host_from_shape_and_device) {
  const CudaDevice h100{132, 90};
  const auto choose = [&](std::int64_t m, std::int64_t n, std::int64_t k, const char* format) {
    return to_string(
        choose_cuda_gemm_config({m, n, k, parse_gemm_format(format), OutputType::bf16}, h100));
  };
  // n = 4096 gives 32 tiles of channels; 264 slots / 32 = 8 splits, and 32 tiles of k allow 32 / 4
  // = 8.
  EXPECT_EQ(choose(1, 4096, 4096, "w4a8"),
            "mma_sync w4a8 tile=128x16 stages=4 shared=40960 k_splits=8 tiles_per_split=4");
  // 32 x 64 blocks of 128 x 128 fill the device many times: no split.
  EXPECT_EQ(choose(8192, 4096, 4096, "w8a8"),
            "mma_sync w8a8 tile=128x128 stages=3 shared=98304 k_splits=1 tiles_per_split=32");
  // w4a16 has k tiles of 64, two to a group: a split never cuts a group.
  EXPECT_EQ(choose(64, 1024, 4096, "w4a16_g128"),
            "mma_sync w4a16 tile=128x64 stages=4 shared=49152 k_splits=16 tiles_per_split=4");
  // Odd widths stop at tiles of 64 tokens: 8 x 32 blocks for 264 slots.
  EXPECT_EQ(choose(512, 4096, 4096, "w5a16_g128"),
            "mma_sync w5a16 tile=128x64 stages=4 shared=53248 k_splits=1 tiles_per_split=64");
}

TEST(CudaGemmConfig, Hopper_takes_wgmma_unless_told_otherwise) {
  const CudaDevice h100{132, 90, true};
  const auto choose = [&](std::int64_t m, std::int64_t n, std::int64_t k, const char* format,
                          CudaGemmPath path = CudaGemmPath::automatic) {
    return to_string(choose_cuda_gemm_config({m, n, k, parse_gemm_format(format), OutputType::bf16},
                                             h100, 1, path));
  };
  // A stage is 8 KiB of weights and 2 KiB of tokens: eight of them. 132 / 32 = 4 splits.
  EXPECT_EQ(choose(1, 4096, 4096, "w4a8"),
            "wgmma w4a8 tile=128x16 cluster=1 stages=8 shared=86144 k_splits=4 tiles_per_split=8");
  // 8 waves that bring 16 + 32 KiB a k tile, against 16 of 16 + 16: 384 against 512.
  EXPECT_EQ(
      choose(8192, 4096, 4096, "w8a8"),
      "wgmma w8a8 tile=128x256 cluster=2 stages=4 shared=198720 k_splits=1 tiles_per_split=32");
  // Group sums leave room for 128 tokens.
  EXPECT_EQ(choose(8192, 4096, 4096, "w4a8_g128_integer"),
            "wgmma w4a8_group_integer tile=128x128 cluster=2 stages=8 shared=200832 k_splits=1 "
            "tiles_per_split=32");
  // 32 x 4 blocks of 64 tokens are one wave, as are 32 x 2 of 128, which take longer.
  EXPECT_EQ(
      choose(256, 4096, 4096, "w4a16_g128"),
      "wgmma w4a16 tile=128x64 cluster=1 stages=8 shared=102528 k_splits=1 tiles_per_split=64");
  EXPECT_EQ(choose(1, 4096, 4096, "w4a8", CudaGemmPath::mma_sync),
            "mma_sync w4a8 tile=128x16 stages=4 shared=40960 k_splits=8 tiles_per_split=4");
  // The other widths have no wgmma kernel.
  EXPECT_EQ(choose(512, 4096, 4096, "w5a16_g128").substr(0, 8), "mma_sync");
  EXPECT_THROW(choose(512, 4096, 4096, "w5a16_g128", CudaGemmPath::wgmma), KernelError);
}

TEST(CudaGemmConfig, Without_tensor_maps_Hopper_falls_back_and_says_why) {
  const CudaDevice old_driver{132, 90, false, "the driver has no cuTensorMapEncodeTiled"};
  const GemmDescriptor gemm{64, 4096, 4096, parse_gemm_format("w4a8"), OutputType::bf16};
  EXPECT_FALSE(choose_cuda_gemm_config(gemm, old_driver).wgmma);
  try {
    choose_cuda_gemm_config(gemm, old_driver, 1, CudaGemmPath::wgmma);
    FAIL() << "a kernel that cannot run";
  } catch (const KernelError& error) {
    EXPECT_STREQ(error.what(),
                 "no wgmma kernel for w4a8: the driver has no cuTensorMapEncodeTiled");
  }
}

TEST(CudaGemmConfig, Wgmma_splits_k_for_few_outputs_and_never_inside_a_group) {
  const CudaDevice h100{132, 90, true};
  for (const char* format : {"w8a8", "w4a8", "w4a8_g128_integer", "w4a16_g128"}) {
    for (const std::int64_t m : {1, 17, 100, 1000}) {
      const GemmDescriptor gemm{m, 512, 8192, parse_gemm_format(format), OutputType::bf16};
      const CudaGemmConfig config = choose_cuda_gemm_config(gemm, h100);
      EXPECT_GT(config.k_splits, 1) << to_string(config);
      EXPECT_EQ(config.tiles_per_split * cuda_tile_k(config.kind) % 128, 0) << to_string(config);
      EXPECT_GE(config.k_splits * config.tiles_per_split * cuda_tile_k(config.kind), gemm.k);
    }
  }
}

TEST(CudaGemmConfig, Splits_k_where_32_bits_could_overflow) {
  // 140,000 values: 1,094 tiles of 128; 2^31 / (128 x 127 x 127) = 1,040.
  const CudaGemmConfig config = choose_cuda_gemm_config(
      {8192, 8192, 140000, parse_gemm_format("w8a8"), OutputType::bf16}, CudaDevice{132, 90});
  EXPECT_EQ(config.tiles_per_split, 1040);
  EXPECT_EQ(config.k_splits, 2);
}

TEST(CudaGemmConfig, Shared_memory_fits_the_smallest_supported_device) {
  // sm_89 offers 99 KiB to a block.
  for (const CudaGemmKind kind :
       {CudaGemmKind::w8a8, CudaGemmKind::w4a8, CudaGemmKind::w4a8_group_float,
        CudaGemmKind::w4a8_group_integer, CudaGemmKind::w4a16, CudaGemmKind::w8a16}) {
    for (const int tile : {16, 64, cuda_largest_tile(kind)}) {
      EXPECT_LE(cuda_shared_bytes(kind, tile), 99 * 1024);
    }
    // sm_90 has 228 KiB, of which every block takes 1 KiB for itself.
    for (int tile = 16; hopper_has_kernel(kind) && tile <= hopper_largest_tile(kind); tile *= 2) {
      EXPECT_LE(hopper_blocks_per_multiprocessor(tile) * (hopper_shared_bytes(kind, tile) + 1024),
                228 * 1024);
    }
  }
}

TEST(CudaGemmConfig, Formats_of_the_libraries_are_refused_with_the_remedy) {
  EXPECT_THROW(cuda_gemm_kind(parse_gemm_format("bf16")), KernelError);
  EXPECT_THROW(cuda_gemm_kind(parse_gemm_format("fp8_tensor")), KernelError);
  EXPECT_THROW(cuda_gemm_kind(parse_gemm_format("w5a16_g64")), KernelError);
}

}  // namespace
}  // namespace foretoken::kernels
