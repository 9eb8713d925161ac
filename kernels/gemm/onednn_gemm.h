// oneDNN's matrix multiplication: the anchor that our CPU kernels are measured against. Absent from
// builds without the library.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace foretoken::kernels {

enum class OneDnnKind : std::uint8_t {
  int8,  // s8 x s8 -> s32, without any scale
  bf16,  // bf16 x bf16 -> bf16
};

class OneDnnGemm {
 public:
  virtual ~OneDnnGemm() = default;
  // activations [m][k] and out [m][n], row-major, of the kind's types.
  virtual void run(const void* activations, void* out) = 0;
  virtual std::string implementation() const = 0;  // as oneDNN names it
};

bool has_onednn();

// `weights` is row-major [n][k]; it is copied into the layout that oneDNN prefers for this m.
// `threads` sets the number of OpenMP threads of the whole process. Null when the build has no
// oneDNN.
std::unique_ptr<OneDnnGemm> make_onednn_gemm(OneDnnKind kind, std::int64_t m, std::int64_t n,
                                             std::int64_t k, const void* weights, int threads);

}  // namespace foretoken::kernels
