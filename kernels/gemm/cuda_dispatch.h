// From a configuration's kind and tile, known at run time, to the template arguments of its kernel.
#pragma once

#include <type_traits>

#include "kernels/gemm/cuda_gemm.h"

namespace foretoken::kernels {

template <CudaGemmKind Kind>
using KindConstant = std::integral_constant<CudaGemmKind, Kind>;

// Calls `call` with the kind as a KindConstant.
template <typename Call>
void with_kind(CudaGemmKind kind, Call&& call) {
  switch (kind) {
    case CudaGemmKind::w8a8:
      return call(KindConstant<CudaGemmKind::w8a8>{});
    case CudaGemmKind::w4a8:
      return call(KindConstant<CudaGemmKind::w4a8>{});
    case CudaGemmKind::w4a8_group_float:
      return call(KindConstant<CudaGemmKind::w4a8_group_float>{});
    case CudaGemmKind::w4a8_group_integer:
      return call(KindConstant<CudaGemmKind::w4a8_group_integer>{});
    case CudaGemmKind::w2a16:
      return call(KindConstant<CudaGemmKind::w2a16>{});
    case CudaGemmKind::w3a16:
      return call(KindConstant<CudaGemmKind::w3a16>{});
    case CudaGemmKind::w4a16:
      return call(KindConstant<CudaGemmKind::w4a16>{});
    case CudaGemmKind::w5a16:
      return call(KindConstant<CudaGemmKind::w5a16>{});
    case CudaGemmKind::w6a16:
      return call(KindConstant<CudaGemmKind::w6a16>{});
    case CudaGemmKind::w8a16:
      return call(KindConstant<CudaGemmKind::w8a16>{});
  }
}

// Calls `call` with the tile as an integral_constant. REQUIRES: `tile_tokens` is 16, 64, 128 or 256
// and at most Largest, the kind's cuda_largest_tile or hopper_largest_tile.
template <int Largest, typename Call>
void with_tile(int tile_tokens, Call&& call) {
  if (tile_tokens == 16) {
    return call(std::integral_constant<int, 16>{});
  }
  if (tile_tokens == 64) {
    return call(std::integral_constant<int, 64>{});
  }
  if (tile_tokens == 128 && Largest >= 128) {
    return call(std::integral_constant < int, Largest<128 ? Largest : 128>{});
  }
  call(std::integral_constant<int, Largest>{});
}

}  // namespace foretoken::kernels
