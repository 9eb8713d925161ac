#include "kernels/gemm/cpu_gemm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/base/error.h"

namespace foretoken::kernels {
namespace {

// Activations of one pass stay in this much of the second-level cache (2 MiB on the servers we tune
// for) beside a panel of expanded weights.
constexpr std::int64_t kPassBytes = std::int64_t{1} << 20;

bool runs_on(CpuIsa isa, const CpuFeatures& features) {
  switch (isa) {
    case CpuIsa::scalar:
      return true;
    case CpuIsa::avx2:
      return features.avx2;
    case CpuIsa::avx512_vnni:
      return features.avx512() && features.avx512vnni;
    case CpuIsa::amx:
      return features.avx512() && features.avx512vnni && features.amx_int8 && features.amx_bf16 &&
             request_amx_permission();
  }
  return false;
}

std::int64_t round_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

}  // namespace

std::vector<CpuIsa> available_isas(const CpuFeatures& features) {
  std::vector<CpuIsa> found;
  for (const CpuIsa isa : {CpuIsa::amx, CpuIsa::avx512_vnni, CpuIsa::avx2, CpuIsa::scalar}) {
    if (runs_on(isa, features)) {
      found.push_back(isa);
    }
  }
  return found;
}

const CpuKernels& kernels_of(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::scalar:
      return scalar_kernels();
    case CpuIsa::avx2:
      return avx2_kernels();
    case CpuIsa::avx512_vnni:
      return avx512_vnni_kernels();
    case CpuIsa::amx:
      return amx_kernels();
  }
  return scalar_kernels();
}

std::string to_string(CpuIsa isa) { return kernels_of(isa).name; }

std::string to_string(const CpuGemmConfig& config) {
  return fmt::format("cpu {} threads={} rows_per_pass={} expand_once={} fold_scales={}",
                     to_string(config.isa), config.threads, config.rows_per_pass,
                     config.expand_once, config.fold_scales);
}

CpuGemmConfig choose_cpu_gemm_config(const GemmDescriptor& descriptor, const CpuFeatures& features,
                                     int threads) {
  // A tile multiplication of few rows wastes the tile unit, while the vector unit already keeps up
  // with the memory that the weights come from.
  constexpr std::int64_t kVectorRows = 4;
  check_gemm_format(descriptor.format);
  CpuGemmConfig config;
  config.threads = threads;
  const std::vector<CpuIsa> isas = available_isas(features);
  config.isa = isas.front();
  if (config.isa == CpuIsa::amx && descriptor.format.integer_math() &&
      descriptor.m <= kVectorRows) {
    config.isa = CpuIsa::avx512_vnni;
  }
  const std::int64_t value_bytes = descriptor.format.integer_math() ? 1
                                   : config.isa == CpuIsa::amx      ? 2
                                                                    : 4;
  config.rows_per_pass =
      std::max<std::int64_t>(kPassBytes / (descriptor.k * value_bytes) / kBlockRows, 4) *
      kBlockRows;
  const bool whole_bytes = descriptor.format.weights == WeightFormat::bf16 ||
                           (descriptor.format.integer_math() && descriptor.format.weight_bits == 8);
  config.expand_once = !whole_bytes && (!descriptor.format.integer_math() ||
                                        descriptor.m >= kernels_of(config.isa).expand_from_rows);
  config.fold_scales = descriptor.m > kBlockRows;
  return config;
}

// Everything the workers share during one call.
struct CpuGemm::Job {
  const GemmDescriptor& descriptor;
  const CpuGemmConfig& config;
  const PackedWeights& weights;
  const GemmActivations& activations;
  const CpuKernels& kernels;
  void* out;
  ActivationLayout layout;
  std::int64_t row_bytes;  // of prepared activations, per token
  std::int64_t sum_tiles;  // k tiles under one entry of sums_
  std::int64_t sum_count;
  std::int64_t run_tiles;  // k tiles under one 32-bit sum
};

void CpuGemm::run(const GemmDescriptor& descriptor, const PackedWeights& weights,
                  const GemmActivations& activations, void* out) {
  run(descriptor, choose_cpu_gemm_config(descriptor, cpu_features(), pool_.threads()), weights,
      activations, out);
}

void CpuGemm::run(const GemmDescriptor& descriptor, const CpuGemmConfig& config,
                  const PackedWeights& weights, const GemmActivations& activations, void* out) {
  FT_KERNEL_CHECK(weights.format == descriptor.format && weights.n == descriptor.n &&
                  weights.k == descriptor.k && descriptor.m > 0);
  FT_KERNEL_CHECK(runs_on(config.isa, cpu_features()));
  const CpuKernels& kernels = kernels_of(config.isa);
  Job job{descriptor, config, weights, activations, kernels, out, {}, 0, 0, 0, weights.k_tiles};
  const GemmFormat& format = descriptor.format;
  job.layout = format.integer_math() ? kernels.int8_layout : kernels.float_layout;
  job.row_bytes = weights.k_tiles * 64 *
                  (!format.integer_math() && job.layout == ActivationLayout::rows ? 2 : 1);
  if (format.scale == ScaleKind::group_integer) {
    job.run_tiles = weights.groups_per_split * weights.group_tiles;
  } else if (format.integer_math() && !format.grouped()) {
    // |sum| <= 64 * 127 * magnitude per tile must stay below 2^31.
    const std::int64_t magnitude =
        format.weight_bits == 4 ? kernels.nibble_magnitude : kActivationLimit;
    const std::int64_t per_tile = std::int64_t{64} * kActivationLimit * magnitude;
    job.run_tiles = std::min(weights.k_tiles, std::numeric_limits<std::int32_t>::max() / per_tile);
  }
  job.sum_tiles = format.grouped() ? weights.group_tiles : job.run_tiles;
  job.sum_count = (weights.k_tiles + job.sum_tiles - 1) / job.sum_tiles;
  prepare_activations(job);

  const std::int64_t panels = weights.blocks / 2;
  pool_.run(panels, [&](int worker, std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = 0; row < descriptor.m; row += config.rows_per_pass) {
      const std::int64_t last = std::min(descriptor.m, row + config.rows_per_pass);
      for (std::int64_t panel = begin; panel < end; ++panel) {
        run_panel(job, scratch_[static_cast<std::size_t>(worker)], panel, row, last);
      }
    }
  });
}

void CpuGemm::prepare_activations(Job& job) {
  const std::int64_t rows = round_up(job.descriptor.m, 16);
  activations_.reserve(static_cast<std::size_t>(rows * job.row_bytes));
  sums_.reserve(static_cast<std::size_t>(rows * job.sum_count) * 4);
  for (Scratch& scratch : scratch_) {
    if (job.config.expand_once) {
      scratch.expanded.reserve(static_cast<std::size_t>(2 * job.weights.k_tiles * kTileBytes));
    }
    if (job.run_tiles < job.weights.k_tiles) {
      scratch.wide_sums.reserve(kBlockRows * kBlockChannels * 8);
    }
  }
  pool_.run((job.descriptor.m + 15) / 16, [&](int, std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin * 16;
    const std::int64_t last = std::min(job.descriptor.m, end * 16);
    if (job.descriptor.format.integer_math()) {
      prepare_int8_rows(job, first, last);
    } else {
      prepare_wide_rows(job, first, last);
    }
  });
}

void CpuGemm::prepare_int8_rows(const Job& job, std::int64_t first, std::int64_t last) {
  const std::int64_t k = job.descriptor.k, padded = job.weights.k_tiles * 64;
  const auto* const values = static_cast<const std::int8_t*>(job.activations.values);
  for (std::int64_t row = first; row < last; ++row) {
    const std::int8_t* const in = values + row * k;
    if (job.layout == ActivationLayout::tiles) {
      std::uint8_t* const out = activations_.as() + row / 16 * 16 * padded + row % 16 * 64;
      for (std::int64_t tile = 0; tile < job.weights.k_tiles; ++tile) {
        const std::int64_t count = std::clamp<std::int64_t>(k - tile * 64, 0, 64);
        std::memcpy(out + tile * kTileBytes, in + tile * 64, static_cast<std::size_t>(count));
        std::memset(out + tile * kTileBytes + count, 0, static_cast<std::size_t>(64 - count));
      }
      continue;
    }
    std::uint8_t* const out = activations_.as() + row * padded;
    std::memcpy(out, in, static_cast<std::size_t>(k));
    std::memset(out + k, 0, static_cast<std::size_t>(padded - k));
    std::int32_t* const sums = sums_.as<std::int32_t>() + row * job.sum_count;
    for (std::int64_t g = 0; g < job.sum_count; ++g) {
      const std::int64_t end = std::min(k, (g + 1) * job.sum_tiles * 64);
      std::int32_t sum = 0;
      for (std::int64_t i = g * job.sum_tiles * 64; i < end; ++i) {
        sum += in[i];
      }
      sums[g] = sum;
    }
  }
}

void CpuGemm::prepare_wide_rows(const Job& job, std::int64_t first, std::int64_t last) {
  if (job.descriptor.format.activations == ActivationFormat::fp8_e4m3) {
    prepare_wide_rows_of<Fp8E4m3>(job, first, last);
  } else {
    prepare_wide_rows_of<Bf16>(job, first, last);
  }
}

template <typename In>
void CpuGemm::prepare_wide_rows_of(const Job& job, std::int64_t first, std::int64_t last) {
  const std::int64_t k = job.descriptor.k, tiles = job.weights.k_tiles, padded = tiles * 32;
  const auto* const values = static_cast<const In*>(job.activations.values);
  for (std::int64_t row = first; row < last; ++row) {
    const In* const in = values + row * k;
    if (job.layout != ActivationLayout::tiles) {
      float* const out = activations_.as<float>() + row * padded;
      std::transform(in, in + k, out, [](In value) { return to_float(value); });
      std::fill(out + k, out + padded, 0.0F);
      continue;
    }
    Bf16* const out = activations_.as<Bf16>() + row / 16 * 16 * padded + row % 16 * 32;
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t count = std::clamp<std::int64_t>(k - tile * 32, 0, 32);
      Bf16* const part = out + tile * 512;
      if constexpr (std::is_same_v<In, Bf16>) {
        std::memcpy(part, in + tile * 32, static_cast<std::size_t>(count) * sizeof(Bf16));
      } else {
        std::transform(in + tile * 32, in + tile * 32 + count, part,
                       [](In value) { return to_bf16(to_float(value)); });
      }
      std::fill(part + count, part + 32, Bf16{});
    }
  }
}

void CpuGemm::run_panel(const Job& job, Scratch& scratch, std::int64_t panel,
                        std::int64_t first_row, std::int64_t last_row) {
  const PackedWeights& weights = job.weights;
  const GemmFormat& format = job.descriptor.format;
  const std::uint8_t* const packed = weights.data.as() + 2 * panel * weights.block_bytes();
  std::uint8_t* expanded = nullptr;
  if (job.config.expand_once) {
    expanded = scratch.expanded.as();
    for (int half = 0; half < 2; ++half) {
      ExpandTask task;
      task.packed = packed + half * weights.block_bytes();
      task.tiles = weights.k_tiles;
      task.bits = format.weight_bits;
      task.scales =
          weights.scales.as<float>() + (2 * panel + half) * weights.groups() * kTileChannels;
      if (!job.config.fold_scales) {
        task.scales = nullptr;
      }
      task.group_tiles = weights.group_tiles;
      task.out = expanded + half * weights.k_tiles * kTileBytes;
      if (format.integer_math()) {
        job.kernels.expand_nibbles(task, !format.grouped() && job.kernels.nibble_unit == 16);
      } else if (format.weights == WeightFormat::fp8_e4m3) {
        job.kernels.expand_fp8(task);
      } else {
        job.kernels.expand_integers(task);
      }
    }
  }
  for (std::int64_t row = first_row; row < last_row; row += kBlockRows) {
    const int rows = static_cast<int>(std::min<std::int64_t>(kBlockRows, last_row - row));
    if (format.integer_math()) {
      run_int8_block(job, scratch, expanded, panel, row, rows);
    } else {
      run_float_block(job, expanded, panel, row, rows);
    }
  }
}

namespace {

// Where tokens [row, ...) and k tiles [tile, ...) begin in prepared activations of `row_bytes` a
// token.
std::int64_t activation_offset(ActivationLayout layout, std::int64_t row, std::int64_t row_bytes,
                               std::int64_t tile, std::int64_t tile_row_bytes) {
  return layout == ActivationLayout::tiles ? row * row_bytes + tile * kTileBytes
                                           : row * row_bytes + tile * tile_row_bytes;
}

void finish_block(const GemmDescriptor& descriptor, const CpuKernels& kernels, FinishTask task,
                  std::int64_t panel, std::int64_t row, void* out) {
  const std::int64_t first = panel * kPanelChannels;
  task.channels = static_cast<int>(std::min<std::int64_t>(kPanelChannels, descriptor.n - first));
  task.bf16 = descriptor.output == OutputType::bf16;
  task.out = static_cast<std::uint8_t*>(out) + (row * descriptor.n + first) * (task.bf16 ? 2 : 4);
  task.out_stride = descriptor.n;
  kernels.finish(task);
}

}  // namespace

void CpuGemm::run_int8_block(const Job& job, Scratch& scratch, const std::uint8_t* expanded,
                             std::int64_t panel, std::int64_t row, int rows) {
  const PackedWeights& weights = job.weights;
  const GemmFormat& format = job.descriptor.format;
  const bool nibbles = format.weight_bits == 4 && expanded == nullptr;
  const std::int64_t tile_bytes = nibbles ? kTileBytes / 2 : kTileBytes;
  const std::int64_t scale_at = 2 * panel * weights.groups() * kTileChannels;
  alignas(64) std::int32_t c[kBlockRows * kBlockChannels];
  Int8Task task;
  task.a_stride = job.layout == ActivationLayout::tiles ? 16 * job.row_bytes : job.row_bytes;
  task.a_sum_stride = job.sum_count;
  task.rows = rows;
  task.b_stride = weights.k_tiles * tile_bytes;
  task.nibbles = nibbles;
  task.scale_stride = weights.groups() * kTileChannels;
  task.c = c;
  const bool integer = format.scale == ScaleKind::group_integer;
  task.accumulate = !format.grouped() ? Accumulate::plain
                    : integer         ? Accumulate::integer_groups
                                      : Accumulate::float_groups;
  const std::uint8_t* const b =
      expanded != nullptr ? expanded : weights.data.as() + 2 * panel * weights.block_bytes();
  const bool split = job.run_tiles < weights.k_tiles;
  auto* const wide = scratch.wide_sums.as<std::int64_t>();
  for (std::int64_t tile = 0; tile < weights.k_tiles; tile += job.run_tiles) {
    task.k_tiles = std::min(job.run_tiles, weights.k_tiles - tile);
    task.group_tiles = format.grouped() ? weights.group_tiles : task.k_tiles;
    task.a = activations_.as<std::int8_t>() +
             activation_offset(job.layout, row, job.row_bytes, tile, 64);
    task.a_sums = sums_.as<std::int32_t>() + row * job.sum_count + tile / job.sum_tiles;
    task.b = b + tile * tile_bytes;
    const std::int64_t group = format.grouped() ? tile / weights.group_tiles : 0;
    task.scales = integer ? static_cast<const void*>(weights.integer_scales.as<std::int32_t>() +
                                                     scale_at + group * kTileChannels)
                          : weights.scales.as<float>() + scale_at + group * kTileChannels;
    job.kernels.int8_block(task);
    for (int i = 0; split && i < rows * kBlockChannels; ++i) {
      wide[i] = (tile == 0 ? 0 : wide[i]) + c[i];
    }
  }
  FinishTask finish;
  if (split) {
    for (int i = 0; i < rows * kBlockChannels; ++i) {
      const auto sum = static_cast<float>(wide[i]);
      std::memcpy(c + i, &sum, 4);
    }
  }
  finish.c = c;
  finish.is_float = split || task.accumulate == Accumulate::float_groups;
  finish.rows = rows;
  finish.token_scales = job.activations.scales + row;
  float channel_scales[kPanelChannels];
  const float unit =
      format.weight_bits == 4 ? 1.0F / static_cast<float>(job.kernels.nibble_unit) : 1.0F;
  for (int channel = 0; channel < kPanelChannels; ++channel) {
    channel_scales[channel] = integer ? std::ldexp(1.0F, -weights.alpha_log2)
                              : format.grouped()
                                  ? 1.0F
                                  : weights.scales.as<float>()[scale_at + channel] * unit;
  }
  finish.channel_scales = channel_scales;
  finish_block(job.descriptor, job.kernels, finish, panel, row, job.out);
}

void CpuGemm::run_float_block(const Job& job, const std::uint8_t* expanded, std::int64_t panel,
                              std::int64_t row, int rows) {
  const PackedWeights& weights = job.weights;
  const GemmFormat& format = job.descriptor.format;
  const std::int64_t scale_at = 2 * panel * weights.groups() * kTileChannels;
  alignas(64) float c[kBlockRows * kBlockChannels];
  FloatTask task;
  task.a = activations_.as() + activation_offset(job.layout, row, job.row_bytes, 0, 0);
  task.a_stride = job.layout == ActivationLayout::tiles ? 16 * job.row_bytes : job.row_bytes;
  task.rows = rows;
  task.b = reinterpret_cast<const std::uint16_t*>(
      expanded != nullptr ? expanded : weights.data.as() + 2 * panel * weights.block_bytes());
  task.b_stride = weights.k_tiles * 512;
  task.k_tiles = weights.k_tiles;
  task.group_tiles = weights.k_tiles;
  task.c = c;
  const bool blocks = format.scale == ScaleKind::block_128;
  if (blocks) {
    task.group_tiles = weights.group_tiles;
    task.scales = weights.scales.as<float>() + scale_at;
    task.scale_stride = weights.groups() * kTileChannels;
    task.a_scales = job.activations.scales + row * weights.groups();
    task.a_scale_stride = weights.groups();
  } else if (format.weights == WeightFormat::integer && !job.config.fold_scales) {
    task.group_tiles = weights.group_tiles;
    task.scales = weights.scales.as<float>() + scale_at;
    task.scale_stride = weights.groups() * kTileChannels;
  }
  job.kernels.float_block(task);

  FinishTask finish;
  finish.c = c;
  finish.is_float = true;
  finish.rows = rows;
  float channel_scales[kPanelChannels];
  const bool scaled =
      format.scale == ScaleKind::per_channel || format.scale == ScaleKind::per_tensor;
  for (int channel = 0; channel < kPanelChannels; ++channel) {
    channel_scales[channel] = scaled ? weights.scales.as<float>()[scale_at + channel] : 1.0F;
    if (format.scale == ScaleKind::per_tensor) {
      channel_scales[channel] *= job.activations.scales[0];
    }
  }
  finish.channel_scales = channel_scales;
  finish.token_scales =
      format.scale == ScaleKind::per_channel ? job.activations.scales + row : nullptr;
  finish_block(job.descriptor, job.kernels, finish, panel, row, job.out);
}

}  // namespace foretoken::kernels
