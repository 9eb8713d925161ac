#include "kernels/gemm/cublaslt_gemm.h"

#include <cublasLt.h>

#include <string>

#include "kernels/base/cuda_check.h"
#include "kernels/base/dynamic_library.h"

namespace foretoken::kernels {
namespace {

constexpr std::size_t kWorkspace = std::size_t{32} << 20;  // what NVIDIA recommends for Hopper

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw KernelError(std::string("cuBLASLt: ") + what + " failed with status " +
                      std::to_string(static_cast<int>(status)));
  }
}

// The functions that we use, by the names the library exports.
struct Library {
  DynamicLibrary library{"cuBLASLt", {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"}};
#define FT_SYMBOL(name) decltype(::name)* name = library.symbol<decltype(::name)>(#name)
  FT_SYMBOL(cublasLtCreate);
  FT_SYMBOL(cublasLtDestroy);
  FT_SYMBOL(cublasLtMatmul);
  FT_SYMBOL(cublasLtMatmulAlgoGetHeuristic);
  FT_SYMBOL(cublasLtMatmulDescCreate);
  FT_SYMBOL(cublasLtMatmulDescDestroy);
  FT_SYMBOL(cublasLtMatmulDescSetAttribute);
  FT_SYMBOL(cublasLtMatmulPreferenceCreate);
  FT_SYMBOL(cublasLtMatmulPreferenceDestroy);
  FT_SYMBOL(cublasLtMatmulPreferenceSetAttribute);
  FT_SYMBOL(cublasLtMatrixLayoutCreate);
  FT_SYMBOL(cublasLtMatrixLayoutDestroy);
#undef FT_SYMBOL
};

const Library& lt() {
  static const Library library;
  return library;
}

struct Types {
  cudaDataType_t in, out, scale;
  cublasComputeType_t compute;
};

Types types_of(CublasLtKind kind) {
  switch (kind) {
    case CublasLtKind::bf16:
      return {CUDA_R_16BF, CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F};
    case CublasLtKind::fp8_e4m3:
      return {CUDA_R_8F_E4M3, CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F};
    case CublasLtKind::int8:
      return {CUDA_R_8I, CUDA_R_32I, CUDA_R_32I, CUBLAS_COMPUTE_32I};
  }
  return {};
}

}  // namespace

// The library thinks in columns: out^T [n, m] = weights [k, n]^T x activations [k, m].
struct CublasLtGemm::State {
  Types types;
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t multiply = nullptr;
  cublasLtMatrixLayout_t weights = nullptr, activations = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  DeviceBuffer<std::uint8_t> workspace{kWorkspace};

  explicit State(CublasLtKind kind) : types(types_of(kind)) {}
  ~State() {
    lt().cublasLtMatrixLayoutDestroy(weights);
    lt().cublasLtMatrixLayoutDestroy(activations);
    lt().cublasLtMatrixLayoutDestroy(out);
    lt().cublasLtMatmulDescDestroy(multiply);
    lt().cublasLtDestroy(handle);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check(lt().cublasLtMatmulDescSetAttribute(multiply, attribute, &value, sizeof(value)),
          "setting an attribute");
  }

  void choose_algorithm() {
    cublasLtMatmulPreference_t preference = nullptr;
    check(lt().cublasLtMatmulPreferenceCreate(&preference), "creating a preference");
    check(
        lt().cublasLtMatmulPreferenceSetAttribute(
            preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace, sizeof(kWorkspace)),
        "setting the workspace");
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const cublasStatus_t status = lt().cublasLtMatmulAlgoGetHeuristic(
        handle, multiply, weights, activations, out, out, preference, 1, &result, &found);
    lt().cublasLtMatmulPreferenceDestroy(preference);
    check(status, "choosing an algorithm");
    if (found == 0) {
      throw KernelError("cuBLASLt has no kernel for this shape and type");
    }
    algorithm = result.algo;
  }
};

CublasLtGemm::CublasLtGemm(CublasLtKind kind, std::int64_t m, std::int64_t n, std::int64_t k)
    : state_(std::make_unique<State>(kind)) {
  State& s = *state_;
  const auto rows = static_cast<std::uint64_t>(k), tokens = static_cast<std::uint64_t>(m),
             channels = static_cast<std::uint64_t>(n);
  check(lt().cublasLtCreate(&s.handle), "starting");
  check(lt().cublasLtMatmulDescCreate(&s.multiply, s.types.compute, s.types.scale), "describing");
  s.set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  check(lt().cublasLtMatrixLayoutCreate(&s.weights, s.types.in, rows, channels, k), "weights");
  check(lt().cublasLtMatrixLayoutCreate(&s.activations, s.types.in, rows, tokens, k),
        "activations");
  check(lt().cublasLtMatrixLayoutCreate(&s.out, s.types.out, channels, tokens, n), "result");
  s.choose_algorithm();
}

CublasLtGemm::~CublasLtGemm() = default;

void CublasLtGemm::run(const void* activations, const void* weights, void* out,
                       const float* activation_scale, const float* weight_scale, void* stream) {
  State& s = *state_;
  if (s.types.in == CUDA_R_8F_E4M3) {
    s.set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, weight_scale);
    s.set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, activation_scale);
  }
  const float one = 1, zero = 0;
  const std::int32_t integer_one = 1, integer_zero = 0;
  const bool integer = s.types.scale == CUDA_R_32I;
  check(lt().cublasLtMatmul(
            s.handle, s.multiply, integer ? static_cast<const void*>(&integer_one) : &one, weights,
            s.weights, activations, s.activations,
            integer ? static_cast<const void*>(&integer_zero) : &zero, out, s.out, out, s.out,
            &s.algorithm, s.workspace.data(), kWorkspace, static_cast<cudaStream_t>(stream)),
        "multiplying");
}

}  // namespace foretoken::kernels
