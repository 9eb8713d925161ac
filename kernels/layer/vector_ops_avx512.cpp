// AVX512 build of the layer loops.
#define VECTOR_OPS_TABLE vector_ops_avx512
#include "kernels/layer/vector_ops.inc"  // NOLINT(bugprone-suspicious-include)
