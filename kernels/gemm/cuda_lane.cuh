// The machine of cuda_gemm_body.h and attention_body.h on a GPU: one PTX instruction per method,
// portable from sm_80.
#pragma once

#include <cstdint>

namespace foretoken::kernels {

class CudaLane {
 public:
  __device__ explicit CudaLane(std::uint8_t* shared)
      : shared_(shared), address_(static_cast<std::uint32_t>(__cvta_generic_to_shared(shared))) {}

  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ std::int64_t block_x() const { return blockIdx.x; }
  __device__ std::int64_t block_y() const { return blockIdx.y; }
  __device__ std::int64_t block_z() const { return blockIdx.z; }
  __device__ void sync() { __syncthreads(); }

  __device__ void copy_async(int offset, const void* source, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address_ + offset),
                 "l"(source), "r"(bytes));
  }
  __device__ void commit() { asm volatile("cp.async.commit_group;"); }
  template <int N>
  __device__ void wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
  }

  template <typename T>
  __device__ T load_shared(int offset) const {
    return *reinterpret_cast<const T*>(shared_ + offset);
  }
  template <typename T>
  __device__ void store_shared(int offset, T value) {
    *reinterpret_cast<T*>(shared_ + offset) = value;
  }

  __device__ void load_matrices(int offset, std::uint32_t (&r)[4]) const {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address_ + offset)
                 : "memory");
  }

  __device__ void multiply_s8(std::int32_t (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                              std::uint32_t b1) const {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }

  __device__ void multiply_bf16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                std::uint32_t b1) const {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
  // Sums as fp32 patterns in integer registers.
  __device__ void multiply_bf16(std::int32_t (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                std::uint32_t b1) const {
    float f[4] = {__int_as_float(c[0]), __int_as_float(c[1]), __int_as_float(c[2]),
                  __int_as_float(c[3])};
    multiply_bf16(f, a, b0, b1);
    for (int i = 0; i < 4; ++i) {
      c[i] = __float_as_int(f[i]);
    }
  }

  __device__ void load_matrices_transposed(int offset, std::uint32_t (&r)[4]) const {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address_ + offset)
                 : "memory");
  }
  __device__ float shuffle_xor(float value, int mask) const {
    return __shfl_xor_sync(0xffffffffU, value, mask);
  }

  __device__ std::uint32_t multiply_add_bf16(std::uint32_t a, std::uint32_t b,
                                             std::uint32_t c) const {
    std::uint32_t pair;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(pair) : "r"(a), "r"(b), "r"(c));
    return pair;
  }

 protected:
  std::uint8_t* shared_;
  std::uint32_t address_;
};

}  // namespace foretoken::kernels
