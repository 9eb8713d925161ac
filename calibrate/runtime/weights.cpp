#include "calibrate/runtime/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/base/error.h"
#include "sim/core/error.h"
#include "sim/core/random.h"

namespace foretoken::runtime {
namespace {

constexpr std::size_t kBlockValues = 1 << 20;
constexpr std::size_t kStride =
    7919;  // between the places of two rows: a prime, so none repeats soon

}  // namespace

TensorPart whole(std::int64_t rows, std::int64_t columns) {
  return {rows, columns, 0, rows, 0, columns};
}

TensorPart row_share(std::int64_t rows, std::int64_t columns, int index, int parts) {
  TensorPart part = whole(rows, columns);
  part.row_count = rows / parts;
  part.row = index * part.row_count;
  return part;
}

TensorPart column_share(std::int64_t rows, std::int64_t columns, int index, int parts) {
  TensorPart part = whole(rows, columns);
  part.column_count = columns / parts;
  part.column = index * part.column_count;
  return part;
}

RandomWeights::RandomWeights(std::uint64_t seed) : seed_(seed), block_(kBlockValues) {
  RandomStream random(seed, "runtime.weights");
  for (float& value : block_) {
    value = static_cast<float>(random.normal());
  }
}

std::vector<float> RandomWeights::read(const std::string& name, const TensorPart& part) const {
  const bool vector = part.rows == 1;
  const float scale =
      vector ? 0.1F : static_cast<float>(1 / std::sqrt(static_cast<double>(part.columns)));
  const float offset = vector ? 1.0F : 0.0F;
  const std::uint64_t start = hash_combine(seed_, hash_text(name));
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(part.row_count * part.column_count));
  for (std::int64_t row = part.row; row < part.row + part.row_count; ++row) {
    // Unsigned arithmetic wraps, which is as good a place as any.
    std::size_t at = start + static_cast<std::size_t>(row) * (kStride + part.columns) +
                     static_cast<std::size_t>(part.column);
    for (std::int64_t column = 0; column < part.column_count; ++column, ++at) {
      values.push_back(offset + scale * block_[at % kBlockValues]);
    }
  }
  return values;
}

SafetensorsWeights::SafetensorsWeights(const std::string& path) : path_(path), file_(path) {}

std::vector<float> SafetensorsWeights::read(const std::string& name, const TensorPart& part) const {
  const auto refuse = [&](const std::string& why) {
    throw InputError(SourceMark{path_, 0, 0}, name,
                     why + "; give the checkpoint that the scenario's model describes");
  };
  kernels::Tensor tensor;
  try {
    tensor = file_.read(name);
  } catch (const kernels::KernelError& error) {
    refuse(error.what());
  }
  if (static_cast<std::int64_t>(tensor.values.size()) != part.rows * part.columns) {
    refuse(
        fmt::format("{} values instead of {} x {}", tensor.values.size(), part.rows, part.columns));
  }
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(part.row_count * part.column_count));
  for (std::int64_t row = part.row; row < part.row + part.row_count; ++row) {
    const auto begin = tensor.values.begin() + row * part.columns + part.column;
    values.insert(values.end(), begin, begin + part.column_count);
  }
  return values;
}

}  // namespace foretoken::runtime
