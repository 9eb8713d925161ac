// Portable build of the layer loops.
#define VECTOR_OPS_TABLE vector_ops_base
#include "kernels/layer/vector_ops.inc"  // NOLINT(bugprone-suspicious-include)
