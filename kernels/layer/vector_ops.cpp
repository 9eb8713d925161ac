#include "kernels/layer/vector_ops.h"

namespace foretoken::kernels {

const VectorOps& vector_ops(const CpuFeatures& features) {
  return features.avx512() ? vector_ops_avx512()
         : features.avx2   ? vector_ops_avx2()
                           : vector_ops_base();
}

}  // namespace foretoken::kernels
