#include "kernels/gemm/onednn_gemm.h"

#include <omp.h>

#include <dnnl.hpp>

namespace foretoken::kernels {
namespace {

using Type = dnnl::memory::data_type;
using Tag = dnnl::memory::format_tag;

class Matmul final : public OneDnnGemm {
 public:
  Matmul(OneDnnKind kind, std::int64_t m, std::int64_t n, std::int64_t k, const void* weights)
      : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    const Type type = kind == OneDnnKind::int8 ? Type::s8 : Type::bf16;
    const Type out_type = kind == OneDnnKind::int8 ? Type::s32 : Type::bf16;
    const dnnl::memory::desc source({m, k}, type, Tag::ab);
    const dnnl::memory::desc result({m, n}, out_type, Tag::ab);
    const dnnl::memory::desc any({k, n}, type, Tag::any);
    const dnnl::matmul::primitive_desc chosen({source, any, result}, engine_);
    implementation_ = chosen.impl_info_str();
    matmul_ = dnnl::matmul(chosen);
    // [n][k] row-major is k x n column-major.
    dnnl::memory plain({{k, n}, type, Tag::ba}, engine_, const_cast<void*>(weights));
    weights_ = dnnl::memory(chosen.weights_desc(), engine_);
    dnnl::reorder(plain, weights_).execute(stream_, plain, weights_);
    stream_.wait();
    source_ = dnnl::memory(source, engine_, nullptr);
    result_ = dnnl::memory(result, engine_, nullptr);
  }

  void run(const void* activations, void* out) override {
    source_.set_data_handle(const_cast<void*>(activations));
    result_.set_data_handle(out);
    matmul_.execute(
        stream_, {{DNNL_ARG_SRC, source_}, {DNNL_ARG_WEIGHTS, weights_}, {DNNL_ARG_DST, result_}});
    stream_.wait();
  }

  std::string implementation() const override { return implementation_; }

 private:
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::matmul matmul_;
  dnnl::memory weights_, source_, result_;
  std::string implementation_;
};

}  // namespace

bool has_onednn() { return true; }

std::unique_ptr<OneDnnGemm> make_onednn_gemm(OneDnnKind kind, std::int64_t m, std::int64_t n,
                                             std::int64_t k, const void* weights, int threads) {
  omp_set_num_threads(threads);
  return std::make_unique<Matmul>(kind, m, n, k, weights);
}

}  // namespace foretoken::kernels
