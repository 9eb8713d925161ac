// Functions that a file built with its own -m flags takes from a header must be inlined there: an
// out-of-line copy would be shared by the linker with files meant for older processors.
#pragma once

#define FT_INLINE static inline __attribute__((always_inline))
