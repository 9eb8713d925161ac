// Where an executed model's weights come from: random numbers or a .safetensors file. Tensors carry
// the names of Hugging Face's Llama checkpoints ("model.layers.0.self_attn.q_proj.weight").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/gemm/safetensors.h"

namespace foretoken::runtime {

// A part of a row-major [rows][columns] tensor: what one rank keeps of it.
struct TensorPart {
  std::int64_t rows = 0, columns = 0;  // of the whole tensor; a vector is one row
  std::int64_t row = 0, row_count = 0;
  std::int64_t column = 0, column_count = 0;
};
TensorPart whole(std::int64_t rows, std::int64_t columns);
// `index` of `parts` equal shares of the rows, or columns.
TensorPart row_share(std::int64_t rows, std::int64_t columns, int index, int parts);
TensorPart column_share(std::int64_t rows, std::int64_t columns, int index, int parts);

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // The part, row-major. Throws InputError when the source has no such tensor of this shape.
  virtual std::vector<float> read(const std::string& name, const TensorPart& part) const = 0;
};

// Normal values of variance 1 / columns, so that activations keep their size through the layers;
// vectors (norms) are 1 +- 10 %. A block of values is repeated from a place that differs from
// tensor to tensor and row to row: no kernel here is faster for it, and a model of gigabytes is
// made in seconds.
class RandomWeights final : public WeightSource {
 public:
  explicit RandomWeights(std::uint64_t seed);
  std::vector<float> read(const std::string& name, const TensorPart& part) const override;

 private:
  std::uint64_t seed_;
  std::vector<float> block_;
};

class SafetensorsWeights final : public WeightSource {
 public:
  explicit SafetensorsWeights(const std::string& path);
  std::vector<float> read(const std::string& name, const TensorPart& part) const override;

 private:
  std::string path_;
  kernels::SafetensorsFile file_;
};

}  // namespace foretoken::runtime
