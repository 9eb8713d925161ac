#include "kernels/layer/vector_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "kernels/base/float_types.h"
#include "kernels/gemm/synthetic.h"

namespace foretoken::kernels {
namespace {

std::vector<const VectorOps*> tables() {
  std::vector<const VectorOps*> found{&vector_ops_base()};
  if (cpu_features().avx2) {
    found.push_back(&vector_ops_avx2());
  }
  if (cpu_features().avx512()) {
    found.push_back(&vector_ops_avx512());
  }
  return found;
}

std::vector<std::uint16_t> random_bits(std::int64_t count, std::uint64_t seed) {
  std::vector<std::uint16_t> bits;
  for (const float x : synthetic_matrix(SyntheticKind::heavy_tailed, 1, count, seed)) {
    bits.push_back(to_bf16(x).bits);
  }
  return bits;
}

TEST(VectorOps, All_instruction_sets_give_the_same_bits) {
  for (const std::int64_t count : {1, 15, 16, 17, 100, 4096}) {
    const auto x = random_bits(2 * count, 1), w = random_bits(2 * count, 2);
    std::vector<float> floats = synthetic_matrix(SyntheticKind::normal, 1, count, 3);
    // What one table makes of everything, as bytes.
    const auto run = [&](const VectorOps& ops) {
      std::vector<std::uint16_t> out(static_cast<std::size_t>(6 * count));
      ops.rms_norm(x.data(), w.data(), count, 1e-5F, out.data());
      ops.silu_multiply(x.data(), w.data(), count, out.data() + count);
      std::copy(x.begin(), x.end(), out.begin() + 2 * count);
      ops.rotate(out.data() + 2 * count, floats.data(), floats.data(), count);
      std::copy(x.begin(), x.begin() + count, out.begin() + 4 * count);
      ops.add(out.data() + 4 * count, w.data(), count);
      std::vector<float> wide(static_cast<std::size_t>(2 * count));
      ops.widen(x.data(), KvFormat::fp8_e4m3, 0.5F, count, wide.data());
      for (std::int64_t i = 0; i < count; ++i) {  // 0x7f and 0xff are NaN, whose payload may differ
        wide[static_cast<std::size_t>(i)] =
            std::isnan(wide[static_cast<std::size_t>(i)]) ? 0 : wide[static_cast<std::size_t>(i)];
      }
      std::copy(floats.begin(), floats.end(), wide.begin() + count);
      std::vector<float> sums{ops.exponentials(wide.data() + count, count, 3.0F),
                              ops.dot(floats.data(), wide.data() + count, count),
                              ops.maximum(floats.data(), count), ops.largest(x.data(), count)};
      ops.accumulate(wide.data() + count, 0.7F, 0.3F, floats.data(), count);
      std::vector<std::int8_t> bytes(static_cast<std::size_t>(count));
      ops.quantize_int8(x.data(), count, sums[3] / 127, bytes.data());
      ops.multiply_narrow(floats.data(), floats.data(), count, out.data() + 5 * count);
      ops.multiply(floats.data(), floats.data(), 0.3F, count, wide.data());
      std::vector<std::uint8_t> all;
      const auto append = [&](const void* data, std::size_t size) {
        const auto* const at = static_cast<const std::uint8_t*>(data);
        all.insert(all.end(), at, at + size);
      };
      append(out.data(), out.size() * 2);
      append(wide.data(), wide.size() * 4);
      append(sums.data(), sums.size() * 4);
      append(bytes.data(), bytes.size());
      all.push_back(static_cast<std::uint8_t>(ops.argmax(floats.data(), count)));
      return all;
    };
    const auto want = run(*tables().front());
    for (const VectorOps* ops : tables()) {
      EXPECT_EQ(run(*ops), want) << count;
    }
  }
}

TEST(VectorOps, Exponentials_are_within_two_units_in_the_last_place) {
  std::vector<float> x, kept;
  for (float v = -86.0F; v <= 0.0F; v += 0.0137F) {
    x.push_back(v);
  }
  kept = x;
  vector_ops_base().exponentials(x.data(), static_cast<std::int64_t>(x.size()), 0.0F);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double want = std::exp(static_cast<double>(kept[i]));
    EXPECT_NEAR(x[i] / want, 1.0, 2.5 * 0x1p-23) << kept[i];
  }
  float nothing = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(vector_ops_base().exponentials(&nothing, 1, 0.0F), 0.0F);
}

TEST(VectorOps, Argmax_takes_the_first_of_equals) {
  const std::vector<float> x{1, 7, 3, 7, 7};
  for (const VectorOps* ops : tables()) {
    EXPECT_EQ(ops->argmax(x.data(), 5), 1);
  }
}

}  // namespace
}  // namespace foretoken::kernels
