// Portable build of prefill attention in fp32.
#define PREFILL_TABLE prefill_base
#define PREFILL_NAME "base"
#include "kernels/layer/prefill_fp32.inc"  // NOLINT(bugprone-suspicious-include)
