// Functions that a file built with its own -m flags takes from a header must be inlined there: an
// out-of-line copy would be shared by the linker with files meant for older processors. In a CUDA
// file the same functions serve host and device.
#pragma once

#if defined(__CUDACC__)
#define FT_INLINE static __host__ __device__ __forceinline__
#else
#define FT_INLINE static inline __attribute__((always_inline))
#endif
