// Kernels on their operands, ready to be timed: one object a case, made anew for every pass.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "calibrate/bench/machine.h"
#include "calibrate/bench/thread_pair.h"
#include "calibrate/bench/timing.h"
#include "kernels/codec/codec.h"
#include "kernels/collective/collective.h"
#include "kernels/gemm/descriptor.h"
#include "kernels/gemm/worker_pool.h"
#include "kernels/layer/attention.h"

namespace foretoken::calibrate {

// Names of GEMM formats: in profiles (sim/cost/gemm_format.h) and in kernels/gemm.
inline constexpr std::array<std::pair<std::string_view, std::string_view>, 13> kGemmFormatNames{
    {{"bf16", "bf16"},
     {"w8a8", "w8a8"},
     {"w4a8", "w4a8"},
     {"w4a16/g128", "w4a16_g128"},
     {"fp8", "fp8_token_channel"},
     {"fp8/g128", "fp8_block128"},
     {"w4a8/g128", "w4a8_g128_float"},
     {"w4a8/g128/integer-scale", "w4a8_g128_integer"},
     {"w2a16/g128", "w2a16_g128"},
     {"w3a16/g128", "w3a16_g128"},
     {"w5a16/g128", "w5a16_g128"},
     {"w6a16/g128", "w6a16_g128"},
     {"w8a16/g128", "w8a16_g128"}}};
kernels::GemmFormat kernel_format(const std::string& name);

class GemmSubject {
 public:
  GemmSubject(const kernels::GemmFormat& format, std::int64_t m, std::int64_t n, std::int64_t depth,
              Pool& pool, kernels::WorkerPool& workers);
  ~GemmSubject();
  void run(bool cold = true);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A paged cache large enough for the caches to forget what was read before, and block tables that
// walk through it.
class KvPool {
 public:
  KvPool(const kernels::KvShape& shape, std::size_t bytes);
  const kernels::PagedKvCache& cache() const { return cache_; }
  // Blocks of the next `tokens` positions. Valid while this object lives.
  kernels::BlockTable next(std::int64_t tokens);

 private:
  kernels::PagedKvCache cache_;
  std::vector<std::int32_t> blocks_;
  std::size_t cursor_ = 0;
};

// `fresh` new tokens of one sequence of `length`, one sequence after another `batch` times.
void run_prefill(int heads, KvPool& kv, std::int64_t batch, std::int64_t fresh, std::int64_t length,
                 std::vector<kernels::Bf16>& queries, std::vector<kernels::Bf16>& out,
                 kernels::WorkerPool& workers);
void run_decode(int heads, KvPool& kv, std::int64_t batch, std::int64_t length,
                std::vector<kernels::Bf16>& queries, std::vector<kernels::Bf16>& out,
                kernels::WorkerPool& workers);

// One operator of a step beside GEMM and attention, under its name in sim/model, on `rows` rows.
// `width` is the hidden size, for silu_mul the inner one, for sample the vocabulary.
struct LayerCall {
  std::string name;
  std::int64_t rows = 0, width = 0;
  int heads = 0, kv_heads = 0, head_dim = 0;
};
// Bytes read and written as sim/model counts them.
std::int64_t layer_bytes(const LayerCall& call);
// Ready to run again and again, operands in cache.
std::function<void()> layer_kernel(const LayerCall& call, Pool& pool, kernels::WorkerPool& workers);

enum class PairWire { threads, tcp };
using Wire = std::vector<std::unique_ptr<kernels::Transport>>;  // both ranks' ends
// Several of threads, whose flags and mailboxes lie on different cache lines; one of TCP, which
// goes over the loopback.
std::vector<Wire> make_wires(PairWire kind);
// A two-step all-reduce of `bytes` of bf16 a rank.
Timing time_all_reduce(CorePair& pair, int core_a, int core_b, std::vector<Wire>& wires,
                       const kernels::WireFormat& format, std::size_t bytes, double seconds);

// Two cores making the same calls at once, each with its own operands: s of one call. Cores of one
// machine share what the system does not show - a physical core, a cache, the way to memory - and
// the ranks of a collective all work at the same time. Where a line lies in the last-level cache
// decides how far it is from either core: the same call on other memory takes up to a half longer,
// again and again, and a program has no say in it. So every call of `placements` has memory of its
// own, and the statistics are means over them.
Timing time_together(CorePair& pair, int core_a, int core_b,
                     const std::vector<std::function<void(int rank)>>& placements, double seconds);
// As many as a case that touches `bytes` of memory needs.
int placements_for(std::size_t bytes);

// Reads all bytes as 64-bit words and returns their sum.
std::uint64_t read_all(const std::byte* bytes, std::size_t count);

}  // namespace foretoken::calibrate
