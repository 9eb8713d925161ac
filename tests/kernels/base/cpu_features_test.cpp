#include "kernels/base/cpu_features.h"

#include <gtest/gtest.h>

#include "kernels/base/error.h"

namespace foretoken::kernels {
namespace {

TEST(CpuFeatures, A_ceiling_never_adds_anything) {
  const CpuFeatures all = detect_cpu_features("");
  const CpuFeatures avx512 = detect_cpu_features("avx512");
  EXPECT_EQ(avx512.avx512f, all.avx512f);
  EXPECT_EQ(avx512.avx2, all.avx2);
  EXPECT_FALSE(avx512.avx512vbmi || avx512.avx512vnni || avx512.amx_tile);
  const CpuFeatures avx2 = detect_cpu_features("avx2");
  EXPECT_EQ(avx2.avx2, all.avx2);
  EXPECT_FALSE(avx2.avx512f || avx2.amx_tile);
  EXPECT_EQ(to_string(detect_cpu_features("scalar")), "scalar");
}

TEST(CpuFeatures, Avx512_processors_have_avx2_too) {
  const CpuFeatures all = detect_cpu_features("");
  EXPECT_TRUE(!all.avx512() || all.avx2);
}

TEST(CpuFeatures, An_unknown_ceiling_is_refused_with_the_known_ones) {
  try {
    detect_cpu_features("sse9");
    FAIL();
  } catch (const KernelError& e) {
    EXPECT_STREQ(e.what(),
                 "FORETOKEN_ISA: unknown instruction set \"sse9\" (scalar, avx2, avx512, "
                 "avx512-vnni)");
  }
}

TEST(CpuFeatures, Tiles_are_granted_only_where_they_exist) {
  if (!cpu_features().amx_tile) {
    EXPECT_FALSE(request_amx_permission());
  } else {
    EXPECT_EQ(request_amx_permission(), request_amx_permission());
  }
}

}  // namespace
}  // namespace foretoken::kernels
