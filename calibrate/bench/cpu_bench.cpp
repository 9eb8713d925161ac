#include "calibrate/bench/cpu_bench.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>

#include "calibrate/bench/cpu_subjects.h"
#include "calibrate/bench/host_step.h"
#include "calibrate/bench/pace.h"
#include "calibrate/bench/thread_pair.h"
#include "kernels/base/aligned_buffer.h"
#include "kernels/gemm/packed_weights.h"

namespace foretoken::calibrate {
namespace {

namespace k = kernels;
using k::Bf16;

struct ModelShape {
  std::int64_t hidden;
  int heads, kv_heads, head_dim;
  std::int64_t intermediate, vocab;
};
// Two sizes of the Llama family that one core can serve.
constexpr ModelShape kModels[] = {{768, 12, 12, 64, 2048, 32000},    // 125M
                                  {2048, 32, 8, 64, 8192, 128256}};  // 1B
constexpr int kTensorDegrees[] = {1, 2};

// Wires whose codec and all-reduce are measured; the first few by --quick.
constexpr std::string_view kWires[] = {"int8/g128", "int4/g32",       "int6/g128",
                                       "int5/g128", "int4/g32/spike", "int3/g32",
                                       "int2/g32",  "int2/g32/spike", "fp8/g128"};
constexpr std::size_t kQuickWires = 2;

constexpr double kMostFlops = 6e9;  // of one timed GEMM
constexpr double kQuiet = 1.1;      // as the runner has it
constexpr std::size_t kKvBytes = std::size_t{64} << 20;

void add_model(const ModelShape& model, int tensor, std::vector<GemmShape>& shapes) {
  const std::int64_t q = std::int64_t{model.heads} * model.head_dim / tensor;
  const std::int64_t kv = std::int64_t{model.kv_heads} * model.head_dim / tensor;
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

}  // namespace

std::vector<GemmShape> gemm_shapes(int extra) {
  std::vector<GemmShape> shapes;
  for (const ModelShape& model : kModels) {
    for (const int tensor : kTensorDegrees) {
      add_model(model, tensor, shapes);
    }
  }
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

std::vector<std::string> cpu_gemm_formats() {
  std::vector<std::string> names;
  names.reserve(kGemmFormatNames.size());
  for (const auto& [name, kernel] : kGemmFormatNames) {
    names.emplace_back(name);
  }
  return names;
}

struct CpuBench::Impl {
  const Machine machine;
  Pool pool;
  k::WorkerPool workers{1};
  std::size_t core = 0;        // index of the core in use
  std::vector<double> recent;  // readings of the sentinel on one core
  CorePair pair;
  std::uint64_t checksum = 0;  // of what was read, so that reading cannot be left out
  std::map<std::pair<int, int>, std::map<k::KvFormat, std::unique_ptr<KvPool>>> kv;
  std::map<PairWire, std::vector<Wire>> wires;

  cpu_set_t before;  // where the calling thread might run

  explicit Impl(const Machine& m) : machine(m), pool(pool_bytes(m)) {
    CPU_ZERO(&before);
    sched_getaffinity(0, sizeof before, &before);
    pin_to_core(main_core());
    // Clocks and licences of wide instructions settle within some milliseconds.
    const double start = now_seconds();
    while (now_seconds() - start < 0.2) {
      sentinel_seconds();
    }
  }

  ~Impl() { sched_setaffinity(0, sizeof before, &before); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Twice the last-level cache, so that weights taken in turn are cold; at most an eighth of the
  // memory.
  static std::size_t pool_bytes(const Machine& machine) {
    const std::size_t wanted = std::max<std::size_t>(2 * machine.l3, std::size_t{576} << 20);
    return std::max<std::size_t>(std::min(wanted, machine.memory / 8), std::size_t{64} << 20);
  }
  int main_core() const { return machine.cores[core]; }
  int other_core() const { return machine.cores[(core + 1) % machine.cores.size()]; }
  bool two_cores() const { return machine.cores.size() >= 2; }

  double here() {
    constexpr std::ptrdiff_t kRecent = 200;
    const double seconds = sentinel_seconds();
    recent.push_back(seconds);
    recent.erase(recent.begin(), recent.end() - std::min(std::ssize(recent), kRecent));
    return seconds;
  }

  // Moves to the other core where this one is disturbed and that one less.
  double sentinel() {
    const double first = here();
    if (!two_cores() || first <= kQuiet * usual_reading(recent)) {
      return first;
    }
    const std::size_t was = core;
    core = (core + 1) % machine.cores.size();
    pin_to_core(main_core());
    const double there = here();
    if (there < first) {
      return there;
    }
    core = was;
    pin_to_core(main_core());
    return here();
  }

  KvPool& kv_pool(int kv_heads, int head_dim, k::KvFormat format) {
    auto& slot = kv[{kv_heads, head_dim}][format];
    if (!slot) {
      slot = std::make_unique<KvPool>(k::KvShape{kv_heads, head_dim, format},
                                      std::min(kKvBytes, machine.memory / 32));
    }
    return *slot;
  }

  static Timing timed(const std::function<void()>& call, double seconds) {
    TimingLimits limits;
    limits.seconds = seconds;
    return time_calls([&](int) { call(); }, limits);
  }
};

namespace {

// Collects the cases of one suite.
class Cases {
 public:
  Cases(CpuBench::Impl& bench, const SuiteOptions& options) : b_(bench), options_(options) {}

  std::vector<BenchCase> take() {
    if (options_.wants("memory")) {
      memory();
    }
    if (options_.wants("gemm")) {
      gemm();
    }
    if (options_.wants("attention")) {
      attention();
    }
    if (options_.wants("layer")) {
      layer();
    }
    if (options_.wants("codec")) {
      codec();
    }
    if (options_.wants("link") && b_.two_cores()) {
      link();
    }
    if (options_.wants("host") && b_.two_cores()) {
      host();
    }
    return std::move(cases_);
  }

 private:
  void add(std::string family, std::vector<std::int64_t> shape,
           std::function<Timing(double)> measure, int cores = 1,
           double Timing::*statistic = &Timing::lower) {
    const auto key = std::pair(family, shape);
    if (seen_.insert(key).second) {
      cases_.push_back({std::move(family), std::move(shape), std::move(measure), statistic, cores});
    }
  }

  void memory() {
    const auto bytes = static_cast<std::int64_t>(b_.pool.size() / 4 / 4096 * 4096);
    add("memory.read", {bytes, 1}, [&b = b_, bytes](double seconds) {
      return CpuBench::Impl::timed(
          [&b, bytes] {
            const auto count = static_cast<std::size_t>(bytes);
            b.checksum += read_all(b.pool.next(count), count);
          },
          seconds);
    });
    add("memory.copy", {bytes / 2, 1}, [&b = b_, bytes](double seconds) {
      return CpuBench::Impl::timed(
          [&b, bytes] {
            const auto count = static_cast<std::size_t>(bytes / 2);
            const std::byte* const from = b.pool.next(count);
            std::memcpy(b.pool.next(count), from, count);
          },
          seconds);
    });
    if (b_.two_cores()) {
      add(
          "memory.read", {bytes, 2},
          [&b = b_, bytes](double) {
            std::vector<double> times;
            const auto count = static_cast<std::size_t>(bytes);
            std::uint64_t sums[2] = {};
            for (int i = 0; i < 4; ++i) {
              const std::byte* const parts[2] = {b.pool.next(count), b.pool.next(count)};
              times.push_back(
                  b.pair
                      .run(b.main_core(), b.other_core(),
                           [&](int rank) { sums[rank] += read_all(parts[rank], count); })
                      .seconds);
            }
            b.checksum += sums[0] + sums[1];
            return summarise(times);
          },
          2);
    }
  }

  void gemm() {
    static constexpr std::int64_t kLadders[2][8] = {{1, 4, 16, 48, 128, 256, 512, 1024},
                                                    {1, 2, 8, 32, 64, 192, 384, 1024}};
    int format_index = 0;
    for (const std::string& name : formats()) {
      const bool main = format_index++ < 2;
      const std::vector<GemmShape> shapes = gemm_shapes(options_.quick ? 8 : main ? 24 : 8);
      for (std::size_t i = 0; i < shapes.size(); ++i) {
        const std::int64_t most = shapes[i].head ? 128 : options_.quick ? 512 : 1024;
        for (const std::int64_t m : kLadders[i % 2]) {
          const double flops = 2.0 * static_cast<double>(m * shapes[i].n * shapes[i].k);
          if (m <= most && flops <= kMostFlops) {
            add_gemm(name, m, shapes[i]);
          }
        }
      }
    }
  }

  std::vector<std::string> formats() const {
    std::vector<std::string> wanted;
    std::size_t quick = 0;
    for (const std::string& name : cpu_gemm_formats()) {
      const bool usual = options_.formats.empty() && (!options_.quick || quick++ < 4);
      if (usual || options_.formats.contains(name)) {
        wanted.push_back(name);
      }
    }
    return wanted;
  }

  void add_gemm(const std::string& name, std::int64_t m, const GemmShape& shape) {
    const k::GemmFormat format = kernel_format(name);
    if (4 * k::arbitrary_weight_bytes(format, shape.n, shape.k) > b_.pool.size()) {
      return;  // a machine with little memory: the profile says what it covers
    }
    add("gemm." + name, {m, shape.n, shape.k},
        [&b = b_, format, m, n = shape.n, depth = shape.k](double seconds) {
          GemmSubject gemm(format, m, n, depth, b.pool, b.workers);
          return CpuBench::Impl::timed([&] { gemm.run(); }, seconds);
        });
  }

  void attention() {
    static constexpr std::pair<k::KvFormat, const char*> kFormats[] = {
        {k::KvFormat::bf16, "bf16"}, {k::KvFormat::fp8_e4m3, "fp8"}, {k::KvFormat::int8, "int8"}};
    for (const auto& [format, name] : kFormats) {
      if (options_.quick && format != k::KvFormat::bf16) {
        break;
      }
      for (const ModelShape& model : kModels) {
        if (format != k::KvFormat::bf16 && &model != &kModels[0]) {
          break;  // one layout tells how the others compare
        }
        for (const int tensor : kTensorDegrees) {
          for (std::int64_t prompt = 16; prompt <= (options_.quick ? 1024 : 2048); prompt *= 2) {
            add_prefill(model, tensor, format, name, 1, prompt);
          }
          add_prefill(model, tensor, format, name, 4, 64);
          for (const std::int64_t batch : {1, 4, 16, 64}) {
            for (const std::int64_t tokens : {16, 64, 256, 1024, 2048}) {
              if (batch * tokens <= (options_.quick ? 16384 : 65536)) {
                add_decode(model, tensor, format, name, batch, tokens);
              }
            }
          }
        }
      }
    }
  }

  void add_prefill(const ModelShape& model, int tensor, k::KvFormat format, const char* name,
                   std::int64_t batch, std::int64_t prompt) {
    const int heads = model.heads / tensor, kv_heads = model.kv_heads / tensor;
    add(fmt::format("attention.prefill.{}", name),
        {heads, kv_heads, model.head_dim, 0, batch, prompt},
        [&b = b_, heads, kv_heads, dim = model.head_dim, format, batch, prompt](double seconds) {
          std::vector<Bf16> queries, out;
          KvPool& kv = b.kv_pool(kv_heads, dim, format);
          return CpuBench::Impl::timed(
              [&] { run_prefill(heads, kv, batch, prompt, prompt, queries, out, b.workers); },
              seconds);
        });
  }

  void add_decode(const ModelShape& model, int tensor, k::KvFormat format, const char* name,
                  std::int64_t batch, std::int64_t tokens) {
    const int heads = model.heads / tensor, kv_heads = model.kv_heads / tensor;
    add(fmt::format("attention.decode.{}", name),
        {heads, kv_heads, model.head_dim, 0, batch, tokens},
        [&b = b_, heads, kv_heads, dim = model.head_dim, format, batch, tokens](double seconds) {
          std::vector<Bf16> queries, out;
          KvPool& kv = b.kv_pool(kv_heads, dim, format);
          return CpuBench::Impl::timed(
              [&] { run_decode(heads, kv, batch, tokens, queries, out, b.workers); }, seconds);
        });
  }

  void layer() {
    static constexpr const char* kOfHidden[] = {"input_layernorm", "add_norm",     "residual_add",
                                                "quantise",        "embed_tokens", "select_rows"};
    for (const ModelShape& model : kModels) {
      for (std::int64_t rows = 1; rows <= 512; rows *= options_.quick ? 4 : 2) {
        for (const char* name : kOfHidden) {
          add_layer({name, rows, model.hidden});
        }
        add_layer({"quantise", rows, model.intermediate});
        for (const int tensor : kTensorDegrees) {
          add_layer({"silu_mul", rows, model.intermediate / tensor});
          for (const char* name : {"rope", "kv_cache_write"}) {
            add_layer(
                {name, rows, 0, model.heads / tensor, model.kv_heads / tensor, model.head_dim});
          }
        }
        if (rows <= 64) {
          add_layer({"sample", rows, model.vocab});
        }
      }
    }
  }

  void add_layer(const LayerCall& call) {
    add("elementwise." + call.name, {layer_bytes(call)}, [&b = b_, call](double seconds) {
      return CpuBench::Impl::timed(layer_kernel(call, b.pool, b.workers), seconds / 2);
    });
  }

  std::vector<std::string> wires() const {
    const std::size_t count = options_.quick ? kQuickWires : std::size(kWires);
    return {std::begin(kWires), std::begin(kWires) + static_cast<std::ptrdiff_t>(count)};
  }

  void codec() {
    for (std::int64_t slice = 512; slice <= (std::int64_t{1} << 20); slice *= 2) {
      add_reduce("bf16", slice);
      for (const std::string& wire : wires()) {
        add_pack(wire, slice);
        add_reduce(wire, slice);
        add_unpack(wire, slice);
      }
    }
  }

  // Values that repeat after a thousand; packed and unpacked buffers in cache where they fit.
  struct CodecBuffers {
    k::AlignedBuffer<Bf16> values;
    k::AlignedBuffer<std::uint8_t> packed[2], sum;
    k::WireFormat format;
    CodecBuffers(const std::string& wire, std::int64_t n)
        : values(static_cast<std::size_t>(n)), format(k::parse_wire_format(wire)) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = k::to_bf16(static_cast<float>(i % 1009) / 500 - 1);
      }
      const std::size_t bytes = k::packed_bytes(format, values.size());
      sum = k::AlignedBuffer<std::uint8_t>(bytes);
      for (auto& side : packed) {
        side = k::AlignedBuffer<std::uint8_t>(bytes);
        k::best_codec().pack(format, {values.data(), k::ValueType::bf16}, values.size(),
                             side.data());
      }
    }
  };

  enum class Phase { quantise, reduce, dequantise };

  // Both ranks of a collective do this at once. The least time stands: it is arithmetic in cache,
  // and either core's neighbours add to it.
  void add_codec(const char* phase_name, Phase phase, const std::string& wire, std::int64_t n,
                 std::int64_t touched) {
    add(
        fmt::format("codec.{}.{}", phase_name, wire), {touched},
        [&b = b_, phase, wire, n](double seconds) {
          if (!b.two_cores()) {
            CodecBuffers alone(wire, n);
            return CpuBench::Impl::timed([&] { run_codec(phase, alone); }, seconds / 2);
          }
          std::vector<std::function<void(int rank)>> placements;
          for (int i = 0; i < placements_for(8 * static_cast<std::size_t>(n)); ++i) {
            const auto ranks = std::make_shared<std::array<CodecBuffers, 2>>(
                std::array<CodecBuffers, 2>{CodecBuffers(wire, n), CodecBuffers(wire, n)});
            placements.emplace_back([phase, ranks](int rank) {
              run_codec(phase, (*ranks)[static_cast<std::size_t>(rank)]);
            });
          }
          return time_together(b.pair, b.main_core(), b.other_core(), placements, seconds);
        },
        b_.two_cores() ? 2 : 1, &Timing::best);
  }

  static void run_codec(Phase phase, CodecBuffers& c) {
    const k::Codec& codec = k::best_codec();
    const k::MutableValues values{c.values.data(), k::ValueType::bf16};
    const std::uint8_t* const inputs[2] = {c.packed[0].data(), c.packed[1].data()};
    switch (phase) {
      case Phase::quantise:
        codec.pack(c.format, {values.data, values.type}, c.values.size(), c.sum.data());
        break;
      case Phase::reduce:
        codec.unpack_reduce_pack(c.format, inputs, c.values.size(), c.format, c.sum.data());
        break;
      case Phase::dequantise:
        codec.unpack(c.format, inputs[0], c.values.size(), values);
        break;
    }
  }

  void add_pack(const std::string& wire, std::int64_t n) {
    add_codec("quantise", Phase::quantise, wire, n, n);
  }
  void add_unpack(const std::string& wire, std::int64_t n) {
    add_codec("dequantise", Phase::dequantise, wire, n, n);
  }
  // Two slices come in and their sum goes out: three times a slice are read or written.
  void add_reduce(const std::string& wire, std::int64_t slice) {
    add_codec("reduce", Phase::reduce, wire, slice, 3 * slice);
  }

  void link() {
    std::vector<std::string> all = wires();
    all.insert(all.begin(), "bf16");
    for (std::int64_t bytes = 1024; bytes <= (std::int64_t{4} << 20); bytes *= 2) {
      for (const std::string& wire : all) {
        add_all_reduce("all_reduce", PairWire::threads, wire, bytes);
        if (wire == "bf16" || wire == kWires[0] || (!options_.quick && wire == kWires[1])) {
          add_all_reduce("tcp_all_reduce", PairWire::tcp, wire, bytes);
        }
      }
    }
  }

  void add_all_reduce(const std::string& family, PairWire wire, const std::string& format,
                      std::int64_t bytes) {
    add(
        family + "." + format, {2, bytes},
        [&b = b_, wire, format, bytes](double seconds) {
          auto& wires = b.wires[wire];
          if (wires.empty()) {
            wires = make_wires(wire);
          }
          return time_all_reduce(b.pair, b.main_core(), b.other_core(), wires,
                                 k::parse_wire_format(format), static_cast<std::size_t>(bytes),
                                 2 * seconds);
        },
        2);
  }

  void host() {
    for (const HostCase& host : host_cases()) {
      add(
          host.prefill > 0 ? "host.prefill" : "host.decode", {host.sequences},
          [&b = b_, host](double seconds) {
            return time_host_step(b.main_core(), b.other_core(), host, 5 * seconds);
          },
          2);
    }
  }

  CpuBench::Impl& b_;
  const SuiteOptions& options_;
  std::set<std::pair<std::string, std::vector<std::int64_t>>> seen_;
  std::vector<BenchCase> cases_;
};

}  // namespace

CpuBench::CpuBench(const Machine& machine) : impl_(std::make_unique<Impl>(machine)) {}
CpuBench::~CpuBench() = default;

std::vector<BenchCase> CpuBench::cases(const SuiteOptions& options) {
  return Cases(*impl_, options).take();
}

double CpuBench::sentinel(int cores) {
  return cores >= 2 ? pair_sentinel_seconds(impl_->pair, impl_->main_core(), impl_->other_core())
                    : impl_->sentinel();
}

std::string CpuBench::method() const {
  const bool cold = impl_->pool.size() >= 2 * impl_->machine.l3;
  return fmt::format(
      "kernels/ on one thread, lower quartile of each pass (codec: the least), median of the "
      "quiet passes at the sentinel's usual pace, weights rotated through {} MiB ({})",
      impl_->pool.size() >> 20, cold ? "cold" : "L3-warm: less than twice the last-level cache");
}

}  // namespace foretoken::calibrate
