#include "calibrate/cpu_suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "calibrate/bench/all_reduce.h"
#include "calibrate/bench/cpu_attention.h"
#include "calibrate/bench/cpu_gemm.h"
#include "calibrate/bench/host_step.h"
#include "calibrate/bench/layer_kernels.h"
#include "calibrate/bench/timing.h"
#include "calibrate/fit/search.h"

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
        effort_(options.quick ? 1 : 6),
        sentinel_(CpuFormat::bf16, 128, 768, 768, pool_) {}

  CpuMeasurements run() {
    use_one_thread();
    pin_to_core(main_core());
    describe();
    warm_up();
    memory();
    prefill();
    decode();
    elementwise();
    all_reduce();
    host();
    gemm(CpuFormat::bf16, "bf16");
    gemm(CpuFormat::int8, "w8a8");
    run_jobs();
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
  int main_core() const { return machine_.cores[core_]; }
  int other_core() const { return machine_.cores[(core_ + 1) % machine_.cores.size()]; }
  bool two_cores() const { return machine_.cores.size() >= 2; }

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

  // One small piece of work. `keep` is called once with the first time and again with any later,
  // smaller one.
  struct Job {
    std::string family;
    std::function<double()> measure;
    std::function<void(double)> keep;
    double seconds = 0;
    double sentinel = 0;  // the slower of those around the measurement that counts
  };

  void add_job(std::string family, std::function<double()> measure,
               std::function<void(double)> keep) {
    jobs_.push_back({std::move(family), std::move(measure), std::move(keep)});
  }

  // A fixed kernel with its operands in cache: how fast the core is right now. On a shared machine
  // it moves by a factor of two when a neighbour wakes up on the same physical core.
  double sentinel() {
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 4; ++i) {
      const double start = now_seconds();
      sentinel_.run(0);
      best = std::min(best, now_seconds() - start);
    }
    fastest_ = std::min(fastest_, best);
    return best;
  }

  // Goes to the core that is quieter right now: cores are alike, their neighbours are not.
  double settle() {
    const double here = sentinel();
    if (!two_cores() || here <= kQuiet * fastest_) {
      return here;
    }
    const std::size_t was = core_;
    core_ = (core_ + 1) % machine_.cores.size();
    pin_to_core(machine_.cores[core_]);
    sentinel();  // brings its operands into that core's cache
    const double there = sentinel();
    if (there < here) {
      return there;
    }
    core_ = was;
    pin_to_core(machine_.cores[core_]);
    return sentinel();
  }

  void run_job(Job& job) {
    const double before = settle();
    const double seconds = job.measure();
    const double around = std::max(before, sentinel());
    const bool first = job.seconds == 0;
    if (first || around < job.sentinel) {
      job.sentinel = around;
    }
    if (first || seconds < job.seconds) {
      job.seconds = seconds;
      job.keep(seconds);
    }
  }

  // All jobs once, then those again that ran while the core was slow, until it was quiet or time is
  // up.
  void run_jobs() {
    const double limit = now_seconds() + (options_.quick ? 42 : 400);
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      progress_(jobs_[i].family, 0.9 * static_cast<double>(i) / static_cast<double>(jobs_.size()));
      if (now_seconds() < limit) {
        run_job(jobs_[i]);
      } else {
        ++out_.skipped_samples;
      }
    }
    for (int round = 0; round < 10 && now_seconds() < limit; ++round) {
      for (Job& job : jobs_) {
        if (measured(job) && noisy(job) && now_seconds() < limit) {
          progress_("again", 0.9 + 0.01 * round);
          run_job(job);
        }
      }
    }
    drop_noisy();
  }

  static bool measured(const Job& job) { return job.seconds > 0; }
  bool noisy(const Job& job) const { return job.sentinel > kQuiet * fastest_; }

  // Samples of a slow core are left out of every family that keeps at least half of its samples;
  // where most are slow, that is what this machine is like today, and they stay.
  void drop_noisy() {
    std::map<std::string, int> balance;  // quiet less noisy
    std::vector<double> quiet;
    for (const Job& job : jobs_) {
      balance[job.family] += noisy(job) ? -1 : 1;
      if (measured(job) && !noisy(job)) {
        quiet.push_back(std::log(job.sentinel / fastest_));
      }
    }
    for (const Job& job : jobs_) {
      if (noisy(job)) {
        const bool drop = balance[job.family] >= 0 && job.family != "memory";
        ++(drop ? out_.dropped_samples : out_.noisy_samples);
        if (drop) {
          job.keep(0);
        }
      }
    }
    const auto erase = [](auto& samples) {
      std::erase_if(samples, [](const auto& sample) { return sample.seconds == 0; });
    };
    erase(out_.prefill);
    erase(out_.decode);
    erase(out_.elementwise);
    erase(out_.all_reduce);
    erase(out_.host);
    for (auto& [format, samples] : out_.gemm) {
      erase(samples);
    }
    out_.total_samples = static_cast<int>(jobs_.size());
    // The quiet ones still spread: half of the band that holds nine tenths of them.
    out_.repeatability = quiet.empty() ? std::log(kQuiet) : quantile(quiet, 0.9) / 2;
  }

  void memory() {
    const std::size_t bytes = pool_.size() / 2 / 64 * 64;
    add_job(
        "memory",
        [this, bytes] {
          return time_calls([&](int call) { checksum_ += read_half(call % 2, bytes); }, limits(0.2))
              .best;
        },
        [this, bytes](double s) { out_.read_bandwidth = static_cast<double>(bytes) / s; });
    const std::size_t part = pool_.size() / 8;
    add_job(
        "memory",
        [this, part] {
          return time_calls(
                     [&](int call) {
                       std::byte* from = pool_.data() + static_cast<std::size_t>(call % 4) * part;
                       std::memcpy(from + 4 * part, from, part);
                     },
                     limits(0.2))
              .best;
        },
        [this, part](double s) { out_.copy_bandwidth = 2.0 * static_cast<double>(part) / s; });
    if (two_cores()) {
      add_job(
          "memory", [this, bytes] { return time_reading_together(bytes); },
          [this, bytes](double s) { out_.read_bandwidth_of_two = static_cast<double>(bytes) / s; });
    }
  }

  std::uint64_t read_half(int half, std::size_t bytes) {
    const auto* words = reinterpret_cast<const std::uint64_t*>(pool_.data());
    return read_all(words + static_cast<std::size_t>(half) * bytes / 8, bytes / 8);
  }

  double time_reading_together(std::size_t bytes) {
    std::vector<double> times;
    std::uint64_t sums[2] = {};
    for (int i = 0; i < 4; ++i) {
      times.push_back(run_pair(main_core(), other_core(), [&](int rank) {
                        sums[rank] += read_half(rank, bytes);
                      }).seconds);
    }
    checksum_ += sums[0] + sums[1];
    return summarise(times).best;
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
    const std::size_t at = out_.prefill.size();
    out_.prefill.push_back({op, 0});
    add_job(
        "attention",
        [this, op, fresh, context] {
          CpuPrefill kernel({op.heads, op.kv_heads, op.head_dim}, fresh, context, pool_);
          return time_calls([&](int call) { kernel.run(call); }, limits(0.01)).lower;
        },
        [this, at](double s) { out_.prefill[at].seconds = s; });
  }

  void decode() {
    for (const ModelShape& model : kModels) {
      for (const int tensor : kTensorDegrees) {
        for (const std::int64_t sequences : {1, 4, 16, 64}) {
          for (const std::int64_t tokens : {64, 256, 1024}) {
            if (options_.quick && sequences * tokens > 16384) {
              continue;
            }
            time_decode(model, tensor, sequences, tokens);
          }
        }
      }
    }
  }

  void time_decode(const ModelShape& model, int tensor, std::int64_t sequences,
                   std::int64_t tokens) {
    AttentionOp op = attention_op(model, tensor);
    op.decode = true;
    op.sequences = sequences;
    op.kv_tokens = sequences * tokens;  // whole blocks already
    const std::size_t at = out_.decode.size();
    out_.decode.push_back({op, 0});
    add_job(
        "attention",
        [this, op, sequences, tokens] {
          CpuDecode kernel({op.heads, op.kv_heads, op.head_dim}, sequences, tokens, pool_);
          return time_calls([&](int call) { kernel.run(call); }, limits(0.01)).lower;
        },
        [this, at](double s) { out_.decode[at].seconds = s; });
  }

  // Activations have just been written by the operator before: they are in cache.
  void elementwise() {
    for (const ModelShape& model : kModels) {
      for (const std::int64_t rows : {1, 4, 16, 64, 256, 512}) {
        const std::int64_t hidden = 2 * rows * model.hidden;
        const std::int64_t inner = 2 * rows * model.intermediate;
        add_elementwise({hidden, hidden}, rows, model.hidden, false);
        add_elementwise({2 * inner, inner}, rows, model.intermediate, true);
      }
    }
  }

  void add_elementwise(ElementwiseOp op, std::int64_t rows, std::int64_t columns, bool silu) {
    const std::size_t at = out_.elementwise.size();
    out_.elementwise.push_back({op, 0});
    add_job(
        "elementwise",
        [this, rows, columns, silu] {
          const auto count = static_cast<std::size_t>(rows);
          const auto width = static_cast<std::size_t>(columns);
          const std::vector<Bf16> in(2 * count * width, to_bf16(0.5F));
          const std::vector<Bf16> gain(width, to_bf16(1.0F));
          std::vector<Bf16> result(count * width);
          return time_calls(
                     [&](int) {
                       if (silu) {
                         silu_mul(in.data(), result.data(), count, width);
                       } else {
                         rms_norm(in.data(), gain.data(), result.data(), count, width);
                       }
                     },
                     limits(0.005))
              .best;
        },
        [this, at](double s) { out_.elementwise[at].seconds = s; });
  }

  void all_reduce() {
    constexpr std::size_t kLargest = std::size_t{16} << 20;
    for (std::size_t bytes = 1024; two_cores() && bytes <= kLargest; bytes *= 2) {
      const std::size_t at = out_.all_reduce.size();
      out_.all_reduce.push_back({static_cast<std::int64_t>(bytes), 0});
      add_job(
          "all-reduce",
          [this, bytes] {
            return time_all_reduce(main_core(), other_core(), bytes, 0.02 * effort_).median;
          },
          [this, at](double s) { out_.all_reduce[at].seconds = s; });
    }
  }

  void host() {
    if (!two_cores()) {
      return;
    }
    for (const HostCase& host : host_cases()) {
      const std::size_t at = out_.host.size();
      out_.host.push_back({host.sequences, host.prefill > 0, 0});
      add_job(
          "host",
          [this, host] {
            return time_host_step(main_core(), other_core(), host, 0.1 * effort_).median;
          },
          [this, at](double s) { out_.host[at].seconds = s; });
    }
  }

  void gemm(CpuFormat format, const std::string& name) {
    for (const GemmShape& shape : gemm_shapes(options_.quick)) {
      const bool large = options_.quick && shape.n * shape.k > (8 << 20);
      const std::int64_t most = shape.head ? 128 : large ? 512 : 1024;
      for (std::int64_t m = 1; m <= most; m *= 2) {
        add_gemm(format, name, m, shape);
      }
    }
  }

  void add_gemm(CpuFormat format, const std::string& name, std::int64_t m, const GemmShape& shape) {
    const auto bytes =
        static_cast<std::size_t>(shape.n * shape.k * (format == CpuFormat::bf16 ? 2 : 1));
    if (bytes + (std::size_t{1} << 20) > pool_.size()) {
      return;  // a machine with little memory: the profile says what it covers
    }
    std::vector<Sample>& samples = out_.gemm[name];
    const std::size_t at = samples.size();
    samples.push_back({{m, shape.n, shape.k}, 0});
    add_job(
        "gemm " + name,
        [this, format, m, shape] {
          CpuGemm gemm(format, m, shape.n, shape.k, pool_);
          return time_calls([&](int call) { gemm.run(call); }, limits(0.008)).lower;
        },
        [&samples, at](double s) { samples[at].seconds = s; });
  }

  static constexpr double kQuiet = 1.1;  // the sentinel may be this much slower than at its best

  const Machine& machine_;
  CpuSuiteOptions options_;
  const ProgressCallback& progress_;
  Pool pool_;
  double effort_;
  CpuGemm sentinel_;
  std::size_t core_ = 0;  // index of the core in use
  double fastest_ = std::numeric_limits<double>::infinity();
  std::uint64_t checksum_ = 0;  // of what was read, so that reading cannot be left out
  std::vector<Job> jobs_;
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
