// AVX2 build of prefill attention in fp32.
#define PREFILL_TABLE prefill_avx2
#define PREFILL_NAME "avx2"
#include "kernels/layer/prefill_fp32.inc"  // NOLINT(bugprone-suspicious-include)
