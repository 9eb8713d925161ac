// The machine of hopper_gemm_body.h on a GPU: one PTX instruction per method, for sm_90a. Register
// fragments and matrix descriptors: PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions".
#pragma once

#include <cuda.h>

#include "kernels/gemm/cuda_lane.cuh"

namespace foretoken::kernels {

// wgmma with operands %0 ... the sums, then four registers of A, B's descriptor and whether to add.
#define FT_WGMMA(types, tail, sums, a0, a1, a2, a3, b, add, ...)                               \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %" #add                                   \
               ", 0;\n"                                                                        \
               "wgmma.mma_async.sync.aligned." types " {" sums "}, {%" #a0 ", %" #a1 ", %" #a2 \
               ", %" #a3 "}, %" #b ", add" tail ";\n}"                                         \
               : __VA_ARGS__                                                                   \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(descriptor(offset)),          \
                 "r"(static_cast<int>(accumulate)))
// "%10 t" to "%10 t + 9", and the constraints of eight registers from i.
#define FT_TEN(t)                                                                        \
  "%" #t "0, %" #t "1, %" #t "2, %" #t "3, %" #t "4, %" #t "5, %" #t "6, %" #t "7, %" #t \
  "8, "                                                                                  \
  "%" #t "9, "
#define FT_8(c, i)                                                                    \
  c(sums[i]), c(sums[(i) + 1]), c(sums[(i) + 2]), c(sums[(i) + 3]), c(sums[(i) + 4]), \
      c(sums[(i) + 5]), c(sums[(i) + 6]), c(sums[(i) + 7])
#define FT_32(c, i) FT_8(c, i), FT_8(c, (i) + 8), FT_8(c, (i) + 16), FT_8(c, (i) + 24)
#define FT_64(c, i) FT_32(c, i), FT_32(c, (i) + 32)
#define FT_WGMMA_OF_TOKENS(n, types, tail, c)                                                     \
  if constexpr (n == 16) {                                                                        \
    FT_WGMMA("m64n16" types, tail, "%0, %1, %2, %3, %4, %5, %6, %7", 8, 9, 10, 11, 12, 13,        \
             FT_8(c, 0));                                                                         \
  } else if constexpr (n == 64) {                                                                 \
    FT_WGMMA("m64n64" types, tail, FT_TEN() FT_TEN(1) FT_TEN(2) "%30, %31", 32, 33, 34, 35, 36,   \
             37, FT_32(c, 0));                                                                    \
  } else if constexpr (n == 128) {                                                                \
    FT_WGMMA("m64n128" types, tail,                                                               \
             FT_TEN() FT_TEN(1) FT_TEN(2) FT_TEN(3) FT_TEN(4) FT_TEN(5) "%60, %61, %62, %63", 64, \
             65, 66, 67, 68, 69, FT_64(c, 0));                                                    \
  } else {                                                                                        \
    static_assert(n == 256);                                                                      \
    FT_WGMMA("m64n256" types, tail,                                                             \
             FT_TEN() FT_TEN(1) FT_TEN(2) FT_TEN(3) FT_TEN(4) FT_TEN(5) FT_TEN(6) FT_TEN(7)     \
                 FT_TEN(8) FT_TEN(9) FT_TEN(10) FT_TEN(11) "%120, %121, %122, %123, %124, "     \
                                                           "%125, %126, %127",                  \
             128, 129, 130, 131, 132, 133, FT_64(c, 0), FT_64(c, 64)); \
  }

class HopperLane : public CudaLane {
 public:
  __device__ HopperLane(std::uint8_t* shared, const CUtensorMap* tokens)
      : CudaLane(shared), tokens_(tokens) {}

  __device__ int cluster_size() const {
    int size;
    asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
    return size;
  }
  __device__ int cluster_rank() const {
    int rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
  }
  __device__ void sync_cluster() {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
  }
  __device__ void sync_consumers() { asm volatile("bar.sync 1, 256;" ::: "memory"); }
  __device__ void sync_warp() { __syncwarp(); }

  template <int N>
  __device__ void keep_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
  }
  template <int N>
  __device__ void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
  }

  __device__ void init_barrier(int offset, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address_ + offset), "r"(arrivals)
                 : "memory");
  }
  __device__ void publish_barriers() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  __device__ void expect(int barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address_ + barrier),
                 "r"(bytes)
                 : "memory");
  }
  __device__ void arrive(int barrier, int rank) {
    asm volatile(
        "{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\n"
        "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];\n}" ::"r"(address_ +
                                                                                   barrier),
        "r"(rank)
        : "memory");
  }
  __device__ void wait_phase(int barrier, int parity) {
    asm volatile(
        "{\n.reg .pred done;\nwaiting:\n"
        "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra waiting;\n}" ::"r"(address_ + barrier),
        "r"(parity)
        : "memory");
  }

  __device__ void copy_bulk(int offset, const void* source, int bytes, int barrier) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, "
        "[%3];" ::"r"(address_ + offset),
        "l"(source), "r"(bytes), "r"(address_ + barrier)
        : "memory");
  }
  __device__ void copy_tokens(int offset, int byte, int token, int barrier) {
    if (cluster_size() == 1) {
      asm volatile(
          "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
          "[%1, {%2, %3}], [%4];" ::"r"(address_ + offset),
          "l"(tokens_), "r"(byte), "r"(token), "r"(address_ + barrier)
          : "memory");
    } else {
      asm volatile(
          "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes."
          "multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(address_ + offset),
          "l"(tokens_), "r"(byte), "r"(token), "r"(address_ + barrier), "h"(std::uint16_t{3})
          : "memory");
    }
  }

  template <typename Sum, int Sums>
  __device__ void open_multiply(Sum (&sums)[Sums]) {
    pin(sums);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
  }
  template <int N>
  __device__ void multiply(std::int32_t (&sums)[N / 2], const std::uint32_t (&a)[4], int offset,
                           bool accumulate) {
    FT_WGMMA_OF_TOKENS(N, "k32.s32.s8.s8", "", "+r")
  }
  template <int N>
  __device__ void multiply(float (&sums)[N / 2], const std::uint32_t (&a)[4], int offset,
                           bool accumulate){
      FT_WGMMA_OF_TOKENS(N, "k16.f32.bf16.bf16", ", 1, 1, 0", "+f")  // signs, B not transposed
  } __device__ void commit_multiply() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  }
  template <typename Sum, int Sums>
  __device__ void finish_multiply(Sum (&sums)[Sums]) {
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    pin(sums);
  }

 private:
  // Start, then bytes between groups of eight rows (1024), each in units of 16, and mode 1, the
  // 128-byte swizzle; the offset along k (bits 16 to 29) does not count in this mode.
  __device__ std::uint64_t descriptor(int offset) const {
    return (std::uint64_t{1} << 62) | (std::uint64_t{1024 / 16} << 32) | (std::uint64_t{1} << 16) |
           ((address_ + offset) >> 4 & 0x3fff);
  }

  // Keeps the compiler from moving uses of the sums across.
  template <int Sums>
  __device__ static void pin(std::int32_t (&sums)[Sums]) {
#pragma unroll
    for (int i = 0; i < Sums; ++i) {
      asm volatile("" : "+r"(sums[i])::"memory");
    }
  }
  template <int Sums>
  __device__ static void pin(float (&sums)[Sums]) {
#pragma unroll
    for (int i = 0; i < Sums; ++i) {
      asm volatile("" : "+f"(sums[i])::"memory");
    }
  }

  const CUtensorMap* tokens_;
};

#undef FT_WGMMA
#undef FT_TEN
#undef FT_8
#undef FT_32
#undef FT_64
#undef FT_WGMMA_OF_TOKENS

}  // namespace foretoken::kernels
