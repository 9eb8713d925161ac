// An empty kernel: what a launch alone costs, the anchor of small sizes.
#pragma once

struct CUstream_st;

namespace foretoken::kernels {

void launch_empty_kernel(CUstream_st* stream);

}  // namespace foretoken::kernels
