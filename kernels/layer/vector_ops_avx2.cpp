// AVX2 build of the layer loops.
#define VECTOR_OPS_TABLE vector_ops_avx2
#include "kernels/layer/vector_ops.inc"  // NOLINT(bugprone-suspicious-include)
