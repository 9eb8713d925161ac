// cuBLASLt, loaded when first needed: bf16, fp8 and int8 GEMM of the library, our baselines and the
// bf16 and fp8 kernels of a GPU.
#pragma once

#include <cstdint>
#include <memory>

namespace foretoken::kernels {

enum class CublasLtKind : std::uint8_t {
  bf16,      // bf16 x bf16 -> bf16
  fp8_e4m3,  // e4m3 x e4m3 with one fp32 scale a side -> bf16; from sm_89
  int8,      // s8 x s8 -> s32
};

// One shape with the algorithm that the library's heuristic puts first.
class CublasLtGemm {
 public:
  // Throws KernelError when the library is missing or has no kernel for the shape (int8 and fp8
  // want n and k in multiples of 16).
  CublasLtGemm(CublasLtKind kind, std::int64_t m, std::int64_t n, std::int64_t k);
  ~CublasLtGemm();
  CublasLtGemm(const CublasLtGemm&) = delete;
  CublasLtGemm& operator=(const CublasLtGemm&) = delete;

  // Device pointers: activations [m][k], weights [n][k], out [m][n], all row-major; scales for fp8
  // only.
  void run(const void* activations, const void* weights, void* out, const float* activation_scale,
           const float* weight_scale, void* stream);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace foretoken::kernels
