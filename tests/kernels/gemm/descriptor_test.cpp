#include "kernels/gemm/descriptor.h"

#include <gtest/gtest.h>

#include "kernels/base/error.h"
#include "kernels/gemm/cpu_gemm.h"

namespace foretoken::kernels {
namespace {

TEST(GemmDescriptor, Every_format_is_read_back_from_its_own_name) {
  for (const GemmFormat& format : all_gemm_formats()) {
    EXPECT_EQ(parse_gemm_format(to_string(format)), format) << to_string(format);
  }
  EXPECT_EQ(all_gemm_formats().size(), 14U);
}

TEST(GemmDescriptor, Unknown_formats_are_refused_with_the_known_names) {
  for (const char* name : {"", "w4", "w4a4", "w7a16_g128", "w8a8_g128_float", "w4a8_g100_float",
                           "w4a16", "w4a16_g128_integer", "w4a8_integer", "int8", "w4a8_g128_"}) {
    try {
      parse_gemm_format(name);
      FAIL() << name;
    } catch (const KernelError& error) {
      EXPECT_NE(std::string(error.what()).find("w4a8_g128_integer"), std::string::npos);
    }
  }
}

TEST(GemmDescriptor, Weight_bytes_count_values_and_scales) {
  // 4096 x 4096 at 4 bits: 8,388,608; scales per group of 128: 4096 x 32 x 4 = 524,288.
  EXPECT_EQ(weight_bytes(parse_gemm_format("w4a8_g128_float"), 4096, 4096), 8388608 + 524288);
  EXPECT_EQ(weight_bytes(parse_gemm_format("bf16"), 10, 7), 140);
  EXPECT_EQ(weight_bytes(parse_gemm_format("w8a8"), 10, 7), 70 + 40);
}

CpuFeatures without_amx() {
  CpuFeatures features;
  features.avx2 = features.avx512f = features.avx512bw = features.avx512vl = features.avx512dq =
      true;
  features.avx512vnni = true;
  return features;
}

TEST(CpuGemmConfig, Is_chosen_from_the_features_alone) {
  GemmDescriptor descriptor{128, 4096, 4096, parse_gemm_format("w4a8"), OutputType::fp32};
  EXPECT_EQ(choose_cpu_gemm_config(descriptor, CpuFeatures{}, 1).isa, CpuIsa::scalar);
  CpuFeatures avx2;
  avx2.avx2 = true;
  EXPECT_EQ(choose_cpu_gemm_config(descriptor, avx2, 1).isa, CpuIsa::avx2);
  const CpuGemmConfig vnni = choose_cpu_gemm_config(descriptor, without_amx(), 3);
  // 1 MiB / 4096 B = 256 tokens a pass.
  EXPECT_EQ(to_string(vnni),
            "cpu avx512_vnni threads=3 rows_per_pass=256 expand_once=false fold_scales=true");
}

TEST(CpuGemmConfig, Few_tokens_use_the_vector_unit_and_many_expand_weights_once) {
  if (available_isas(cpu_features()).front() != CpuIsa::amx) {
    GTEST_SKIP() << "this processor has no AMX";
  }
  GemmDescriptor descriptor{1, 4096, 4096, parse_gemm_format("w4a8"), OutputType::fp32};
  EXPECT_EQ(choose_cpu_gemm_config(descriptor, cpu_features(), 1).isa, CpuIsa::avx512_vnni);
  descriptor.m = 16;
  EXPECT_EQ(choose_cpu_gemm_config(descriptor, cpu_features(), 1).isa, CpuIsa::amx);
  EXPECT_FALSE(choose_cpu_gemm_config(descriptor, cpu_features(), 1).expand_once);
  descriptor.m = 128;
  EXPECT_TRUE(choose_cpu_gemm_config(descriptor, cpu_features(), 1).expand_once);
}

}  // namespace
}  // namespace foretoken::kernels
