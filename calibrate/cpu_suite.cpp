#include "calibrate/cpu_suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include "calibrate/bench/all_reduce.h"
#include "calibrate/bench/cpu_attention.h"
#include "calibrate/bench/cpu_gemm.h"
#include "calibrate/bench/host_step.h"
#include "calibrate/bench/layer_kernels.h"
#include "calibrate/bench/timing.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

struct ModelShape {
  std::int64_t hidden, heads, kv_heads, head_dim, intermediate, vocab;
};
// Two sizes of the Llama family that one core can serve.
constexpr ModelShape kModels[] = {{768, 12, 12, 64, 2048, 32000},    // 125M
                                  {2048, 32, 8, 64, 8192, 128256}};  // 1B
constexpr int kTensorDegrees[] = {1, 2};

void add_model(const ModelShape& model, int tensor, std::vector<GemmShape>& shapes) {
  const std::int64_t q = model.heads * model.head_dim / tensor;
  const std::int64_t kv = model.kv_heads * model.head_dim / tensor;
  shapes.push_back({q + 2 * kv, model.hidden});
  shapes.push_back({model.hidden, q});
  shapes.push_back({2 * model.intermediate / tensor, model.hidden});
  shapes.push_back({model.hidden, model.intermediate / tensor});
  shapes.push_back({model.vocab / tensor, model.hidden, true});
}

// Additive recurrence with the plastic number (Roberts 2018): points that fill the square evenly.
std::pair<double, double> low_discrepancy(int i) {
  constexpr double kPlastic = 1.32471795724474602596;
  const auto part = [i](double step) { return std::fmod(0.5 + step * i, 1.0); };
  return {part(1 / kPlastic), part(1 / (kPlastic * kPlastic))};
}

std::int64_t between(double share, double low, double high) {
  return std::llround(low * std::pow(high / low, share) / 32) * 32;
}

class CpuSuite {
 public:
  CpuSuite(const Machine& machine, const CpuSuiteOptions& options, const ProgressCallback& progress)
      : machine_(machine),
        options_(options),
        progress_(progress),
        pool_(pool_bytes(machine)),
        effort_(options.quick ? 1 : 6) {}

  CpuMeasurements run() {
    use_one_thread();
    pin_to_core(main_core());
    describe();
    warm_up();
    sentinel();
    advance("memory", 0);
    memory();
    advance("attention", 0.05);
    prefill();
    decode();
    advance("elementwise", 0.15);
    elementwise();
    advance("all-reduce", 0.2);
    all_reduce();
    advance("host", 0.25);
    host();
    sentinel();
    gemm(CpuFormat::bf16, "bf16", 0.3, 0.7);
    gemm(CpuFormat::int8, "w8a8", 0.7, 1.0);
    sentinel();
    out_.repeatability = sentinel_spread();
    return std::move(out_);
  }

 private:
  // Twice the last-level cache, so that weights taken in turn are cold; at most an eighth of the
  // memory, and room for the largest single weight.
  static std::size_t pool_bytes(const Machine& machine) {
    const std::size_t wanted = std::max<std::size_t>(2 * machine.l3, std::size_t{576} << 20);
    return std::max<std::size_t>(std::min(wanted, machine.memory / 8), std::size_t{64} << 20);
  }
  bool cold() const { return pool_.size() >= 2 * machine_.l3; }
  int main_core() const { return machine_.cores.front(); }
  int other_core() const { return machine_.cores.back(); }
  bool two_cores() const { return machine_.cores.size() >= 2; }

  void advance(const std::string& family, double share) { progress_(family, share); }

  void describe() {
    out_.cpu = machine_.cpu;
    out_.fingerprint = machine_.fingerprint();
    out_.date = machine_.date;
    out_.memory = static_cast<double>(machine_.memory) / 2;
    out_.l2 = static_cast<double>(machine_.l2);
    out_.method = fmt::format(
        "oneDNN and own kernels, one thread a core, lower quartile of at least four, weights and "
        "KV cache "
        "rotated through {} MiB ({})",
        pool_.size() >> 20, cold() ? "cold" : "L3-warm: less than twice the last-level cache");
  }

  TimingLimits limits(double seconds) const {
    TimingLimits limits;
    limits.seconds = seconds * effort_;
    limits.least_samples = options_.quick ? 4 : 7;
    return limits;
  }

  // Clocks and licences of wide instructions settle within some milliseconds.
  void warm_up() {
    CpuGemm gemm(CpuFormat::bf16, 64, 768, 768, pool_);
    const double start = now_seconds();
    for (int call = 0; now_seconds() - start < 0.2; ++call) {
      gemm.run(call);
    }
  }

  // The same kernel at several moments: how much the machine itself moves.
  void sentinel() {
    CpuGemm gemm(CpuFormat::bf16, 128, 1024, 1024, pool_);
    sentinels_.push_back(time_calls([&](int) { gemm.run(0); }, limits(0.02)).best);
  }
  double sentinel_spread() const {
    const auto [low, high] = std::minmax_element(sentinels_.begin(), sentinels_.end());
    return std::log(*high / *low) / 2;
  }

  void memory() {
    const std::size_t bytes = pool_.size() / 2 / 64 * 64;
    auto* words = reinterpret_cast<std::uint64_t*>(pool_.data());
    std::uint64_t sum = 0;
    const auto read_half = [&](int half) {
      return read_all(words + static_cast<std::size_t>(half) * bytes / 8, bytes / 8);
    };
    const Timing read = time_calls([&](int call) { sum += read_half(call % 2); }, limits(0.2));
    out_.read_bandwidth = static_cast<double>(bytes) / read.best;
    // Copies what the first eighth holds over the last: the pool stays random.
    const std::size_t part = pool_.size() / 8;
    const Timing copy = time_calls(
        [&](int call) {
          const std::size_t from = static_cast<std::size_t>(call % 4) * part;
          std::memcpy(pool_.data() + 4 * part + from, pool_.data() + from, part);
        },
        limits(0.2));
    out_.copy_bandwidth = 2.0 * static_cast<double>(part) / copy.best;
    if (two_cores()) {
      std::vector<double> times;
      std::uint64_t sums[2] = {};
      for (int i = 0; i < 5; ++i) {
        times.push_back(run_pair(main_core(), other_core(), [&](int rank) {
                          sums[rank] += read_half(rank);
                        }).seconds);
      }
      out_.read_bandwidth_of_two = static_cast<double>(bytes) / summarise(times).best;
      sum += sums[0] + sums[1];
    }
    FT_CHECK(sum != 0, "the pool holds random numbers");
  }

  void prefill() {
    for (const ModelShape& model : kModels) {
      for (const int tensor : kTensorDegrees) {
        for (const std::int64_t context : {0, 512}) {
          for (const std::int64_t fresh : {16, 64, 128, 256, 512, 1024}) {
            if (!options_.quick || (tensor == 1 && context + fresh <= 1024)) {
              time_prefill(model, tensor, fresh, context);
            }
          }
        }
      }
    }
  }

  static AttentionOp attention_op(const ModelShape& model, int tensor) {
    AttentionOp op;
    op.heads = static_cast<int>(model.heads) / tensor;
    op.kv_heads = static_cast<int>(model.kv_heads) / tensor;
    op.head_dim = static_cast<int>(model.head_dim);
    return op;
  }

  void time_prefill(const ModelShape& model, int tensor, std::int64_t fresh, std::int64_t context) {
    AttentionOp op = attention_op(model, tensor);
    op.chunks = {{fresh, context}};
    CpuPrefill kernel({op.heads, op.kv_heads, op.head_dim}, fresh, context, pool_);
    const Timing timing = time_calls([&](int call) { kernel.run(call); }, limits(0.01));
    out_.prefill.push_back({std::move(op), timing.lower});
  }

  void decode() {
    for (const ModelShape& model : kModels) {
      for (const int tensor : kTensorDegrees) {
        for (const std::int64_t sequences : {1, 4, 16, 64}) {
          for (const std::int64_t tokens : {64, 256, 1024}) {
            if (options_.quick && sequences * tokens > 16384) {
              continue;
            }
            AttentionOp op = attention_op(model, tensor);
            op.decode = true;
            CpuDecode kernel({op.heads, op.kv_heads, op.head_dim}, sequences, tokens, pool_);
            op.sequences = sequences;
            op.kv_tokens = sequences * kernel.tokens();
            const Timing timing = time_calls([&](int call) { kernel.run(call); }, limits(0.01));
            out_.decode.push_back({std::move(op), timing.lower});
          }
        }
      }
    }
  }

  // Activations have just been written by the operator before: they are in cache.
  void elementwise() {
    for (const ModelShape& model : kModels) {
      for (const std::int64_t rows : {1, 4, 16, 64, 256, 512}) {
        const auto count = static_cast<std::size_t>(rows);
        const auto hidden = static_cast<std::size_t>(model.hidden);
        const auto inner = static_cast<std::size_t>(model.intermediate);
        const std::vector<Bf16> in(count * 2 * inner, to_bf16(0.5F));
        std::vector<Bf16> result(count * std::max(hidden, inner));
        const std::vector<Bf16> gain(hidden, to_bf16(1.0F));
        const Timing norm =
            time_calls([&](int) { rms_norm(in.data(), gain.data(), result.data(), count, hidden); },
                       limits(0.005));
        const std::int64_t row_bytes = 2 * model.hidden;
        out_.elementwise.push_back({{rows * row_bytes, rows * row_bytes}, norm.best});
        const Timing silu = time_calls(
            [&](int) { silu_mul(in.data(), result.data(), count, inner); }, limits(0.005));
        const std::int64_t inner_bytes = 2 * model.intermediate;
        out_.elementwise.push_back({{2 * rows * inner_bytes, rows * inner_bytes}, silu.best});
      }
    }
  }

  void all_reduce() {
    if (!two_cores()) {
      return;
    }
    for (std::size_t bytes = 1024; bytes <= (std::size_t{16} << 20); bytes *= 4) {
      for (const std::size_t size : {bytes, bytes * 2}) {
        if (size <= (std::size_t{16} << 20)) {
          const Timing timing = time_all_reduce(main_core(), other_core(), size, 0.03 * effort_);
          out_.all_reduce.push_back({static_cast<std::int64_t>(size), timing.median});
        }
      }
    }
  }

  void host() {
    if (!two_cores()) {
      return;
    }
    for (const HostTiming& sample : time_host_steps(main_core(), other_core(), 1.0 * effort_)) {
      out_.host.push_back({sample.sequences, sample.prefill > 0, sample.timing.median});
    }
  }

  void gemm(CpuFormat format, const std::string& name, double from, double to) {
    const std::vector<GemmShape> shapes = gemm_shapes(options_.quick);
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      advance("gemm " + name,
              from + (to - from) * static_cast<double>(i) / static_cast<double>(shapes.size()));
      const bool large = options_.quick && shapes[i].n * shapes[i].k > (8 << 20);
      const std::int64_t most = shapes[i].head ? 128 : large ? 512 : 1024;
      for (std::int64_t m = 1; m <= most; m *= 2) {
        time_gemm(format, name, m, shapes[i]);
      }
    }
  }

  void time_gemm(CpuFormat format, const std::string& name, std::int64_t m,
                 const GemmShape& shape) {
    const auto bytes =
        static_cast<std::size_t>(shape.n * shape.k * (format == CpuFormat::bf16 ? 2 : 1));
    if (bytes + (std::size_t{1} << 20) > pool_.size()) {
      return;  // a machine with little memory: the profile says what it covers
    }
    CpuGemm gemm(format, m, shape.n, shape.k, pool_);
    const Timing timing = time_calls([&](int call) { gemm.run(call); }, limits(0.008));
    out_.gemm[name].push_back({{m, shape.n, shape.k}, timing.lower});
  }

  const Machine& machine_;
  CpuSuiteOptions options_;
  const ProgressCallback& progress_;
  Pool pool_;
  double effort_;
  std::vector<double> sentinels_;
  CpuMeasurements out_;
};

}  // namespace

std::vector<GemmShape> gemm_shapes(bool quick) {
  std::vector<GemmShape> shapes;
  for (const ModelShape& model : kModels) {
    for (const int tensor : kTensorDegrees) {
      add_model(model, tensor, shapes);
    }
  }
  const int extra = quick ? 8 : 40;
  for (int i = 0; i < extra; ++i) {
    const auto [u, v] = low_discrepancy(i);
    shapes.push_back({between(u, 256, 8192), between(v, 256, 8192)});
  }
  std::set<std::pair<std::int64_t, std::int64_t>> seen;
  std::erase_if(shapes, [&seen](const GemmShape& shape) {
    return !seen.insert({shape.n, shape.k}).second;
  });
  return shapes;
}

CpuMeasurements measure_cpu(const Machine& machine, const CpuSuiteOptions& options,
                            const ProgressCallback& progress) {
  return CpuSuite(machine, options, progress).run();
}

}  // namespace foretoken::calibrate
