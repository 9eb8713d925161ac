// AVX-512 build of prefill attention in fp32.
#define PREFILL_TABLE prefill_avx512
#define PREFILL_NAME "avx512"
#include "kernels/layer/prefill_fp32.inc"  // NOLINT(bugprone-suspicious-include)
