#include "kernels/layer/elementwise.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>

#include "kernels/base/error.h"
#include "kernels/layer/vector_ops.h"

namespace foretoken::kernels {
namespace {

const VectorOps& ops() { return vector_ops(cpu_features()); }

const std::uint16_t* bits(const Bf16* x) { return reinterpret_cast<const std::uint16_t*>(x); }
std::uint16_t* bits(Bf16* x) { return reinterpret_cast<std::uint16_t*>(x); }

std::int64_t size(std::span<const Bf16> x) { return static_cast<std::int64_t>(x.size()); }

// Rows of `width`, shared among the workers.
template <typename Body>
void for_rows(WorkerPool& pool, std::int64_t rows, const Body& body) {
  pool.run(rows, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      body(row);
    }
  });
}

float scale_of(float largest, float limit) {
  return std::max(largest / limit, std::numeric_limits<float>::min());
}

}  // namespace

void rms_norm(std::span<const Bf16> x, std::span<const Bf16> weight, float eps, std::span<Bf16> out,
              WorkerPool& pool) {
  const std::int64_t width = size(weight);
  FT_KERNEL_CHECK(size(x) % width == 0 && out.size() == x.size());
  for_rows(pool, size(x) / width, [&](std::int64_t row) {
    ops().rms_norm(bits(x.data()) + row * width, bits(weight.data()), width, eps,
                   bits(out.data()) + row * width);
  });
}

void add_residual(std::span<Bf16> x, std::span<const Bf16> y, WorkerPool& pool) {
  FT_KERNEL_CHECK(x.size() == y.size());
  pool.run(size(x), [&](int, std::int64_t begin, std::int64_t end) {
    ops().add(bits(x.data()) + begin, bits(y.data()) + begin, end - begin);
  });
}

void silu_multiply(std::span<const Bf16> gate_up, std::int64_t width, std::span<Bf16> out,
                   WorkerPool& pool) {
  FT_KERNEL_CHECK(size(out) % width == 0 && gate_up.size() == 2 * out.size());
  for_rows(pool, size(out) / width, [&](std::int64_t row) {
    const std::uint16_t* const gate = bits(gate_up.data()) + 2 * row * width;
    ops().silu_multiply(gate, gate + width, width, bits(out.data()) + row * width);
  });
}

void embed(std::span<const Bf16> table, std::int64_t width, std::span<const std::int32_t> ids,
           std::span<Bf16> out, WorkerPool& pool) {
  FT_KERNEL_CHECK(out.size() == ids.size() * static_cast<std::size_t>(width));
  for (const std::int32_t id : ids) {
    FT_KERNEL_CHECK(id >= 0 && (id + 1) * width <= size(table));
  }
  for_rows(pool, static_cast<std::int64_t>(ids.size()), [&](std::int64_t row) {
    std::memcpy(out.data() + row * width, table.data() + ids[static_cast<std::size_t>(row)] * width,
                static_cast<std::size_t>(width) * sizeof(Bf16));
  });
}

std::vector<std::int32_t> argmax_rows(std::span<const float> logits, std::int64_t vocabulary,
                                      WorkerPool& pool) {
  const auto rows = static_cast<std::int64_t>(logits.size()) / vocabulary;
  std::vector<std::int32_t> best(static_cast<std::size_t>(rows));
  for_rows(pool, rows, [&](std::int64_t row) {
    best[static_cast<std::size_t>(row)] =
        static_cast<std::int32_t>(ops().argmax(logits.data() + row * vocabulary, vocabulary));
  });
  return best;
}

namespace {

// Llama 3.1: wavelengths longer than original / low keep 1 / factor of their frequency, shorter
// than original / high keep all of it, those between are blended.
double rescale_frequency(double frequency, const RotaryConfig& config) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double turns = static_cast<double>(config.original_positions) / wavelength;
  const double blend = std::clamp((turns - config.low_frequency_factor) /
                                      (config.high_frequency_factor - config.low_frequency_factor),
                                  0.0, 1.0);
  return (1 - blend) * frequency / config.factor + blend * frequency;
}

}  // namespace

RotaryTable::RotaryTable(const RotaryConfig& config, std::int64_t positions)
    : half_(config.head_dim / 2) {
  for (std::int64_t position = 0; position < positions; ++position) {
    for (std::int64_t i = 0; i < half_; ++i) {
      double frequency = std::pow(config.base, -2.0 * static_cast<double>(i) / config.head_dim);
      frequency = config.llama3 ? rescale_frequency(frequency, config) : frequency;
      const double angle = static_cast<double>(position) * frequency;
      cosine_.push_back(static_cast<float>(std::cos(angle)));
      sine_.push_back(static_cast<float>(std::sin(angle)));
    }
  }
}

void RotaryTable::apply(Bf16* x, std::int64_t stride, int heads,
                        std::span<const std::int64_t> positions, WorkerPool& pool) const {
  for (const std::int64_t position : positions) {
    FT_KERNEL_CHECK(position >= 0 &&
                    static_cast<std::size_t>((position + 1) * half_) <= cosine_.size());
  }
  for_rows(pool, static_cast<std::int64_t>(positions.size()), [&](std::int64_t token) {
    const std::int64_t at = positions[static_cast<std::size_t>(token)] * half_;
    for (int head = 0; head < heads; ++head) {
      ops().rotate(bits(x) + token * stride + head * 2 * half_, cosine_.data() + at,
                   sine_.data() + at, half_);
    }
  });
}

void quantize_rows(std::span<const Bf16> x, std::int64_t width, std::int64_t group, Int8Rows& out,
                   WorkerPool& pool) {
  FT_KERNEL_CHECK(size(x) % width == 0);
  const std::int64_t step = group == 0 ? width : group, groups = (width + step - 1) / step;
  const std::int64_t rows = size(x) / width;
  out.values.resize(x.size());
  out.scales.resize(static_cast<std::size_t>(rows * groups));
  for_rows(pool, rows, [&](std::int64_t row) {
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t at = row * width + g * step, count = std::min(step, width - g * step);
      const float scale = scale_of(ops().largest(bits(x.data()) + at, count), kActivationLimit);
      out.scales[static_cast<std::size_t>(row * groups + g)] = scale;
      ops().quantize_int8(bits(x.data()) + at, count, scale, out.values.data() + at);
    }
  });
}

void quantize_rows_fp8(std::span<const Bf16> x, std::int64_t width, ScaleKind kind, Fp8Rows& out,
                       WorkerPool& pool) {
  FT_KERNEL_CHECK(size(x) % width == 0);
  const bool tensor = kind == ScaleKind::per_tensor;
  const std::int64_t step = kind == ScaleKind::block_128 ? 128 : width;
  const std::int64_t rows = size(x) / width, groups = (width + step - 1) / step;
  out.values.resize(x.size());
  out.scales.resize(tensor ? 1 : static_cast<std::size_t>(rows * groups));
  if (tensor) {
    out.scales[0] = scale_of(ops().largest(bits(x.data()), size(x)), kFp8E4m3Max);
  }
  for_rows(pool, rows, [&](std::int64_t row) {
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t at = row * width + g * step, count = std::min(step, width - g * step);
      float& scale = out.scales[tensor ? 0 : static_cast<std::size_t>(row * groups + g)];
      if (!tensor) {
        scale = scale_of(ops().largest(bits(x.data()) + at, count), kFp8E4m3Max);
      }
      for (std::int64_t i = at; i < at + count; ++i) {
        out.values[static_cast<std::size_t>(i)] =
            to_fp8_e4m3(to_float(x[static_cast<std::size_t>(i)]) / scale);
      }
    }
  });
}

}  // namespace foretoken::kernels
