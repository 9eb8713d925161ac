#include "calibrate/bench/cpu_gemm.h"

#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using Type = memory::data_type;

Type operand_type(CpuFormat format) { return format == CpuFormat::bf16 ? Type::bf16 : Type::s8; }

dnnl::primitive_attr attributes(CpuFormat format, std::int64_t n) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (format == CpuFormat::int8) {
    attr.set_output_scales(1 << 1, std::vector<float>(static_cast<std::size_t>(n), 0.01F));
  }
  return attr;
}

dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, CpuFormat format, std::int64_t m,
                                      std::int64_t n, std::int64_t k) {
  const Type type = operand_type(format);
  const memory::desc act({m, k}, type, Tag::ab);
  const memory::desc weight({k, n}, type, Tag::any);  // packed ahead of time, as engines do
  const memory::desc out({m, n}, Type::bf16, Tag::ab);
  return {dnnl::matmul::desc(act, weight, out), attributes(format, n), engine};
}

}  // namespace

void use_one_thread() { omp_set_num_threads(1); }

struct CpuGemm::Impl {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  dnnl::matmul::primitive_desc desc;
  dnnl::matmul matmul;
  memory act, weight, out, scratchpad;
  std::unordered_map<int, memory> arguments;
  Pool& pool;
  std::size_t weight_bytes;

  Impl(CpuFormat format, std::int64_t m, std::int64_t n, std::int64_t k, Pool& p)
      : desc(describe(engine, format, m, n, k)),
        matmul(desc),
        act(desc.src_desc(), engine),
        weight(desc.weights_desc(), engine, DNNL_MEMORY_NONE),
        out(desc.dst_desc(), engine),
        scratchpad(desc.scratchpad_desc(), engine),
        pool(p),
        weight_bytes(desc.weights_desc().get_size()) {
    FT_CHECK(weight_bytes <= pool.size(), "a weight of {} bytes in a pool of {}", weight_bytes,
             pool.size());
    const auto* random = reinterpret_cast<const std::uint8_t*>(pool.data());
    auto* bytes = static_cast<std::uint8_t*>(act.get_data_handle());
    for (std::size_t i = 0; i < desc.src_desc().get_size(); ++i) {
      bytes[i] = random[i % pool.size()];
    }
    arguments = {{DNNL_ARG_SRC, act},
                 {DNNL_ARG_WEIGHTS, weight},
                 {DNNL_ARG_DST, out},
                 {DNNL_ARG_SCRATCHPAD, scratchpad}};
  }
};

CpuGemm::CpuGemm(CpuFormat format, std::int64_t m, std::int64_t n, std::int64_t k, Pool& pool)
    : impl_(std::make_unique<Impl>(format, m, n, k, pool)) {}
CpuGemm::~CpuGemm() = default;

void CpuGemm::run(int call) {
  impl_->weight.set_data_handle(
      impl_->pool.slice(impl_->weight_bytes, static_cast<std::size_t>(call)));
  impl_->matmul.execute(impl_->stream, impl_->arguments);
}

std::vector<float> CpuGemm::multiply(CpuFormat format, std::int64_t m, std::int64_t n,
                                     std::int64_t k, const std::vector<float>& act,
                                     const std::vector<float>& weight) {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto desc = describe(engine, format, m, n, k);
  const auto load = [&](const std::vector<float>& values, const memory::desc& from,
                        const memory::desc& to) {
    memory source(from, engine, const_cast<float*>(values.data()));
    memory target(to, engine);
    dnnl::reorder(source, target).execute(stream, source, target);
    return target;
  };
  memory a = load(act, {{m, k}, Type::f32, Tag::ab}, desc.src_desc());
  memory w = load(weight, {{k, n}, Type::f32, Tag::ba}, desc.weights_desc());
  memory out(desc.dst_desc(), engine);
  memory scratchpad(desc.scratchpad_desc(), engine);
  dnnl::matmul(desc).execute(stream, {{DNNL_ARG_SRC, a},
                                      {DNNL_ARG_WEIGHTS, w},
                                      {DNNL_ARG_DST, out},
                                      {DNNL_ARG_SCRATCHPAD, scratchpad}});
  std::vector<float> result(static_cast<std::size_t>(m * n));
  memory plain({{m, n}, Type::f32, Tag::ab}, engine, result.data());
  dnnl::reorder(out, plain).execute(stream, out, plain);
  stream.wait();
  return result;
}

}  // namespace foretoken::calibrate
